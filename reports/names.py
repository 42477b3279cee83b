"""Short names of methods where space is limited. Names are cut where they are alike, and kept where they differ."""

from collections.abc import Iterable
from itertools import takewhile


def short_names(names: Iterable[str], length: int) -> dict[str, str]:
    """Each of these names in at most `length` characters (8 or more), no two the same.

    A name that is too long keeps its beginning and the text from the first character that distinguishes it from all
    other names.
    """
    every = sorted(set(names))
    short = {name: name for name in every if len(name) <= length}
    taken = set(short)
    for place, name in enumerate(every):
        if name in short:
            continue
        # In sorted order, the most similar names are its neighbours.
        beside = [*every[max(0, place - 1) : place], *every[place + 1 : place + 2]]
        differs = max((_agree(name, other) for other in beside), default=0)
        cut = _cut(name, differs, length)
        number = 2
        while cut in taken:
            mark = f" ({number})"
            cut, number = _cut(name, differs, length - len(mark)) + mark, number + 1
        short[name] = cut
        taken.add(cut)
    return short


def _agree(one: str, other: str) -> int:
    """The length of the common beginning of two names."""
    return len([*takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))])


def _cut(name: str, differs: int, length: int) -> str:
    if differs < length // 2:
        return name[: length - 1] + "…"
    head = name[: length // 3]
    room = length - len(head) - 1
    start = max(len(head), min(differs, len(name) - room))
    tail = name[start : start + room]
    return f"{head}…{tail}" if start + room >= len(name) else f"{head}…{tail[:-1]}…"
