"""The check that a list of a spec or command names nothing twice."""

from collections import Counter
from collections.abc import Sequence

from bench.errors import InputError

# The list of the names that the user gave to methods. It has a way out of its own.
NAMES_OF_METHODS = "method names"


def require_unique(texts: Sequence[str], what: str) -> None:
    """Raise InputError for a text that is there twice. `what` names the list in the message."""
    for text, times in Counter(texts).items():
        if times > 1:
            hint = ", or give them names, as a=csg,b=csg:code=8" if what == NAMES_OF_METHODS else ""
            raise InputError(f"{what}: {text!r} is there twice; leave one out{hint}")
