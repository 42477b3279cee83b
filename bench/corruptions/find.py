"""Finds the source of corrupted images that a user asks for."""

from pathlib import Path

from bench.corruptions.computed import Computed
from bench.corruptions.source import Source
from bench.plan import defaults


def find_source(text: str) -> Source:
    """The source for `computed`, or for the path of a folder of ready-made images. Raises InputError."""
    if text == defaults.COMPUTED:
        return Computed()
    # Imported here, since it loads image decoders, which most processes don't need.
    from bench.corruptions.ready_made import find_ready_made

    return find_ready_made(Path(text).expanduser())
