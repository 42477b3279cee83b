"""A network's headline metric on corrupted test images.

`corrupted` is the mean over all variants, `corrupted.NAME.STRENGTH` the figure of one variant. No run depends on these
figures, so finished runs can be measured too.
"""

import re
from collections.abc import Mapping
from typing import Any

from bench.store.apart.apart import Apart

# The column that names the source of the corrupted images, and the column with the mean over all of them.
SOURCE, MEAN = "corruptions", "corrupted"
_VARIANT = re.compile(r"corrupted\.[A-Za-z0-9_\- ]+\.[0-9]+")


def is_variant(name: str) -> bool:
    """Whether a record's column belongs to one corruption at one strength."""
    return bool(_VARIANT.fullmatch(name))


CORRUPTIONS = Apart("corruptions.json", 1, lambda name: name in (SOURCE, MEAN) or is_variant(name))


def columns(source: str, by_variant: Mapping[str, float]) -> dict[str, Any]:
    """The columns of a record from the figures by NAME.STRENGTH: each figure, their mean and the source."""
    mean = sum(by_variant.values()) / len(by_variant)
    return {SOURCE: source, MEAN: mean, **{f"{MEAN}.{variant}": own for variant, own in by_variant.items()}}


def by_variant(record: Mapping[str, Any]) -> dict[str, float]:
    """The figures of a record by NAME.STRENGTH."""
    return {name.removeprefix(f"{MEAN}."): own for name, own in record.items() if is_variant(name)}


def with_columns(record: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """The record with the found figures in place of its own, which may come from other corrupted images. If nothing was
    found, the record is unchanged."""
    return {**{name: own for name, own in record.items() if not (found and is_variant(name))}, **found}
