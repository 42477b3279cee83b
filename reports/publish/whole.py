"""A folder that is there whole or not at all: filled beside its place, and renamed."""

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
    """Raise InputError unless a publication may be put there: nothing lies there, or nothing but an earlier one."""
    for store in stores:
        here, there = out.resolve(), store.resolve()
        if here == there or there in here.parents:
            raise InputError(
                f"--out can't be {out}: it lies in the store {store}, which stays as it is; give a folder beside it"
            )
        if here in there.parents:
            raise InputError(f"--out can't be {out}: the store {store} lies in it; give a folder beside the store")
    if not os.path.lexists(out):
        return
    if not out.is_dir():
        raise InputError(f"--out can't be {out}: it is no folder; {_WAY_OUT}")
    if not any(out.iterdir()):
        return
    try:
        before = published.read(out)
    except Broken as error:
        raise InputError(f"--out can't be {out}: {error}; {_WAY_OUT}") from error
    if before is None:
        raise InputError(f"--out can't be {out}: there are files in it, and {PUBLISHED} is not among them; {_WAY_OUT}")
    if strange := before.strange(out):
        raise InputError(f"--out can't be {out}: {strange} in it is not as `bench publish` wrote it; {_WAY_OUT}")


@contextmanager
def whole(out: Path) -> Iterator[Path]:
    """A folder to fill. If the block ends well it is on the disk and becomes `out`, in the place of an earlier one;
    else nothing changes. Raises InputError if the disk won't take it."""
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
    """Put back or remove what a killed process left beside it."""
    for left in [left for what in ("before", "new") for left in out.parent.glob(f".{out.name}.{what}.*")]:
        if not owner.is_gone(left.name):
            continue
        if left.name.startswith(f".{out.name}.before.") and not out.exists():
            left.rename(out)
        else:
            shutil.rmtree(left, ignore_errors=True)
