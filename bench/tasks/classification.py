"""Image classification: one class for each image."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from bench.dataset import Split
from bench.metric import Metric
from bench.task import LossOptions, Meter, Task

# The weight of an auxiliary head's loss: Szegedy et al., "Going Deeper with Convolutions" (2015), section 5.
_AUXILIARY = 0.3
_TINY_IMAGES, _TINY_CLASSES, _TINY_PIXELS = 8, 10, 16


class Classification(Task):
    """Classification of images: cross-entropy, top-1, top-5."""

    of_whole_images = True
    # With five classes or fewer, top-5 is 100.
    metrics = (
        Metric("top1", "top-1", "%", counts_images=True),
        Metric("top5", "top-5", "%"),
        Metric("loss", "cross-entropy", "nats", higher=False),
    )

    def check(self, targets: Tensor, classes: int, outputs: Any = None) -> None:
        """Targets are `(images,)` int64. Outputs are `(images, classes)`, followed by the outputs of auxiliary
        heads."""
        if targets.dtype != torch.int64 or targets.ndim != 1:
            raise ValueError(f"has labels of {tuple(targets.shape)} {targets.dtype}; they must be (images,) int64")
        if len(targets) and not 0 <= int(targets.min()) <= int(targets.max()) < classes:
            raise ValueError(f"has labels outside 0 to {classes - 1}")
        if outputs is None:
            return
        found = outputs[0] if isinstance(outputs, tuple) and outputs else outputs
        if not isinstance(found, Tensor):
            raise ValueError(f"gives a {type(found).__name__}; it must give one tensor, (images, classes)")
        if found.shape != (len(targets), classes):
            raise ValueError(
                f"gives outputs of shape {tuple(found.shape)} for {len(targets)} images, but {classes} classes need "
                f"({len(targets)}, {classes}); let its function take num_classes for its last layer"
            )

    def loss(self, outputs: Any, targets: Tensor, schedule: LossOptions) -> Tensor:
        """Cross-entropy in nats, smoothed as the schedule says. Mixed targets are shares of the classes."""

        def of(logits: Tensor) -> Tensor:
            exact = logits.to(torch.promote_types(logits.dtype, torch.float32))  # in bfloat16 it has two digits
            return functional.cross_entropy(exact, targets, label_smoothing=schedule.label_smoothing)

        loss = of(self.output(outputs))
        for head in _auxiliary(outputs):
            loss = loss + _AUXILIARY * of(head)
        return loss

    def output(self, outputs: Any) -> Tensor:
        """Logits `(images, classes)`; the first of several outputs."""
        logits: Tensor = outputs[0] if isinstance(outputs, tuple) else outputs
        return logits

    def meter(self, classes: int) -> Meter:
        return _Scores(classes)

    def training_meter(self, classes: int) -> Meter:
        """Top-1."""
        return _Hits(classes)

    def keep(self, outputs: Tensor, targets: Tensor) -> Mapping[str, Tensor]:
        """`label` and `predicted` int64, `confidence`: the softmax probability of the predicted class, float32."""
        predicted = _best(outputs)[:, 0]
        confidence = outputs.softmax(dim=1).gather(1, predicted[:, None])[:, 0]
        # Rounding in float32 may give slightly more than 1.
        return {"label": targets, "predicted": predicted, "confidence": confidence.clamp(max=1)}

    def blank(self, images: int, image_shape: tuple[int, int, int]) -> Tensor:
        return torch.zeros(images, dtype=torch.int64)

    def tiny(self) -> tuple[Split, int]:
        """Eight images of noise, each of its own class."""
        random = torch.Generator().manual_seed(4)
        shape = (_TINY_IMAGES, 3, _TINY_PIXELS, _TINY_PIXELS)
        pixels = torch.randint(256, shape, generator=random, dtype=torch.uint8)
        return Split(pixels, torch.arange(_TINY_IMAGES) % _TINY_CLASSES), _TINY_CLASSES


class _Scores(Meter):
    """Top-1 and top-5 in percent, cross-entropy in nats."""

    def add(self, outputs: Tensor, targets: Tensor) -> None:
        # Add sums and divide once at the end: a mean of the batches' means would give the smaller last batch too much
        # weight.
        hits = _best(outputs) == targets[:, None]
        self._add("images", torch.tensor(len(targets)))
        self._add("top1", hits[:, 0].sum())
        self._add("top5", hits.sum())
        self._add("loss", functional.cross_entropy(outputs, targets, reduction="sum").double())

    def scores(self) -> dict[str, float]:
        images = int(self.sums["images"])
        hits = {name: 100 * int(self.sums[name]) / images for name in ("top1", "top5")}
        return {**hits, "loss": float(self.sums["loss"]) / images}


class _Hits(Meter):
    def add(self, outputs: Tensor, targets: Tensor) -> None:
        """The label of a mixed image is the label of its larger part."""
        targets = targets.argmax(1) if targets.ndim == 2 else targets
        self._add("images", torch.tensor(len(targets)))
        self._add("top1", (outputs.argmax(1) == targets).sum())

    def scores(self) -> dict[str, float]:
        return {"top1": 100 * int(self.sums["top1"]) / int(self.sums["images"])}


def _best(logits: Tensor) -> Tensor:
    """The classes with the five largest logits, `(images, 5)` or fewer."""
    return logits.topk(min(5, logits.shape[1]), dim=1).indices


def _auxiliary(outputs: Any) -> Sequence[Tensor]:
    """The outputs of auxiliary heads, which follow the main output in training only."""
    return [head for head in outputs[1:] if head is not None] if isinstance(outputs, tuple) else []
