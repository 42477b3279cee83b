"""publish.json lists the files that `bench publish` wrote into a folder.

From this list a later `bench publish` knows that it made the folder, and `bench verify` checks the files that belong to
no run.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.errors import TooNew, require_format
from bench.store import seal
from bench.store.seal import Broken, FromNewer
from bench.store.store import SPEC, seal_beside
from bench.version import __version__

PUBLISHED = "publish.json"
_FORMAT = 1


@dataclass(frozen=True)
class Published:
    """The SHA-256 of each published file. The key is its path inside the folder, written with `/`."""

    files: dict[str, str]

    def encode(self) -> bytes:
        """The bytes of PUBLISHED."""
        return seal.encode({"format": _FORMAT, "bench_version": __version__, "files": dict(sorted(self.files.items()))})

    def strange(self, folder: Path) -> str | None:
        """The name of a file in the folder that was not published or was changed since; None if there is none."""
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            if name == PUBLISHED or (path.is_dir() and not path.is_symlink() and any(path.iterdir())):
                continue
            if name not in self.files:
                return name
            if _sha256(path) != self.files[name]:
                return name
        return None

    def differences(self, folder: Path) -> Iterator[tuple[str, str]]:
        """The name of each changed or missing file that belongs to no run, with the reason. Specs are left out, since
        they have seals of their own and a sweep may replace them."""
        own = {SPEC, seal_beside(Path(SPEC)).name}
        for name, sha256 in self.files.items():
            if name.startswith("runs/") or name in own:
                continue
            now = _sha256(folder / name)
            if now != sha256:
                yield name, "it is missing" if now is None else "it has changed since it was published"


def of(folder: Path) -> Published:
    """The list of all files that are in the folder now."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return Published({path.relative_to(folder).as_posix(): _hash(path) for path in paths})


def read(folder: Path) -> Published | None:
    """The list of published files; None if there is none. Raises Broken."""
    content = seal.read_file(folder / PUBLISHED)
    if content is None:
        return None
    body = seal.decode(PUBLISHED, content)
    try:
        require_format(body.get("format"), _FORMAT)
    except TooNew as error:
        raise FromNewer(f"{PUBLISHED}: {error}") from error
    except ValueError as error:
        raise Broken(f"{PUBLISHED}: {error}") from error
    files = body.get("files")
    if not isinstance(files, dict) or any(Path(name).is_absolute() or ".." in Path(name).parts for name in files):
        raise Broken(f"{PUBLISHED} names something that is not a file beside it")
    return Published(files)


def _sha256(path: Path) -> str | None:
    """The hash of a file; None if there is no such file."""
    return _hash(path) if path.is_file() else None


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
