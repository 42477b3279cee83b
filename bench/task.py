"""The contract of a task plugin: loss, metrics, and the figures of images that are kept and shown."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

from torch import Tensor

from bench.dataset import Split
from bench.metric import Metric

# The metric that every task has, as a score of a split.
LOSS = "loss"


class LossOptions(Protocol):
    """The options of a schedule (`bench.training.schedule`) that a loss may use."""

    @property
    def label_smoothing(self) -> float: ...


class Meter(ABC):
    """Adds up a network's outputs on a split, batch by batch, and gives its scores: means over all images, exact even
    with a smaller last batch.

    `sums` are tensors on the device, whole numbers or float64: they can be added to those of another part of the split,
    and kept when training stops. Nothing in `add` should wait for the device.
    """

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.sums: dict[str, Tensor] = {}

    @abstractmethod
    def add(self, outputs: Tensor, targets: Tensor) -> None:
        """A batch: float32 outputs (`Task.output`), and its targets."""

    @abstractmethod
    def scores(self) -> dict[str, float]:
        """The metrics by name, of all that was added."""

    def by_class(self) -> Sequence[float | None]:
        """`Task.by_class` of each class, of all that was added; None for a class of which there is nothing to tell."""
        return ()

    def merge(self, other: "Meter") -> None:
        """Add the counts of another meter of the same task."""
        for name, value in other.sums.items():
            self._add(name, value)

    def _add(self, name: str, value: Tensor) -> None:
        self.sums[name] = self.sums[name] + value if name in self.sums else value


class Task:
    """Base of every task plugin: one file that `--plugin` names, or of an installed package (group `bench.tasks`), with
    one subclass; its file's name is the task's, the docstring's first line its description. Datasets name the task that
    they are for (`Dataset.task`). A task holds no state."""

    # Of which the first is the headline, which methods are compared by. One is LOSS.
    metrics: ClassVar[tuple[Metric, ...]] = ()
    # Whether its targets are labels of whole images, which may be mixed, and images of which may be changed in any way.
    of_whole_images: ClassVar[bool] = False
    # Whether its outputs are logits `(images, classes, height, width)` as large as the images, which a test may average
    # over scaled and mirrored images.
    of_pixels: ClassVar[bool] = False
    # Of which each class has a figure (`Meter.by_class`), on the test split; None: of nothing.
    by_class: ClassVar[Metric | None] = None

    def check(self, targets: Tensor, classes: int, outputs: Any = None) -> None:
        """Raise ValueError unless these targets name classes 0 to `classes` - 1, and, where outputs of a network are
        given, unless these are of the form that so many images and classes want. The message goes on after "the split"
        or "the network"."""
        raise NotImplementedError

    def loss(self, outputs: Any, targets: Tensor, schedule: LossOptions) -> Tensor:
        """The loss of the network's outputs in training, a mean over the batch; auxiliary heads have their part in
        it."""
        raise NotImplementedError

    def weight(self, targets: Tensor) -> int | Tensor:
        """How much a part of a batch counts in the mean that the loss is: its images, unless the loss is a mean over
        something else; 0 where nothing counts. A batch that doesn't fit into memory is computed in parts, or by several
        processes."""
        return len(targets)

    def output(self, outputs: Any) -> Tensor:
        """The one output tensor that is scored, and that a reloaded, finished or exported network must give again."""
        raise NotImplementedError

    def meter(self, classes: int) -> Meter:
        """A fresh one, for all metrics."""
        raise NotImplementedError

    def training_meter(self, classes: int) -> Meter:
        """What is shown of batches as they go by in training: the headline of augmented images, say, or nothing."""
        return NoMeter(classes)

    def keep(self, outputs: Tensor, targets: Tensor) -> Mapping[str, Tensor]:
        """What a run keeps of each image of its test: tensors with a row for each image of the batch."""
        return {}

    def show(self, outputs: Tensor, targets: Tensor) -> Mapping[str, Tensor]:
        """What reports show beside these images: `mask` and `predicted`, uint8 `(images, height, width)`, as large as
        the images: the class of each pixel, `IGNORED` where the mask has none. Empty: nothing."""
        return {}

    def blank(self, images: int, image_shape: tuple[int, int, int]) -> Tensor:
        """Targets of class 0 for so many images: for looking at the form of what a network gives."""
        raise NotImplementedError

    def tiny(self) -> tuple[Split, int]:
        """A split of a few small images that any network learns by heart, and its number of classes: what the
        conformance kit trains on."""
        raise NotImplementedError

    @property
    def headline(self) -> Metric:
        return self.metrics[0]

    def score_columns(self) -> list[str]:
        """The score columns that every record has, even if empty."""
        of_splits = [name for metric in self.metrics for name in (metric.test, metric.validation)]
        return [*of_splits, f"train_{self.headline.name}"]


class NoMeter(Meter):
    """Sees nothing and says nothing."""

    def add(self, outputs: Tensor, targets: Tensor) -> None:
        pass

    def scores(self) -> dict[str, float]:
        return {}
