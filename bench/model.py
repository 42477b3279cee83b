"""The contract of a network plugin: how to build the network, and facts about it."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

# What a network that gives a dictionary calls the output that counts, as torchvision's do.
OUTPUT = "out"

# No network is for larger images, in pixels of height or width; a file that says so would take all memory.
_LARGEST_SIDE = 8192
# Of no pixel values, 0 to 255: what is divided by less no longer fits into what is computed, nor do larger numbers.
LEAST_DEVIATION, _LARGEST = 1e-6, 1e6


@dataclass(frozen=True)
class Inputs:
    """What a network is trained on: the size of its images, and how pixel values 0 to 255 are standardised, a mean and
    a deviation for each channel. Raises ValueError for what no images have."""

    height: int
    width: int
    mean: Sequence[float]
    deviation: Sequence[float]

    def __post_init__(self) -> None:
        numbers = (self.height, self.width, *self.mean, *self.deviation)
        if len(self.mean) != len(self.deviation) or not all(isinstance(number, int | float) for number in numbers):
            raise ValueError(f"images of {self.height}x{self.width}, mean {self.mean}, deviation {self.deviation}")
        for name, side in (("height", self.height), ("width", self.width)):
            if not 1 <= side <= _LARGEST_SIDE or side != int(side):
                raise ValueError(f"the {name} of images can't be {side}; it is whole, from 1 to {_LARGEST_SIDE:,}")
        for mean in self.mean:
            if not abs(mean) <= _LARGEST:
                raise ValueError(f"the mean of pixel values can't be {mean}")
        for deviation in self.deviation:
            if not LEAST_DEVIATION <= deviation <= _LARGEST:
                raise ValueError(f"the deviation of pixel values can't be {deviation}; it is above 0")
        # Those of a file come as lists, and what has them is hashed: settings of runs.
        object.__setattr__(self, "mean", tuple(self.mean))
        object.__setattr__(self, "deviation", tuple(self.deviation))

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)"""
        return self.height, self.width


@dataclass(frozen=True)
class Model:
    """A network plugin; a plain function is wrapped in one.

    `build` makes the network with fresh weights from torch's global generator. It gets `channels` and `num_classes`,
    those of these that it has as parameters. `description` is by default the first line of its docstring.

    `pretrained(channels, num_classes)`, if there is one, makes the same layers with weights that others trained, for
    images as `inputs` says. It may fetch them, and raises InputError where they don't fit or can't be had.
    `pretrained_for` are the channels and classes that these weights are for.

    `task` names what it is for (`bench.task`), "" for what the dataset is for.

    `training_only` names its submodules that only training uses, as auxiliary heads: they are neither compressed,
    counted nor stored. The network runs them wherever they are there, in eval mode too, and gives the same main output
    with None in their places.

    `backbone` names the submodule that other tasks share; the rest is the head, to which schedules may give a learning
    rate of its own. Without one, the head is what depends on the number of classes. `pretrained_backbone()`, where
    there is one, gives its weights that others trained for classification, by the names in it; raises InputError as
    above.

    `family` names the kind of network, for methods whose authors chose layers by it ("" for none).

    `resize(channels, num_classes, widths)` makes the network fresh with other numbers of channels, for a network whose
    channels can't be traced (`bench.measure.widths`), and is taken instead. `widths` are those of every group of
    channels that can have a number of its own, and `build` is `resize` at the `widths` that stand here.
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
        """What it is, in a line."""
        return self.description or (inspect.getdoc(self.build) or "").partition("\n")[0]
