"""Random crop and flip of a whole batch at once, on the device that holds it."""

import torch
from torch import Tensor
from torch.nn import functional


def crop(images: Tensor, padding: int, generator: torch.Generator) -> Tensor:
    """Pad each image with `padding` zeros on every side and cut a window of the old size out at a random place.

    images `(batch, channels, height, width)`, same shape out. `generator` is on the CPU, so that every device draws the
    same numbers.
    """
    batch, channels, height, width = images.shape
    offsets = torch.randint(0, 2 * padding + 1, (2, batch, 1), generator=generator).to(images.device)
    rows = offsets[0] + torch.arange(height, device=images.device)  # (batch, height)
    columns = offsets[1] + torch.arange(width, device=images.device)  # (batch, width)
    padded = functional.pad(images, (padding,) * 4)
    picked = padded.gather(2, rows[:, None, :, None].expand(batch, channels, height, padded.shape[3]))
    return picked.gather(3, columns[:, None, None, :].expand(batch, channels, height, width))


def flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror each image left to right with probability one half."""
    mirrored = torch.rand(len(images), generator=generator).to(images.device) < 0.5
    return torch.where(mirrored[:, None, None, None], images.flip(3), images)
