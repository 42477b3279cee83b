"""A run's latency, in a file of its own: it depends on what else the machine does, so it is measured when all runs of a
sweep are made, and can be measured again under the run's seal. The file holds its own hash. A run without it is whole.
"""

from collections.abc import Mapping
from pathlib import Path

from bench.errors import require_format
from bench.store import seal
from bench.store.seal import Broken

LATENCY = "latency.json"
# Until 1 the median of passes during the run, with all threads, is all that the file has.
_FORMAT = 2
# What it gives to a run's record.
_COLUMNS = ("latency_ms", "latency_128_ms", "latency_spread", "latency_threads")


def encode_latency(run_id: str, columns: Mapping[str, float | None], measured: str) -> bytes:
    """The bytes of the file. `measured` is the run whose network was measured: another seed's of the same shape stands
    for it."""
    assert set(columns) <= set(_COLUMNS)
    return seal.encode({"format": _FORMAT, "id": run_id, "measured": measured, **columns})


def read_latency(folder: Path, run_id: str) -> dict[str, float | None]:
    """The columns that a run's record lacks; none where it wasn't measured. Raises TooNew, or Broken or another
    ValueError where the file is not as it was written, or is another run's."""
    content = seal.read_file(folder / LATENCY)
    if content is None:
        return {}
    body = seal.decode(LATENCY, content)
    require_format(body.get("format"), _FORMAT)
    if body.get("id") != run_id:
        raise Broken(f"{LATENCY} is of the run {body.get('id')}")
    return {name: body[name] for name in _COLUMNS if name in body}
