"""Twelve corruptions of images at three strengths, as in CIFAR-10-C and ImageNet-C (Hendrycks and Dietterich,
"Benchmarking Neural Network Robustness to Common Corruptions and Perturbations", ICLR 2019).

Names and constants are the authors' for strengths 1, 3 and 5 of five. Images with a side below 64 pixels use the
constants of CIFAR-10-C, larger images those of ImageNet-C. Random numbers differ from theirs in their bits but follow
the same distribution. Four of their fifteen corruptions are left out: frost needs photographs, the elastic transform
would move the content of masks, and snow and glass blur are slow. Speckle noise is one of their four additional
corruptions.
"""

import io
import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from bench.corruptions.plasma import plasma
from bench.corruptions.source import Variant
from bench.data.batch import Batch
from bench.data.batches import in_order
from bench.data.normalise import Normalise, as_they_are
from bench.data.streaming import Loading
from bench.dataset import Data
from bench.errors import InputError
from bench.seeding import CORRUPTIONS, generator

# The strengths used, of five.
STRENGTHS = (1, 3, 5)
# Raise it when the same name and strength give other images.
REVISION = 1
# From this side on, in pixels, the constants are those of ImageNet-C.
_LARGE = 64

# One generator for each image.
Draws = Sequence[torch.Generator]


@dataclass(frozen=True)
class Computed:
    """All twelve corruptions at all strengths, computed from the test images as they are read
    (`bench.corruptions.source.Source`)."""

    @property
    def name(self) -> str:
        return f"computed ({len(_ALL)} at strengths {', '.join(map(str, STRENGTHS))}; revision {REVISION})"

    def variants(self) -> Sequence[Variant]:
        return [Variant(name, strength) for name in _ALL for strength in STRENGTHS]

    def check(self, data: Data) -> None:
        if (channels := data.image_shape[0]) not in (1, 3):
            raise InputError(f"corruptions are for images of 1 or 3 channels; the dataset's images have {channels}")

    def batches(self, variant: Variant, data: Data, normalise: Normalise, loading: Loading) -> Iterator[Batch]:
        first = 0
        for images, targets in in_order(data.test, as_they_are(normalise), loading):
            yield normalise(corrupted(images.to(torch.uint8), variant, first)), targets
            first += len(images)


def corrupted(images: Tensor, variant: Variant, first: int = 0) -> Tensor:
    """Corrupt uint8 images `(n, channels, height, width)`. `first` is the number of the first image in its split.

    The random numbers of an image follow from its number alone, so every network sees the same images.
    """
    seed = zlib.crc32(variant.text.encode())
    draws = [generator(seed, first + place, CORRUPTIONS) for place in range(len(images))]
    corrupt, small, large = _ALL[variant.name]
    constants = (large if min(images.shape[2:]) >= _LARGE else small)[STRENGTHS.index(variant.strength)]
    # Truncated and not rounded, like the authors' images.
    return (corrupt(images.float() / 255, constants, draws).clamp(0, 1) * 255).to(torch.uint8)


def _drawn(draw: Callable[..., Tensor], like: Tensor, draws: Draws) -> Tensor:
    """Random numbers in the shape of the images, each image from its own generator."""
    return torch.stack([draw(like.shape[1:], generator=own) for own in draws]).to(like.device)


def _gaussian_noise(images: Tensor, scale: float, draws: Draws) -> Tensor:
    return images + scale * _drawn(torch.randn, images, draws)


def _shot_noise(images: Tensor, photons: float, draws: Draws) -> Tensor:
    counts = [torch.poisson(image * photons, own) for image, own in zip(images.cpu(), draws, strict=True)]
    return torch.stack(counts).to(images.device) / photons


def _impulse_noise(images: Tensor, amount: float, draws: Draws) -> Tensor:
    """Each value is black or white with half of this probability."""
    drawn = _drawn(torch.rand, images, draws)
    return torch.where(drawn < amount, (drawn < amount / 2).float(), images)


def _speckle_noise(images: Tensor, scale: float, draws: Draws) -> Tensor:
    return images + images * scale * _drawn(torch.randn, images, draws)


def _defocus_blur(images: Tensor, disk: tuple[float, float], draws: Draws) -> Tensor:
    kernel = _disk(*disk).to(images)
    reach = kernel.shape[0] // 2
    channels = images.shape[1]
    padded = functional.pad(images, [reach] * 4, mode="reflect" if min(images.shape[2:]) > reach else "replicate")
    return functional.conv2d(padded, kernel.expand(channels, 1, *kernel.shape), groups=channels)


def _disk(radius: float, smooth: float) -> Tensor:
    """A disk of this radius in pixels, its edge smoothed by a Gaussian of this deviation."""
    reach = math.floor(radius) + 2
    across = torch.arange(-reach, reach + 1, dtype=torch.float32)
    disk = (across[:, None] ** 2 + across**2 <= radius**2).float()
    around = 1 if radius <= 8 else 2
    line = torch.exp(-(torch.arange(-around, around + 1) ** 2) / (2 * smooth**2))
    line = line / line.sum()
    return functional.conv2d((disk / disk.sum())[None, None], (line[:, None] * line)[None, None], padding=around)[0, 0]


