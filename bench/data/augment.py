"""Random scale, crop and flip of a whole batch at once, on the device that holds it."""

import math
from dataclasses import dataclass, fields, replace
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.transforms import v2

from bench.data.batch import Places
from bench.dataset import IGNORED
from bench.seeding import AUGMENT, FLIPS, generator

AS_IT_IS = (1.0, 1.0)
# The largest ratio of a part's sides, and the number of parts that are drawn.
_MOST_RATIO, _TRIES = 4 / 3, 10
# The number of operations on each image, as in torchvision's recipes.
_OPERATIONS = 2
# The side of the blur's kernel, and the range of its deviation. The CSG authors draw a radius from 0 to 1.
_BLUR_PIXELS, _DEVIATIONS = 7, (0.01, 1.0)


@dataclass(frozen=True)
class Drawn:
    """The random numbers for each image, `(images,)`: the place of its window in the enlarged image (`rows`,
    `columns`), whether it is `mirrored`, and the factors of enlargement, down and across (`scales` `(images, 2)`)."""

    rows: Tensor
    columns: Tensor
    mirrored: Tensor
    scales: Tensor

    def to(self, device: torch.device) -> Self:
        return type(self)(*(getattr(self, field.name).to(device) for field in fields(self)))

    def __getitem__(self, place: Places) -> Self:
        return type(self)(*(getattr(self, field.name)[place] for field in fields(self)))


