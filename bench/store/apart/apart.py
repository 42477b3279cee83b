"""Files that hold measurements of a finished run and are not in the run's seal, so that they can be measured again.

Each such file holds its own hash and adds columns to the run's record. A run is complete without them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import require_format
from bench.store import seal
from bench.store.seal import Broken


@dataclass(frozen=True)
class Apart:
    """One such kind of file: its name, the number of its format, and a function that tells which columns it gives."""

    name: str
    format: int
    gives: Callable[[str], bool]

    def encode(self, run_id: str, columns: Mapping[str, Any], **others: Any) -> bytes:
        """The bytes of the file. `others` are entries that don't become columns."""
        assert all(map(self.gives, columns)), columns
        return seal.encode({"format": self.format, "id": run_id, **others, **columns})

    def read(self, folder: Path, run_id: str) -> dict[str, Any]:
        """The columns that the file adds to the run's record; empty if the run has no such file. Raises TooNew for a
        newer format, Broken if the file was changed or belongs to another run, and ValueError if it is malformed."""
        content = seal.read_file(folder / self.name)
        if content is None:
            return {}
        body = seal.decode(self.name, content)
        require_format(body.get("format"), self.format)
        if body.get("id") != run_id:
            raise Broken(f"{self.name} belongs to the run {body.get('id')}")
        return {name: value for name, value in body.items() if self.gives(name)}
