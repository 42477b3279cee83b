"""Words of lines to the user: names and shapes of tensors, and how to save them."""

from collections.abc import Sequence

from torch import Tensor

from bench.store.printable import one_line

# How to save weights alone.
SAVE = "torch.save(network.state_dict(), FILE)"
# The number of names given as examples, and the most letters of each.
EXAMPLES, _LETTERS = 3, 60


def shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "one number"


def few(names: Sequence[str]) -> str:
    """A few of the names as examples."""
    return ", ".join(map(short, names[:EXAMPLES])) + and_more(names)


def and_more(names: Sequence[str]) -> str:
    return f" and {len(names) - EXAMPLES} more" if len(names) > EXAMPLES else ""


def short(name: object) -> str:
    return one_line(str(name)[:_LETTERS] + ("..." if len(str(name)) > _LETTERS else ""))
