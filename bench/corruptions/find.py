"""From what a person asks for to where corrupted images come from."""

from pathlib import Path

from bench.corruptions.computed import Computed
from bench.corruptions.source import Source
from bench.plan import defaults


def find_source(text: str) -> Source:
    """`computed`, or the path of a folder of ready-made ones. Raises InputError."""
    if text == defaults.COMPUTED:
        return Computed()
    # It decodes, which most processes that make runs need not.
    from bench.corruptions.ready_made import find_ready_made

    return find_ready_made(Path(text).expanduser())
