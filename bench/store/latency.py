"""A run's latency, in a file of its own: it depends on what else the machine does, so it can be measured again later,
under the run's seal. The file holds its own hash."""

from pathlib import Path

from bench.errors import require_format
from bench.store import seal

LATENCY = "latency.json"
_FORMAT = 1


def encode_latency(milliseconds: float) -> bytes:
    """The bytes of the file."""
    return seal.encode({"format": _FORMAT, "latency_ms": milliseconds})


def read_latency(folder: Path) -> dict[str, float]:
    """The columns that a run's record lacks; none where it wasn't measured. Raises TooNew, or Broken or another
    ValueError where the file is not as it was written."""
    content = seal.read_file(folder / LATENCY)
    if content is None:
        return {}
    body = seal.decode(LATENCY, content)
    require_format(body.get("format"), _FORMAT)
    return {"latency_ms": body["latency_ms"]} if "latency_ms" in body else {}
