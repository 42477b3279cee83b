"""A run's latency, in a file of its own: it depends on what else the machine does, so it can be measured again later,
under the run's seal. The file holds its own hash."""

from pathlib import Path

from bench.errors import require_format
from bench.store import seal
from bench.store.seal import Broken

LATENCY = "latency.json"
_FORMAT = 1


def encode_latency(run_id: str, milliseconds: float) -> bytes:
    """The bytes of the file."""
    return seal.encode({"format": _FORMAT, "id": run_id, "latency_ms": milliseconds})


def read_latency(folder: Path, run_id: str) -> dict[str, float]:
    """The columns that a run's record lacks; none where it wasn't measured. Raises TooNew, or Broken or another
    ValueError where the file is not as it was written, or is another run's."""
    content = seal.read_file(folder / LATENCY)
    if content is None:
        return {}
    body = seal.decode(LATENCY, content)
    require_format(body.get("format"), _FORMAT)
    if body.get("id") != run_id:
        raise Broken(f"{LATENCY} is of the run {body.get('id')}")
    return {"latency_ms": body["latency_ms"]} if "latency_ms" in body else {}
