"""The contract of a network plugin: how to build the network, and facts about it."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

# The name of the main output in a network that returns a dictionary, as in torchvision.
OUTPUT = "out"

# The largest height or width of an image, in pixels. A file that claims more would fill all memory.
_LARGEST_SIDE = 8192
# Limits for the mean and deviation of pixel values, which are 0 to 255. A smaller divisor, or a larger number, would
# overflow in the computation.
LEAST_DEVIATION, _LARGEST = 1e-6, 1e6


@dataclass(frozen=True)
class Inputs:
    """The images that a network is trained on: their size, and how pixel values 0 to 255 are standardised, by a mean
    and a deviation for each channel. Raises ValueError for impossible numbers."""

    height: int
    width: int
    mean: Sequence[float]
    deviation: Sequence[float]

    def __post_init__(self) -> None:
        numbers = (self.height, self.width, *self.mean, *self.deviation)
        if len(self.mean) != len(self.deviation) or not all(isinstance(number, int | float) for number in numbers):
            raise ValueError(
                f"images of {self.height}x{self.width} need as many means as deviations, all numbers, not "
                f"mean {self.mean}, deviation {self.deviation}"
            )
        for name, side in (("height", self.height), ("width", self.width)):
            if not 1 <= side <= _LARGEST_SIDE or side != int(side):
                raise ValueError(f"the {name} of images can't be {side}; it is whole, from 1 to {_LARGEST_SIDE:,}")
        for mean in self.mean:
            if not abs(mean) <= _LARGEST:
                raise ValueError(f"the mean of pixel values can't be {mean}")
        for deviation in self.deviation:
            if not LEAST_DEVIATION <= deviation <= _LARGEST:
                raise ValueError(f"the deviation of pixel values can't be {deviation}; it is above 0")
        # A file gives lists; a tuple can be hashed, as the plan of a run needs.
        object.__setattr__(self, "mean", tuple(self.mean))
        object.__setattr__(self, "deviation", tuple(self.deviation))

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)"""
        return self.height, self.width


@dataclass(frozen=True)
class Model:
    """A network plugin; a plain function is wrapped in one.

    * `build` makes the network with fresh weights from torch's global generator. It is called with `channels` and
      `num_classes` if it has such parameters. `description` is by default the first line of its docstring.
    * `pretrained(channels, num_classes)`, if given, makes the same layers with pretrained weights, for images as
      `inputs` says. It may download them; it raises InputError if they don't fit or can't be had. `pretrained_for` are
      the channels and classes of these weights.
    * `task` names the network's task (`bench.task`); "" means the dataset's task.
    * `training_only` names submodules that only training uses, like auxiliary heads. They are not compressed, counted
      or stored. The network runs them while it has them, also in eval mode. With None in their places, its main output
      is the same.
    * `backbone` names the submodule that other tasks share. The rest is the head, and a schedule may give it its own
      learning rate. Without a backbone, the head is every layer that depends on the number of classes.
      `pretrained_backbone()`, if given, returns the backbone's pretrained weights by their names in it. It raises
      InputError like `pretrained`.
    * `family` names the network's family, for methods whose authors chose layers by family ("" for none).
    * `resize(channels, num_classes, widths)` builds the network at other widths, if its channels can't be traced
      (`bench.measure.widths`). `widths` has a number for each group of channels; at the field `widths`, `build` is the
      same.
    """

    build: Callable[..., nn.Module]
    description: str = ""
    pretrained: Callable[[int, int], nn.Module] | None = None
    inputs: Inputs | None = None
    family: str = ""
    widths: tuple[int, ...] = ()
    resize: Callable[[int, int, Sequence[int]], nn.Module] | None = None
    pretrained_for: tuple[int, int] = (3, 1000)
    task: str = ""
    training_only: tuple[str, ...] = ()
    backbone: str = ""
    pretrained_backbone: Callable[[], Mapping[str, Tensor]] | None = None

    @property
    def first_line(self) -> str:
        """A one-line description."""
        return self.description or (inspect.getdoc(self.build) or "").partition("\n")[0]
