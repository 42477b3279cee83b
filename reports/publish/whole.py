"""A folder that exists whole or not at all: it is filled in another place and then renamed."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.errors import DiskError, InputError
from bench.store import owner, published
from bench.store.published import PUBLISHED
from bench.store.seal import Broken
from bench.store.store import sync

_WAY_OUT = "give another --out, or move it away"


def check_place(out: Path, stores: Sequence[Path]) -> None:
    """Raise InputError unless a publication may be put there: the place is empty or holds only an earlier
    publication."""
    for store in stores:
        here, there = out.resolve(), store.resolve()
        if here == there or there in here.parents:
            raise InputError(
                f"--out can't be {out}: it lies in the store {store}, which must not change; give a folder beside it"
            )
        if here in there.parents:
            raise InputError(f"--out can't be {out}: it contains the store {store}; give a folder beside the store")
    if not os.path.lexists(out):
        return
    if not out.is_dir():
        raise InputError(f"--out can't be {out}: it is not a folder; {_WAY_OUT}")
    if not any(out.iterdir()):
        return
    try:
        before = published.read(out)
    except Broken as error:
        raise InputError(f"--out can't be {out}: {error}; {_WAY_OUT}") from error
    if before is None:
        raise InputError(f"--out can't be {out}: it has files but no {PUBLISHED}; {_WAY_OUT}")
    if strange := before.strange(out):
        raise InputError(f"--out can't be {out}: {strange} in it differs from what `bench publish` wrote; {_WAY_OUT}")


@contextmanager
def whole(out: Path) -> Iterator[Path]:
    """A folder to fill. If the block ends without an error, the folder is saved to the disk and becomes `out`, in place
    of an earlier one. Otherwise nothing changes. Raises InputError if the disk refuses it."""
    out = out.resolve()
    missing = [parent for parent in out.parents if not parent.exists()]
    _tidy(out)
    folder, before = (out.with_name(f".{out.name}.{what}.{owner.mark()}") for what in ("new", "before"))
    done = False
    try:
        folder.mkdir(parents=True)
        yield folder
        for path in (*folder.rglob("*"), folder):
            sync(path)
        if out.exists():
            out.rename(before)
        folder.rename(out)
        done = True
    except (DiskError, OSError) as error:
        cause = error.__cause__ if isinstance(error, DiskError) else error
        why = cause.strerror if isinstance(cause, OSError) and cause.strerror else cause
        raise InputError(
            f"can't publish to {out}: {why}; nothing was written, make room or give another --out"
        ) from error
    finally:
        if not done and before.exists() and not out.exists():
            before.rename(out)
        for left in (folder, before):
            shutil.rmtree(left, ignore_errors=True)
        for parent in missing if not done else []:
            with suppress(OSError):
                parent.rmdir()


def _tidy(out: Path) -> None:
    """Restore or remove the folders that a killed process left beside `out`."""
    for left in [left for what in ("before", "new") for left in out.parent.glob(f".{out.name}.{what}.*")]:
        if not owner.is_gone(left.name):
            continue
        if left.name.startswith(f".{out.name}.before.") and not out.exists():
            left.rename(out)
        else:
            shutil.rmtree(left, ignore_errors=True)
