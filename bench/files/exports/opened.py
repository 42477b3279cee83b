"""An exported file that was opened, as a network like others."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from bench.files.exports.about import About


class Runs(nn.Module):
    """A module that hands images to whatever runs the file. It has no parameters: they are the file's."""

    def __init__(self, run: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._run = (run,)  # in a tuple, for an exported program is a module that won't be told train() or eval()

    def forward(self, images: Tensor) -> Tensor:
        return self._run[0](images)


@dataclass(frozen=True)
class Opened:
    """`network` takes standardised images on the CPU. `about` is what the file says of itself, None for one of others.
    `shape` is `(channels, height, width)`, and `classes` how many logits it gives; None for what the file leaves open.
    `bytes` are those of the file and of what belongs to it."""

    kind: str
    network: nn.Module
    about: About | None
    shape: tuple[int | None, int | None, int | None]
    classes: int | None
    bytes: int
