"""Accuracy and loss of a network on a split, exact to the last partial batch."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.data.normalise import Normalise
from bench.dataset import Split

_BATCH = 500


@dataclass(frozen=True)
class Score:
    """Means over all images of a split: top-1 and top-5 in percent, cross-entropy in nats."""

    top1: float
    top5: float
    loss: float


# Called with each batch in its order: logits `(n, classes)`, the class that counts as predicted `(n,)`, labels `(n,)`.
ByImage = Callable[[Tensor, Tensor, Tensor], None]


def evaluate(model: nn.Module, split: Split, normalise: Normalise, by_image: ByImage | None = None) -> Score:
    """Run `model` in eval mode, float32, over every image. Where there are fewer than 5 classes, top-5 is 100.
    `by_image` sees in the same pass what the score is made of."""
    was_training = model.training
    model.eval()
    # Sums and one division at the end: averaging the batches' means would weigh the last, smaller batch too much.
    top1 = top5 = 0
    loss = 0.0
    with torch.inference_mode():
        for start in range(0, len(split), _BATCH):
            labels = split.labels[start : start + _BATCH]
            logits = model(normalise(split.images[start : start + _BATCH])).float()
            best = logits.topk(min(5, logits.shape[1]), dim=1).indices
            hits = best == labels[:, None]
            top1 += int(hits[:, 0].sum())
            top5 += int(hits.sum())
            loss += float(functional.cross_entropy(logits, labels, reduction="sum"))
            if by_image is not None:
                by_image(logits, best[:, 0], labels)
    model.train(was_training)
    count = len(split)
    return Score(100 * top1 / count, 100 * top5 / count, loss / count)
