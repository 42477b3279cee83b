"""Files of a run that are written when it is finished, by what can be measured again under its seal: each holds its own
hash, and gives columns to the run's record. A run without them is whole."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import require_format
from bench.store import seal
from bench.store.seal import Broken


@dataclass(frozen=True)
class Apart:
    """One kind of such a file: what it is called, the number of its form, and which columns it gives."""

    name: str
    format: int
    gives: Callable[[str], bool]

    def encode(self, run_id: str, columns: Mapping[str, Any], **others: Any) -> bytes:
        """The bytes of the file; `others` are no columns."""
        assert all(map(self.gives, columns)), columns
        return seal.encode({"format": self.format, "id": run_id, **others, **columns})

    def read(self, folder: Path, run_id: str) -> dict[str, Any]:
        """The columns that a run's record lacks; none if there is no such file. Raises TooNew, or Broken or another
        ValueError where the file is not as it was written, or is another run's."""
        content = seal.read_file(folder / self.name)
        if content is None:
            return {}
        body = seal.decode(self.name, content)
        require_format(body.get("format"), self.format)
        if body.get("id") != run_id:
            raise Broken(f"{self.name} is of the run {body.get('id')}")
        return {name: value for name, value in body.items() if self.gives(name)}
