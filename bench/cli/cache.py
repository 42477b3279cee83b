"""`bench cache`."""

import time
from typing import Annotated

import typer

from bench.cli.app import FAILED_RUNS, app, make_console, print_line
from bench.errors import InputError
from bench.store.printable import one_line


@app.command()
def cache(
    dataset: Annotated[
        str | None, typer.Argument(metavar="[DATASET]", help="The name in the list, or its beginning. Default: all.")
    ] = None,
    empty: Annotated[bool, typer.Option("--empty", help="Remove them; they are made again when needed.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Go through every byte, and remove what is not as it was written.")
    ] = False,
) -> None:
    """List the images that are kept for the next sweep, decoded or copied; check or remove them.

    BENCH_CACHE names another folder for them, and BENCH_CACHE_GB how much they may take (0: none are kept).
    """
    from bench.cache.cache import check as check_bytes
    from bench.cache.copied import IMAGES
    from bench.cache.images import cache_from_environment
    from bench.cache.inventory import FOLDER, dataset_of
    from bench.store.seal import Broken

    console, found = make_console(), cache_from_environment()

    def say(line: str) -> None:
        print_line(console, line)

    kept = [one for one in found.kept() if (one.header.dataset if one.header else "").startswith(dataset or "")]
    looks = [
        path for path in sorted((found.folder / FOLDER).glob("[!.]*.npz")) if dataset_of(path).startswith(dataset or "")
    ]
    if dataset is not None and not kept and not looks:
        raise InputError(f"no images of {dataset!r} are kept in {found.folder}; `bench cache` lists what there is")
    damaged = False
    for one in kept:
        name = "damaged" if one.header is None else one_line(one.header.dataset)
        day = time.strftime("%Y-%m-%d", time.localtime(one.used))
        copied = "a copy, " if (one.folder / IMAGES).exists() else ""
        say(f"{name:60} {one.bytes / 1e6:10,.1f} MB  {copied}used {day}")
        if check and not empty:
            try:
                check_bytes(one.folder)
            except FileNotFoundError:  # another process removed it
                pass
            except Broken as error:
                damaged = True
                found.remove(one.folder)
                say(f"  {error}; removed")
        if empty:
            found.remove(one.folder)
    for path in looks:
        name, size = one_line(dataset_of(path)) or "damaged", path.stat().st_size
        say(f"{name:60} {size / 1e6:10,.1f} MB  hashes of streamed files")
        if empty:
            path.unlink(missing_ok=True)
    if empty:
        found.clean()
    rest = ", removed" if empty else f"; up to {found.limit / 1e9:,.1f} GB are kept"
    say(f"{sum(one.bytes for one in kept) / 1e6:,.1f} MB in {found.folder}{rest}")
    if damaged:
        raise typer.Exit(FAILED_RUNS)
