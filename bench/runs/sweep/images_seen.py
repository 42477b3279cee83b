"""The sizes and times that image files had when a store's runs were made on them. While these are the same, a sweep
with nothing to train need not read the images to see whether they changed."""

import json
from collections.abc import Iterable

from bench.store import seal
from bench.store.store import IMAGES as FILE
from bench.store.store import Store, seal_beside


def unchanged(store: Store, hashes: Iterable[str], stamp: str) -> bool:
    """Whether the files had this stamp (`Dataset.stamp`) when the data with these hashes were read from them."""
    seen = _read(store)
    return bool(stamp) and all(seen.get(data_hash) == stamp for data_hash in hashes)


def remember(store: Store, data_hash: str, stamp: str) -> None:
    """Keep the stamp that the files had before they were read. Raises InputError if the disk won't take it."""
    if stamp and _read(store).get(data_hash) != stamp:
        store.write_sealed(store.folder / FILE, json.dumps(_read(store) | {data_hash: stamp}, indent=0).encode())


def _read(store: Store) -> dict[str, str]:
    """The stamps by the hash of the data. Empty if the file can't be read; the images are read then, which is always
    right."""
    path = store.folder / FILE
    try:
        content = path.read_bytes()
        seal.read(seal_beside(path)).check(FILE, content)
        found = json.loads(content)
    except (OSError, ValueError, RecursionError):
        return {}
    return {key: value for key, value in found.items() if isinstance(value, str)} if isinstance(found, dict) else {}
