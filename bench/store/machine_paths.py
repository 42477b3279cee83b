"""Paths of a machine's file system in text: who publishes results need not tell the world where they lay."""

import re
from collections.abc import Iterable

# Two parts and more, since `a / b` and `and/or` are none; behind a colon as in `parquet:/data/cifar10`. Of addresses of
# the web neither the two slashes nor what follows them. Rather too much than too little: what is found isn't published.
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
    """The first of these folders that a file of any kind names; None if it names none. The root names nothing."""
    for folder in folders:
        if len(folder.rstrip("/\\")) > 1 and re.search(
            rb"(?<![\w+.])" + re.escape(folder.encode()) + rb"(?![\w+.-])", content
        ):
            return folder
    return None
