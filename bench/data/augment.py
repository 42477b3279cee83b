"""Random crop and flip of a whole batch at once, on the device that holds it."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional

from bench.dataset import IGNORED


@dataclass(frozen=True)
class Drawn:
    """What is drawn for each image: where its window lies, `rows` and `columns` `(images,)`, and whether it is
    `mirrored` `(images,)`."""

    rows: Tensor
    columns: Tensor
    mirrored: Tensor

    def to(self, device: torch.device) -> Self:
        return type(self)(self.rows.to(device), self.columns.to(device), self.mirrored.to(device))

    def __getitem__(self, place: slice) -> Self:
        return type(self)(self.rows[place], self.columns[place], self.mirrored[place])


@dataclass(frozen=True)
class Augment:
    """Pads images with `padding` zeros on every side (masks with what has no class) and cuts a window of the old size
    out at a random place; then mirrors half of them, if they are to `flip`."""

    padding: int = 0
    flip: bool = False

    def draw(self, images: int, generator: torch.Generator) -> Drawn:
        """For so many images, on the CPU."""
        offsets = torch.randint(0, 2 * self.padding + 1, (2, images), generator=generator)
        return Drawn(offsets[0], offsets[1], torch.rand(images, generator=generator) < 0.5)

    def __call__(self, images: Tensor, targets: Tensor, drawn: Drawn) -> tuple[Tensor, Tensor]:
        """images `(batch, channels, height, width)`, same shape out, and targets: masks `(batch, height, width)` go
        with the images, a number for each image stays."""
        images = self._moved(images, drawn, 0)
        if targets.ndim == 3:
            targets = self._moved(targets[:, None], drawn, IGNORED)[:, 0]
        return images, targets

    def _moved(self, images: Tensor, drawn: Drawn, fill: int) -> Tensor:
        if self.padding:
            images = _crop(images, self.padding, fill, drawn.rows, drawn.columns)
        if self.flip:
            images = torch.where(drawn.mirrored[:, None, None, None], images.flip(3), images)
        return images


def _crop(images: Tensor, padding: int, fill: int, rows: Tensor, columns: Tensor) -> Tensor:
    batch, channels, height, width = images.shape
    down = rows[:, None] + torch.arange(height, device=images.device)  # (batch, height)
    right = columns[:, None] + torch.arange(width, device=images.device)  # (batch, width)
    padded = functional.pad(images, (padding,) * 4, value=fill)
    picked = padded.gather(2, down[:, None, :, None].expand(batch, channels, height, padded.shape[3]))
    return picked.gather(3, right[:, None, None, :].expand(batch, channels, height, width))
