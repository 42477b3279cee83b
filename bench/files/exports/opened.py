"""An exported file, opened as an ordinary network."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from bench.files.exports.about import About


class Runs(nn.Module):
    """A module that passes images to the runtime of the file. It has no parameters; these are in the file."""

    def __init__(self, run: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._run = (run,)  # in a tuple: an exported program is a module that refuses train() and eval()

    def forward(self, images: Tensor) -> Tensor:
        return self._run[0](images)


@dataclass(frozen=True)
class Opened:
    """An opened file. `network` takes standardised images on the CPU. `about` is the description in the file, None for
    a file of another program. `shape` is `(channels, height, width)`, and `classes` the number of logits; None where
    the file leaves the size open. `bytes` is the size of the file and of the files that belong to it."""

    kind: str
    network: nn.Module
    about: About | None
    shape: tuple[int | None, int | None, int | None]
    classes: int | None
    bytes: int
