"""Finds paths of this machine's file system in text, so that published results don't reveal them."""

import re
from collections.abc import Iterable

# A path has at least two parts, since `a / b` and `and/or` are not paths. It may follow a colon, as in
# `parquet:/data/cifar10`. In a web address neither the two slashes nor the rest is a path. The pattern rather finds too
# much than too little, since text with a path isn't published.
_PATH = re.compile(
    r"(?<![\w/.*)\]}])/(?![/*])[\w.+@~-]+(?:/[^\s/'\"`<>|:,;()\[\]{}]+)+"
    r"|\bfile:/+[^\s'\"]+"
    r"|(?<![A-Za-z])[A-Za-z]:\\+[^\s'\"]+"
)


def first_path(text: str) -> str | None:
    """The first absolute path in a text; None if there is none."""
    found = _PATH.search(text)
    return found[0] if found else None


def first_of(content: bytes, folders: Iterable[str]) -> str | None:
    """The first of these folders whose path stands in the content; None if none does. The root folder is not searched
    for."""
    for folder in folders:
        if len(folder.rstrip("/\\")) > 1 and re.search(
            rb"(?<![\w+.])" + re.escape(folder.encode()) + rb"(?![\w+.-])", content
        ):
            return folder
    return None
