"""Whether a set of files is streamed, and its splits where it is: for datasets that can do both."""

from collections.abc import Callable

from torch import Tensor

from bench.dataset import Contents, Streamed
from bench.datasets._streaming.reader import Pillow, to_middle

# Bytes of decoded images that are kept in memory where nothing was said.
MOST_IN_MEMORY = 4e9


def check_stream(stream: bool | None, size: int | None, resize: int | None = None) -> None:
    """Raise ValueError for options that don't go together."""
    if stream and size is None:
        raise ValueError("stream=true goes with a size, as size=224")
    if resize is not None and not (stream and size is not None and resize >= size):
        raise ValueError(f"resize={resize} goes with stream=true and a size of at most as much, as size=224")


def check_resize(resize: int | None, size: int) -> None:
    """Raise ValueError for an image that is to be smaller than what is cut out of it."""
    if resize is not None and resize < size:
        raise ValueError(f"resize can't be {resize}; it is at least the size, {size}")


def streams(stream: bool | None, size: int | None, count: Callable[[], int]) -> bool:
    """As was asked for; and where nothing was, if images of this size are too many for memory."""
    if stream is not None or size is None:
        return bool(stream)
    return 3 * size**2 * count() > MOST_IN_MEMORY


def streamed(contents: Contents, labels: Tensor, size: int, resized: int | None = None) -> Streamed:
    """The short side brought to `resized` (None: to `size`), and of that the middle."""
    return Streamed(contents, labels, Pillow(), (size, size), to_middle(size, resized))
