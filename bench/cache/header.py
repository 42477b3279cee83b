"""The header beside kept files: their dataset, and their sizes and times when they were written.

data.json    the header, with its own hash
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import first_line, require_format
from bench.store import seal
from bench.store.seal import Broken
from bench.store.store import sync

NAME = "data.json"
# The format of kept files. It is part of the names of folders, so that each version of bench finds its own.
FORMAT = 1


@dataclass(frozen=True)
class Header:
    """`dataset` is a name for people, `fingerprint` a hash of all kept data. `files` has the size and the time of each
    file. `own` has further facts about the entry, by name."""

    dataset: str
    fingerprint: str
    files: dict[str, tuple[int, int]]
    own: dict[str, Any]

    @classmethod
    def read(cls, folder: Path) -> "Header":
        """The header in a folder. Raises Broken if the size or time of a file has changed, and FileNotFoundError if
        there is no header."""
        content = seal.read_file(folder / NAME)
        if content is None:
            raise FileNotFoundError(folder / NAME)
        body = seal.decode(NAME, content)
        try:
            require_format(body.pop("format"), FORMAT)
            dataset, fingerprint = str(body.pop("dataset")), str(body.pop("fingerprint"))
            files = {name: (size, modified) for name, (size, modified) in body.pop("files").items()}
            for name, state in files.items():
                if _state(folder / name) != state:
                    raise Broken(f"{name} has changed since it was written")
        except FileNotFoundError as error:
            raise Broken(f"{Path(error.filename).name} is missing") from None
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise Broken(str(error) if isinstance(error, Broken) else f"{NAME}: {first_line(error)}") from error
        return cls(dataset, fingerprint, files, body)

    def write(self, folder: Path) -> None:
        """Write the header into the folder. Raises OSError."""
        said = {"dataset": self.dataset, "fingerprint": self.fingerprint, "files": self.files, **self.own}
        (folder / NAME).write_bytes(seal.encode({"format": FORMAT, **said}))
        sync(folder / NAME)
        sync(folder)


def shown(size: int) -> str:
    """A number of bytes as text for people."""
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.3g} MB"


def written(folder: Path) -> dict[str, tuple[int, int]]:
    """The size and time of each file in a folder, after all are written to the disk. Raises OSError."""
    for path in folder.iterdir():
        sync(path)
    return {path.name: _state(path) for path in sorted(folder.iterdir())}


def _state(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns
