"""The header beside kept files: whose they are, and their sizes and times when they were written.

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
# Of what is kept. It is in the names of folders, so that each bench finds its own.
FORMAT = 1


@dataclass(frozen=True)
class Header:
    """`dataset` is for people, and `fingerprint` a hash of all that is kept. `files` has sizes and times. `own` has
    further facts about the entry, by name."""

    dataset: str
    fingerprint: str
    files: dict[str, tuple[int, int]]
    own: dict[str, Any]

    @classmethod
    def read(cls, folder: Path) -> "Header":
        """Raises Broken if anything is not as it was written, by sizes and times, and FileNotFoundError if there
        is nothing."""
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
                    raise Broken(f"{name} is not as it was written")
        except FileNotFoundError as error:
            raise Broken(f"{Path(error.filename).name} is missing") from None
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise Broken(str(error) if isinstance(error, Broken) else f"{NAME}: {first_line(error)}") from error
        return cls(dataset, fingerprint, files, body)

    def write(self, folder: Path) -> None:
        """Raises OSError."""
        said = {"dataset": self.dataset, "fingerprint": self.fingerprint, "files": self.files, **self.own}
        (folder / NAME).write_bytes(seal.encode({"format": FORMAT, **said}))
        sync(folder / NAME)
        sync(folder)


def shown(size: int) -> str:
    """So many bytes, for people."""
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.3g} MB"


def written(folder: Path) -> dict[str, tuple[int, int]]:
    """Sizes and times of the files in a folder, which the disk holds from now on. Raises OSError."""
    for path in folder.iterdir():
        sync(path)
    return {path.name: _state(path) for path in sorted(folder.iterdir())}


def _state(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns
