"""The learning rates that a sweep tries: the schedule's own, times a factor written `0.5x`."""

import re

from bench.errors import InputError

# Beyond these nothing trains, and a factor within them is written in few digits.
_LEAST, _MOST = 0.0001, 10_000
_LONGEST = 12  # letters


def parse(text: str) -> float:
    """Read `0.5x`. Raises InputError."""
    text = text.strip()
    if len(text) <= _LONGEST and re.fullmatch(r"(\d+(\.\d+)?|\.\d+)x", text, re.ASCII):
        factor = float(text.removesuffix("x"))
        if _LEAST <= factor <= _MOST:
            return factor
    hint = f"{text}x" if re.fullmatch(r"(\d{1,5}(\.\d{1,4})?|\.\d{1,4})", text, re.ASCII) and float(text) else "0.5x"
    raise InputError(
        f"{text[:40]!r} is no factor of the learning rate; write {hint}, from {_LEAST}x to {_MOST}x, for so many times "
        "the schedule's"
    )
