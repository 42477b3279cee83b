"""How a run's network does on corrupted test images: `corrupted`, the mean of the headline over all variants, and
`corrupted.NAME.STRENGTH` for each. No run depends on it, so that runs can be tried that are there already."""

import re
from collections.abc import Mapping
from typing import Any

from bench.store.apart.apart import Apart

# What corrupted images they were, and the mean over all of them.
SOURCE, MEAN = "corruptions", "corrupted"
_VARIANT = re.compile(r"corrupted\.[A-Za-z0-9_\- ]+\.[0-9]+")


def is_variant(name: str) -> bool:
    """Whether a column of a record is of one corruption at one strength."""
    return bool(_VARIANT.fullmatch(name))


CORRUPTIONS = Apart("corruptions.json", 1, lambda name: name in (SOURCE, MEAN) or is_variant(name))


def columns(source: str, by_variant: Mapping[str, float]) -> dict[str, Any]:
    """The mean of figures by NAME.STRENGTH."""
    mean = sum(by_variant.values()) / len(by_variant)
    return {SOURCE: source, MEAN: mean, **{f"{MEAN}.{variant}": own for variant, own in by_variant.items()}}


def by_variant(record: Mapping[str, Any]) -> dict[str, float]:
    """The figures of a record by NAME.STRENGTH."""
    return {name.removeprefix(f"{MEAN}."): own for name, own in record.items() if is_variant(name)}


def with_columns(record: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """The record with these figures in place of those of other corrupted images; unchanged if there are none."""
    return {**{name: own for name, own in record.items() if not (found and is_variant(name))}, **found}
