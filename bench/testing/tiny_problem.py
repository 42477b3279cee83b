"""Eight images of noise, each of its own class: what the conformance kit (`bench.testing`) trains networks on."""

from collections.abc import Sequence
from contextlib import suppress

import torch
from torch import Tensor, nn

from bench.data.normalise import Normalise
from bench.dataset import Split
from bench.method import Method
from bench.training.loop import Epoch, Trainer
from bench.training.schedule import Schedule

IMAGES, CHANNELS, CLASSES = 8, 3, 10
_PIXELS = 16
# It counts as learned once the loss is this small, and there are so many passes for that: what has few values to learn
# it with, as clustered weights have, takes that many.
LEARNED, PASSES = 0.3, 240


def images(pixels: int = _PIXELS) -> tuple[Tensor, Tensor]:
    """Standardised images of noise and their labels."""
    random = torch.Generator().manual_seed(3)
    return torch.randn(IMAGES, CHANNELS, pixels, pixels, generator=random), torch.arange(IMAGES) % CLASSES


def _trainer(passes: int, device: torch.device) -> Trainer:
    """The harness's own, for the tiny problem."""
    random = torch.Generator().manual_seed(4)
    pixels = torch.randint(256, (IMAGES, CHANNELS, _PIXELS, _PIXELS), generator=random, dtype=torch.uint8)
    split = Split(pixels, torch.arange(IMAGES) % CLASSES).to(device)
    schedule = Schedule(epochs=passes, batch_size=IMAGES, learning_rate=0.05, weight_decay=0.0, curve="constant")
    return Trainer(split, split, Normalise.of(split), schedule, seed=0, precision=torch.float32)


def go_through_schedule(method: Method, network: nn.Module, passes: int) -> None:
    """Train as a run does, from where the method compresses to the end."""
    trainer = _trainer(passes, next(network.parameters()).device)
    first = min(trainer.schedule.compress_epoch(method.moment), passes // 2)
    trainer.run(network, first, passes, method.after_step, decay=method.decay)


def learn_by_heart(network: nn.Module) -> float:
    """Train what is at its final size until the tiny problem is learned, for so many passes at most. Its least loss."""
    losses: list[float] = []

    def after_epoch(epochs: Sequence[Epoch]) -> None:
        losses.append(epochs[-1].train_loss)
        if losses[-1] <= LEARNED:
            raise _Learned

    with suppress(_Learned):
        _trainer(PASSES, next(network.parameters()).device).run(network, 0, PASSES, after_epoch=after_epoch)
    return min(losses)


class _Learned(Exception):
    """Ends the training before its time."""