@dataclass(frozen=True)
class Augment:
    """Augments a batch of images by random scale, crop and flip.

    Enlarges each image by a random factor in the range `scale`, and pads it with `padding` zeros on every side (masks
    with pixels of no class). Then cuts out a window of `crop` pixels a side at a random place (0: as large as the image
    was). With `flip` it mirrors half of the images.

    If `area` is given, it replaces that window: a part of the image with a fraction of its area in this range and a
    shape between 3:4 and 4:3 is resized to the window's size (Szegedy et al., "Going Deeper with Convolutions", 2015).

    `growing` replaces `crop` by a list of window sides, one for each of as many equal parts of `epochs`. Before all
    this, `operations` is the magnitude of RandAugment on each single image, and `blur` the chance of a blur; 0: none.

    With `alternate`, each epoch mirrors the images that the last epoch did not mirror, so that two epochs show both
    sides of every image (Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", 2024).
    """

    padding: int = 0
    flip: bool = False
    scale: tuple[float, float] = AS_IT_IS
    crop: int = 0
    area: tuple[float, float] = AS_IT_IS
    growing: tuple[int, ...] = ()
    epochs: int = 1
    operations: int = 0
    blur: float = 0.0
    alternate: bool = False

    def operated(self, image: Tensor, seed: int) -> Tensor:
        """An image `(channels, height, width)` uint8 after two operations of RandAugment (Cubuk et al., 2020) and, by
        chance, a Gaussian blur with a deviation of up to a pixel. The seed decides every random choice."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            if self.operations:
                image = v2.RandAugment(_OPERATIONS, self.operations)(image)
            if float(torch.rand(())) < self.blur:
                image = v2.GaussianBlur(_BLUR_PIXELS, _DEVIATIONS)(image)
            return image

    @property
    def operates(self) -> bool:
        """Whether single images are changed, by RandAugment or blur."""
        return bool(self.operations or self.blur)

    def at(self, epoch: int) -> "Augment":
        """The augmentation of one epoch, counted from 0."""
        if not self.growing:
            return self
        part = min(len(self.growing) - 1, epoch * len(self.growing) // self.epochs)
        return replace(self, growing=(), crop=self.growing[part])

    def draw_epoch(self, order: Tensor, size: tuple[int, int], seed: int, epoch: int) -> Drawn:
        """Random numbers for the images with the indices `order`, in this order, in an epoch counted from 0."""
        drawn = self.draw(len(order), size, generator(seed, epoch, AUGMENT))
        if not self.alternate:
            return drawn
        at_first = torch.rand(len(order), generator=generator(seed, 0, FLIPS)) < 0.5  # indexed by image
        return replace(drawn, mirrored=at_first[order] ^ bool(epoch % 2))

    def draw(self, images: int, size: tuple[int, int], generator: torch.Generator) -> Drawn:
        """Random numbers for `images` images of this size, (height, width), on the CPU."""
        if not self._resizes:
            offsets = torch.randint(0, 2 * self.padding + 1, (2, images), generator=generator)
            mirrored = torch.rand(images, generator=generator) < 0.5
            return Drawn(offsets[0], offsets[1], mirrored, torch.ones(images, 2))
        if self.area != AS_IT_IS:
            return self._parts(images, size, generator)
        least, most = self.scale
        scales = least + (most - least) * torch.rand(images, generator=generator)
        starts = []
        for side, window in zip(size, self._window(size), strict=True):
            room = side * scales + 2 * self.padding - window  # negative if the window is larger
            share = torch.rand(images, generator=generator)
            starts.append((share * room - self.padding).round().long())
        mirrored = torch.rand(images, generator=generator) < 0.5
        return Drawn(starts[0], starts[1], mirrored, scales[:, None].expand(images, 2))

    def _parts(self, images: int, size: tuple[int, int], generator: torch.Generator) -> Drawn:
        """Draw several parts and take the first that lies in the image. Rarely none does; then the whole image is
        taken."""
        height, width = size
        numbers = torch.rand(images, _TRIES, 2, generator=generator)
        least, most = self.area
        area = height * width * (least + (most - least) * numbers[..., 0])
        ratio = torch.exp((2 * numbers[..., 1] - 1) * math.log(_MOST_RATIO))
        sides = torch.stack([(area / ratio).sqrt(), (area * ratio).sqrt()], dim=2).round().clamp(min=1)
        whole = torch.tensor([height, width], dtype=sides.dtype)
        first = (sides <= whole).all(2).float().argmax(1)
        chosen = sides[torch.arange(images), first]
        chosen = torch.where((chosen <= whole).all(1, keepdim=True), chosen, whole)
        scales = torch.tensor(self._window(size)) / chosen
        starts = (torch.rand(images, 2, generator=generator) * (whole - chosen + 1)).floor() * scales
        return Drawn(starts[:, 0], starts[:, 1], torch.rand(images, generator=generator) < 0.5, scales)

    def __call__(self, images: Tensor, targets: Tensor, drawn: Drawn) -> tuple[Tensor, Tensor]:
        """The augmented images `(batch, channels, height, width)` and their targets. Masks `(batch, height, width)` are
        changed like the images; a target of one number stays."""
        images = self._moved(images, drawn, 0, "bilinear")
        if targets.ndim == 3:
            targets = self._moved(targets[:, None], drawn, IGNORED, "nearest")[:, 0]
        return images, targets

    @property
    def _resizes(self) -> bool:
        return self.scale != AS_IT_IS or self.crop > 0 or self.area != AS_IT_IS

    def _window(self, size: tuple[int, int]) -> tuple[int, int]:
        return (self.crop, self.crop) if self.crop else size

    def _moved(self, images: Tensor, drawn: Drawn, fill: int, mode: str) -> Tensor:
        if self._resizes:
            images = _sampled(images, self._window((images.shape[2], images.shape[3])), drawn, fill, mode)
        elif self.padding:
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


def _sampled(images: Tensor, window: tuple[int, int], drawn: Drawn, fill: int, mode: str) -> Tensor:
    """Windows `(batch, channels, *window)` of the enlarged images. They begin at `drawn.rows` and `drawn.columns` of
    the enlarged images, and `fill` lies around the images. uint8 in and out."""
    batch, _, height, width = images.shape
    places = []
    each = ((height, window[0], drawn.rows), (width, window[1], drawn.columns))
    for (side, length, start), scales in zip(each, drawn.scales.unbind(1), strict=True):
        middles = start[:, None] + torch.arange(length, device=images.device) + 0.5  # of the window's pixels
        places.append(2 * middles / (scales[:, None] * side) - 1)  # -1 to 1 from edge to edge
    down, right = places
    grid = torch.stack([right[:, None, :].expand(batch, *window), down[:, :, None].expand(batch, *window)], dim=3)
    # grid_sample takes pixels outside of the image as zero, so `fill` is made zero.
    shifted = images.float() - fill
    sampled = functional.grid_sample(shifted, grid, mode=mode, padding_mode="zeros", align_corners=False)
    return (sampled + fill).round().clamp(0, 255).to(torch.uint8)