def _motion_blur(images: Tensor, blur: tuple[int, float], draws: Draws) -> Tensor:
    """Blur along a line with Gaussian weights, to one side, at each image's own angle, like ImageMagick."""
    radius, deviation = blur
    weights = torch.exp(-(torch.arange(2 * radius + 1) ** 2) / (2 * deviation**2)).tolist()
    whole = sum(weights)
    height, width = images.shape[2:]
    reach = 2 * radius
    padded = functional.pad(images, [reach] * 4, mode="replicate")
    found = torch.zeros_like(images)
    for image, own, draw in zip(padded, found, draws, strict=True):
        angle = math.radians(90 * torch.rand((), generator=draw).item() - 45)
        for far, weight in enumerate(weights):
            down, right = reach + round(far * math.sin(angle)), reach + round(far * math.cos(angle))
            own.add_(image[:, down : down + height, right : right + width], alpha=weight / whole)
    return found


def _zoom_blur(images: Tensor, zooms: tuple[int, float], draws: Draws) -> Tensor:
    """The mean of the image and of `zooms[0]` enlarged copies, each larger than the one before by `zooms[1]`."""
    number, step = zooms
    larger = sum((_zoomed(images, 1 + place * step) for place in range(number)), torch.zeros_like(images))
    return (images + larger) / (number + 1)


def _zoomed(images: Tensor, times: float) -> Tensor:
    height, width = images.shape[2:]
    cut = [math.ceil(side / times) for side in (height, width)]
    top, left = (height - cut[0]) // 2, (width - cut[1]) // 2
    middle = images[:, :, top : top + cut[0], left : left + cut[1]]
    size = [round(side * times) for side in cut]
    made = functional.interpolate(middle, size, mode="bilinear", align_corners=True)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    return made[:, :, top : top + height, left : left + width]


def _fog(images: Tensor, fog: tuple[float, float], draws: Draws) -> Tensor:
    thickness, decay = fog
    height, width = images.shape[2:]
    layer = plasma(height, width, decay, draws).to(images.device)[:, None]
    brightest = images.amax((1, 2, 3), keepdim=True)
    return (images + thickness * layer) * brightest / (brightest + thickness)


def _brightness(images: Tensor, more: float, draws: Draws) -> Tensor:
    """Raise the value of HSV, so that colours keep their hue and saturation."""
    value = images.amax(1, keepdim=True)
    raised = (value + more).clamp(max=1)
    return torch.where(value > 0, images * raised / value.clamp(min=1e-6), raised)


def _contrast(images: Tensor, share: float, draws: Draws) -> Tensor:
    means = images.mean((2, 3), keepdim=True)
    return (images - means) * share + means


def _pixelate(images: Tensor, share: float, draws: Draws) -> Tensor:
    return _by_pillow(images, partial(_pixelated, share=share))


def _pixelated(image: Image.Image, share: float) -> Image.Image:
    smaller = [max(1, int(side * share)) for side in image.size]
    return image.resize((smaller[0], smaller[1]), Image.Resampling.BOX).resize(image.size, Image.Resampling.BOX)


def _jpeg_compression(images: Tensor, quality: int, draws: Draws) -> Tensor:
    return _by_pillow(images, partial(_compressed, quality=quality))


def _compressed(image: Image.Image, quality: int) -> Image.Image:
    stored = io.BytesIO()
    image.save(stored, "JPEG", quality=quality)
    return Image.open(stored)


def _by_pillow(images: Tensor, change: Callable[[Image.Image], Image.Image]) -> Tensor:
    whole = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    grey = whole.shape[-1] == 1
    made = [np.array(change(Image.fromarray(image[..., 0] if grey else image))) for image in whole]
    found = torch.from_numpy(np.stack(made)).to(images.device)
    return (found[:, None] if grey else found.permute(0, 3, 1, 2)).float() / 255


# Each corruption, with its constants at the three strengths for small and for large images.
_ALL: dict[str, tuple[Callable[[Tensor, Any, Draws], Tensor], Sequence[Any], Sequence[Any]]] = {
    "gaussian_noise": (_gaussian_noise, (0.04, 0.08, 0.10), (0.08, 0.18, 0.38)),
    "shot_noise": (_shot_noise, (500, 100, 50), (60, 12, 3)),
    "impulse_noise": (_impulse_noise, (0.01, 0.03, 0.07), (0.03, 0.09, 0.27)),
    "speckle_noise": (_speckle_noise, (0.06, 0.12, 0.2), (0.15, 0.35, 0.6)),
    "defocus_blur": (_defocus_blur, ((0.3, 0.4), (0.5, 0.6), (1.5, 0.1)), ((3, 0.1), (6, 0.5), (10, 0.5))),
    "motion_blur": (_motion_blur, ((6, 1), (6, 2), (9, 2.5)), ((10, 3), (15, 8), (20, 15))),
    "zoom_blur": (_zoom_blur, ((7, 0.01), (16, 0.01), (26, 0.01)), ((12, 0.01), (11, 0.02), (11, 0.03))),
    "fog": (_fog, ((0.2, 3), (0.75, 2.5), (1.5, 1.75)), ((1.5, 2), (2.5, 1.7), (3, 1.4))),
    "brightness": (_brightness, (0.05, 0.15, 0.3), (0.1, 0.3, 0.5)),
    "contrast": (_contrast, (0.75, 0.4, 0.15), (0.4, 0.2, 0.05)),
    "pixelate": (_pixelate, (0.95, 0.85, 0.65), (0.6, 0.4, 0.25)),
    "jpeg_compression": (_jpeg_compression, (80, 58, 40), (25, 15, 7)),
}
