"""Semantic segmentation: one class for each pixel."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from bench.dataset import IGNORED, Split
from bench.metric import Metric
from bench.model import OUTPUT
from bench.task import LossOptions, Meter, Task

# The key, in a dictionary of outputs, of the logits of a head that only training uses.
AUXILIARY = "aux"
# The weight of the auxiliary head's loss, as in torchvision's reference training for segmentation.
_AUXILIARY_WEIGHT = 0.5
_TINY_IMAGES, _TINY_CLASSES, _TINY_PIXELS, _TINY_BORDER = 8, 10, 32, 4


class Segmentation(Task):
    """Segmentation of images: mean IoU, pixel accuracy.

    Masks are `(images, height, width)` uint8, as large as the images. A pixel of 255 has no class, and counts neither
    in the loss nor in a score. All scores come from one confusion matrix over the whole split. The IoU of a class is
    the number of its correctly predicted pixels, divided by the number of pixels that have the class or are predicted
    to have it (Everingham et al., "The Pascal Visual Object Classes Challenge: A Retrospective", 2015). The mean is
    over the classes that occur in masks or predictions.
    """

    of_pixels = True
    metrics = (
        Metric("miou", "mean IoU", "%"),
        Metric("pixel_accuracy", "pixel accuracy", "%"),
        Metric("loss", "cross-entropy", "nats", higher=False),
    )
    by_class = Metric("iou", "IoU", "%")

    def check(self, targets: Tensor, classes: int, outputs: Any = None) -> None:
        """Targets are `(images, height, width)` uint8. Outputs are `(images, classes, height, width)`, or a dictionary
        that holds them as `out`."""
        if targets.dtype != torch.uint8 or targets.ndim != 3:
            raise ValueError(f"has masks of {tuple(targets.shape)} {targets.dtype}; they must be (images, h, w) uint8")
        named = targets[targets != IGNORED]
        if len(named) and int(named.max()) >= classes:
            raise ValueError(
                f"has {int(named.max())} in masks; classes are 0 to {classes - 1}, and {IGNORED} means no class"
            )
        if outputs is None:
            return
        found = outputs.get(OUTPUT) if isinstance(outputs, Mapping) else outputs
        if not isinstance(found, Tensor):
            what = f"a dictionary of {', '.join(outputs)}" if isinstance(outputs, Mapping) else type(outputs).__name__
            raise ValueError(f"gives {what}; it must give one tensor (images, classes, h, w), alone or as {OUTPUT!r}")
        wanted = (len(targets), classes, *targets.shape[1:])
        if found.shape != wanted:
            raise ValueError(
                f"gives outputs of shape {tuple(found.shape)}, but {wanted} is needed; let its function take "
                "num_classes for its last layer, and resize its outputs to the size of the images"
            )

    def loss(self, outputs: Any, targets: Tensor, schedule: LossOptions) -> Tensor:
        """Cross-entropy in nats, averaged over the pixels that have a class, and smoothed as the schedule says."""

        def of(logits: Tensor) -> Tensor:
            exact = logits.to(torch.promote_types(logits.dtype, torch.float32))  # in bfloat16 it has two digits
            total = functional.cross_entropy(
                exact, targets.long(), ignore_index=IGNORED, label_smoothing=schedule.label_smoothing, reduction="sum"
            )
            return total / self.weight(targets).clamp(min=1)  # the loss is 0 if no pixel has a class

        loss = of(self.output(outputs))
        if isinstance(outputs, Mapping) and AUXILIARY in outputs:
            loss = loss + _AUXILIARY_WEIGHT * of(outputs[AUXILIARY])
        return loss

    def weight(self, targets: Tensor) -> Tensor:
        """The number of pixels that have a class."""
        return (targets != IGNORED).sum()

    def output(self, outputs: Any) -> Tensor:
        """Logits `(images, classes, height, width)`."""
        logits: Tensor = outputs[OUTPUT] if isinstance(outputs, Mapping) else outputs
        return logits

    def meter(self, classes: int) -> Meter:
        return _Scores(classes)

    def training_meter(self, classes: int) -> Meter:
        """Mean IoU."""
        return _Confusion(classes)

    def show(self, outputs: Tensor, targets: Tensor) -> Mapping[str, Tensor]:
        """The masks, and the most probable class of each pixel."""
        return {"mask": targets, "predicted": outputs.argmax(1).to(torch.uint8)}

    def blank(self, images: int, image_shape: tuple[int, int, int]) -> Tensor:
        return torch.zeros(images, *image_shape[1:], dtype=torch.uint8)

    def tiny(self) -> tuple[Split, int]:
        """Eight images of noise, with one class in each quarter. The pixels near a border between quarters are ignored:
        a network of coarser resolution can't separate them."""
        random = torch.Generator().manual_seed(4)
        pixels = torch.randint(256, (_TINY_IMAGES, 3, _TINY_PIXELS, _TINY_PIXELS), generator=random, dtype=torch.uint8)
        quarters = (torch.arange(4 * _TINY_IMAGES) % _TINY_CLASSES).view(_TINY_IMAGES, 2, 2).to(torch.uint8)
        masks = quarters.repeat_interleave(_TINY_PIXELS // 2, 1).repeat_interleave(_TINY_PIXELS // 2, 2)
        border = slice(_TINY_PIXELS // 2 - _TINY_BORDER, _TINY_PIXELS // 2 + _TINY_BORDER)
        masks[:, border] = IGNORED
        masks[:, :, border] = IGNORED
        return Split(pixels, masks), _TINY_CLASSES


class _Confusion(Meter):
    """The confusion matrix: a row for each true class, a column for each predicted class."""

    def add(self, outputs: Tensor, targets: Tensor) -> None:
        # Ignored pixels count in an extra place, so that the code never waits for their number.
        place = targets.long() * self.classes + outputs.argmax(1)
        place = torch.where(targets == IGNORED, self.classes**2, place)
        counts = torch.bincount(place.flatten(), minlength=self.classes**2 + 1)
        self._add("confusion", counts[:-1].view(self.classes, self.classes))

    def scores(self) -> dict[str, float]:
        confusion = self.sums["confusion"].cpu().double()
        right = confusion.diagonal()
        union = confusion.sum(0) + confusion.sum(1) - right
        occurs = union > 0
        return {"miou": 100 * float((right[occurs] / union[occurs]).mean()) if occurs.any() else 0.0}

    def by_class(self) -> Sequence[float | None]:
        """IoU in percent; None for a class that occurs neither in masks nor in predictions."""
        confusion = self.sums["confusion"].cpu()
        right = confusion.diagonal().tolist()
        unions = (confusion.sum(0) + confusion.sum(1) - confusion.diagonal()).tolist()
        return [100 * own / union if union else None for own, union in zip(right, unions, strict=True)]


class _Scores(_Confusion):
    """Mean IoU and pixel accuracy in percent, cross-entropy in nats."""

    def add(self, outputs: Tensor, targets: Tensor) -> None:
        super().add(outputs, targets)
        loss = functional.cross_entropy(outputs, targets.long(), ignore_index=IGNORED, reduction="sum")
        self._add("loss", loss.double())

    def scores(self) -> dict[str, float]:
        confusion = self.sums["confusion"].cpu()
        pixels = max(1, int(confusion.sum()))
        return {
            **super().scores(),
            "pixel_accuracy": 100 * int(confusion.diagonal().sum()) / pixels,
            "loss": float(self.sums["loss"]) / pixels,
        }
