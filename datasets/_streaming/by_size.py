"""Decides whether files are streamed, for datasets that can do both, and makes streamed splits."""

from collections.abc import Callable

from torch import Tensor

from bench.dataset import Contents, Streamed
from bench.datasets._streaming.reader import Pillow, to_middle

# The most bytes of decoded images in memory, unless the user chooses.
MOST_IN_MEMORY = 4e9


def check_stream(stream: bool | None, size: int | None, resize: int | None = None) -> None:
    """Raise ValueError for options that contradict each other."""
    if stream and size is None:
        raise ValueError("stream=true goes with a size, as size=224")
    if resize is not None and not (stream and size is not None and resize >= size):
        raise ValueError(f"resize={resize} goes with stream=true and a size of at most as much, as size=224")


def check_resize(resize: int | None, size: int) -> None:
    """Raise ValueError if the image would be resized to less than the size that is cut out of it."""
    if resize is not None and resize < size:
        raise ValueError(f"resize can't be {resize}; it is at least the size, {size}")


def streams(stream: bool | None, size: int | None, count: Callable[[], int]) -> bool:
    """Whether to stream: the user's choice, or else whether images of this size don't fit into memory."""
    if stream is not None or size is None:
        return bool(stream)
    return 3 * size**2 * count() > MOST_IN_MEMORY


def streamed(contents: Contents, labels: Tensor, size: int, resized: int | None = None) -> Streamed:
    """A streamed split: the short side is resized to `resized` (None: to `size`) and the middle is cut out."""
    return Streamed(contents, labels, Pillow(), (size, size), to_middle(size, resized))
