"""The contract of a task plugin: the loss, the metrics, and the predictions that reports show."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

from torch import Tensor

from bench.dataset import Split
from bench.metric import Metric

# Every task has this metric.
LOSS = "loss"


class LossOptions(Protocol):
    """The options of a schedule (`bench.training.schedule`) that a loss may use."""

    @property
    def label_smoothing(self) -> float: ...


class Meter(ABC):
    """Collects a network's outputs on a split, batch by batch, and computes the scores: means over all images, exact
    even if the last batch is smaller.

    `sums` are tensors on the device, of whole numbers or float64. They can be added to the sums of another part of the
    split, and saved when training stops. `add` should never wait for the device.
    """

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.sums: dict[str, Tensor] = {}

    @abstractmethod
    def add(self, outputs: Tensor, targets: Tensor) -> None:
        """Add a batch: float32 outputs (`Task.output`) and its targets."""

    @abstractmethod
    def scores(self) -> dict[str, float]:
        """The metrics of everything added, by name."""

    def by_class(self) -> Sequence[float | None]:
        """The metric `Task.by_class` of each class, for everything added; None for a class without data."""
        return ()

    def merge(self, other: "Meter") -> None:
        """Add the sums of another meter of the same task."""
        for name, value in other.sums.items():
            self._add(name, value)

    def _add(self, name: str, value: Tensor) -> None:
        self.sums[name] = self.sums[name] + value if name in self.sums else value


class Task:
    """Base of every task plugin. A task holds no state.

    A plugin is one file with one subclass: a file that `--plugin` names, or one of an installed package (group
    `bench.tasks`). The file's name is the task's name; the docstring's first line is its description. Datasets name
    their task (`Dataset.task`).
    """

    # The first is the headline metric, by which methods are compared. One of them is LOSS.
    metrics: ClassVar[tuple[Metric, ...]] = ()
    # Whether each target is one label for a whole image. Such targets may be mixed, and their images may be changed in
    # any way.
    of_whole_images: ClassVar[bool] = False
    # Whether its outputs are logits `(images, classes, height, width)` of the images' size. A test may average such
    # outputs over scaled and mirrored images.
    of_pixels: ClassVar[bool] = False
    # The metric that is also reported for each class, on the test split (`Meter.by_class`); None: no metric.
    by_class: ClassVar[Metric | None] = None

    def check(self, targets: Tensor, classes: int, outputs: Any = None) -> None:
        """Raise ValueError unless these targets name classes 0 to `classes` - 1.

        If outputs of a network are given, also raise it unless they have the right form for this number of images and
        classes. The message continues "the split" or "the network".
        """
        raise NotImplementedError

    def loss(self, outputs: Any, targets: Tensor, schedule: LossOptions) -> Tensor:
        """The training loss of the network's outputs, a mean over the batch. It includes the losses of auxiliary
        heads."""
        raise NotImplementedError

    def weight(self, targets: Tensor) -> int | Tensor:
        """The weight of a part of a batch in the loss's mean: its number of images, unless the loss is a mean over
        something else; 0 if nothing counts.

        A batch is split into parts if it doesn't fit into memory, or if several processes share it.
        """
        return len(targets)

    def output(self, outputs: Any) -> Tensor:
        """The one output tensor that is scored. A reloaded, finished or exported network must give the same tensor."""
        raise NotImplementedError

    def meter(self, classes: int) -> Meter:
        """A fresh meter for all metrics."""
        raise NotImplementedError

    def training_meter(self, classes: int) -> Meter:
        """A meter for the scores that are shown during training: the headline metric on augmented images, say, or
        nothing."""
        return NoMeter(classes)

    def keep(self, outputs: Tensor, targets: Tensor) -> Mapping[str, Tensor]:
        """The data that a run keeps for each test image: tensors with a row for each image of the batch."""
        return {}

    def show(self, outputs: Tensor, targets: Tensor) -> Mapping[str, Tensor]:
        """Pictures that reports show beside these images; empty: none.

        `mask` and `predicted` are uint8 `(images, height, width)`, as large as the images: the class of each pixel, or
        `IGNORED` where the mask has none.
        """
        return {}

    def blank(self, images: int, image_shape: tuple[int, int, int]) -> Tensor:
        """Targets of class 0 for this number of images, to examine the form of a network's outputs."""
        raise NotImplementedError

    def tiny(self) -> tuple[Split, int]:
        """A split of a few small images that any network can memorise, and its number of classes. The conformance kit
        trains on it."""
        raise NotImplementedError

    @property
    def headline(self) -> Metric:
        return self.metrics[0]

    def score_columns(self) -> list[str]:
        """The score columns that every record has, even when they are empty."""
        of_splits = [name for metric in self.metrics for name in (metric.test, metric.validation)]
        return [*of_splits, f"train_{self.headline.name}"]


class NoMeter(Meter):
    """Ignores all outputs and gives no scores."""

    def add(self, outputs: Tensor, targets: Tensor) -> None:
        pass

    def scores(self) -> dict[str, float]:
        return {}
