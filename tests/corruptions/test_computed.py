"""Corruptions against what they are by their definitions, worked out in other ways."""

import colorsys
import io
import math

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from torch import Tensor

from bench.corruptions.computed import STRENGTHS, Computed, corrupted
from bench.corruptions.plasma import plasma
from bench.corruptions.source import Variant
from bench.data.splits import hold_out
from bench.dataset import Data, Split
from bench.errors import InputError

VARIANTS = Computed().variants()
NAMES = list(dict.fromkeys(variant.name for variant in VARIANTS))


def photographs(number: int = 4, side: int = 32, channels: int = 3) -> Tensor:
    """Smooth, with edges, and not symmetric."""
    across = torch.linspace(0, 3, side)
    waves = torch.sin(across[:, None] * torch.arange(1, number + 1)[:, None, None]) + torch.cos(2 * across)
    waves = waves.abs()[:, None] * torch.linspace(0.4, 1, channels)[:, None, None]
    waves[:, :, side // 4 : side // 2, side // 3 :] *= 0.3
    return (255 * waves / waves.max()).to(torch.uint8)


def constant(value: int, number: int = 50, side: int = 32) -> Tensor:
    return torch.full((number, 3, side, side), value, dtype=torch.uint8)


def test_there_are_twelve_at_three_strengths() -> None:
    assert (len(NAMES), len(VARIANTS), STRENGTHS) == (12, 36, (1, 3, 5))
    assert Computed().name == "computed (12 at strengths 1, 3, 5; revision 1)"


@pytest.mark.parametrize("side", [32, 72])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", NAMES)
def test_each_strength_changes_images_more_than_the_one_before(name: str, channels: int, side: int) -> None:
    images = photographs(4, side, channels)
    found = [corrupted(images, Variant(name, strength)) for strength in STRENGTHS]
    assert {(own.shape, own.dtype) for own in found} == {(images.shape, torch.uint8)}
    changes = [(own.float() - images).abs().mean().item() for own in found]
    assert 0 < changes[0] < changes[1] < changes[2]


@pytest.mark.parametrize("variant", VARIANTS[::2], ids=lambda variant: variant.text)
def test_what_is_drawn_for_an_image_is_the_same_in_any_batch(variant: Variant) -> None:
    images = photographs(5)
    whole = corrupted(images, variant, first=7)
    assert torch.equal(torch.cat([corrupted(images[:2], variant, 7), corrupted(images[2:], variant, 9)]), whole)
    assert torch.equal(corrupted(images, variant, first=7), whole)


@pytest.mark.parametrize(
    "name", ["gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise", "motion_blur", "fog"]
)
def test_images_of_other_numbers_have_other_noise(name: str) -> None:
    one = photographs(1).expand(2, -1, -1, -1)
    first, second = corrupted(one, Variant(name, 5))
    assert not torch.equal(first, second)


@pytest.mark.parametrize(
    ("name", "strength", "deviation"),
    [
        # Of a pixel of 0.5: what is added; the root of 0.5 photons in N; 0.5 times the factor.
        ("gaussian_noise", 1, 0.04),
        ("gaussian_noise", 5, 0.10),
        ("shot_noise", 3, math.sqrt(0.5 / 100)),
        ("speckle_noise", 5, 0.5 * 0.2),
    ],
)
def test_noise_has_its_deviation(name: str, strength: int, deviation: float) -> None:
    found = corrupted(constant(128), Variant(name, strength)).float() / 255
    assert found.std().item() == pytest.approx(deviation, rel=0.03)
    assert found.mean().item() == pytest.approx(0.5, abs=0.004)


def test_impulse_noise_makes_a_share_of_values_black_or_white() -> None:
    found = corrupted(constant(100), Variant("impulse_noise", 5))
    assert (found == 0).float().mean().item() == pytest.approx(0.035, rel=0.05)
    assert (found == 255).float().mean().item() == pytest.approx(0.035, rel=0.05)
    assert set(found.unique().tolist()) == {0, 100, 255}


def test_large_images_have_the_constants_of_imagenet() -> None:
    found = corrupted(constant(128, 10, 64), Variant("gaussian_noise", 1)).float() / 255
    assert found.std().item() == pytest.approx(0.08, rel=0.03)


def test_motion_blurs_along_one_line_to_one_side() -> None:
    images = torch.zeros(20, 1, 31, 31, dtype=torch.uint8)
    images[:, :, 15, 15] = 255
    for found in corrupted(images, Variant("motion_blur", 5))[:, 0].double():
        rows, columns = found.nonzero(as_tuple=True)
        # A pixel takes from those on its right: what was at 15 comes from there to the left.
        assert columns.max() == 15
        assert columns.min() < 12
        angles = torch.atan2(rows - 15.0, columns - 15.0)[found[rows, columns] < found.max()]
        turned = torch.atan(torch.tan(angles))
        assert turned.abs().max() <= math.pi / 4 + 0.01
        whole = sum(math.exp(-(far**2) / (2 * 2.5**2)) for far in range(19))
        assert found[15, 15].item() == math.floor(255 / whole)


def test_zoom_blur_is_that_of_scipy() -> None:
    (image,) = photographs(1)
    planes = image.permute(1, 2, 0).double().numpy() / 255
    larger = []
    for zoom in np.arange(1, 1.16, 0.01):
        cut = math.ceil(32 / zoom)
        top = (32 - cut) // 2
        made = ndimage.zoom(planes[top : top + cut, top : top + cut], (zoom, zoom, 1), order=1)
        trim = (made.shape[0] - 32) // 2
        larger.append(made[trim : trim + 32, trim : trim + 32])
    wanted = (planes + sum(larger)) / (len(larger) + 1)
    (found,) = corrupted(image[None], Variant("zoom_blur", 3))
    assert np.abs(found.permute(1, 2, 0).numpy() - 255 * wanted).max() <= 1.01


def test_defocus_blur_is_a_disk() -> None:
    """Of strength 5 for large images: of radius 10, its edge over two pixels or so."""
    images = torch.zeros(1, 1, 65, 65, dtype=torch.uint8)
    images[0, 0, 32, 32] = 255
    (found,) = corrupted(images, Variant("defocus_blur", 5))[0].float()
    rows, columns = np.mgrid[-32:33, -32:33]
    far = np.hypot(rows, columns)
    assert (found.numpy()[far > 12.5] == 0).all()
    # So weak that it is cut to 0: 255 over the 317 pixels of the disk.
    assert found.max() == math.floor(255 / 317)
    bright = constant(200, 1, 65)
    assert torch.equal(corrupted(bright, Variant("defocus_blur", 5)) // 2, bright // 2)


def test_brightness_raises_the_value_alone() -> None:
    images = photographs(1)
    found = corrupted(images, Variant("brightness", 3))
    for place in range(0, 32, 5):
        pixel = (images[0, :, place, 9] / 255).tolist()
        hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
        wanted = colorsys.hsv_to_rgb(hue, saturation, min(value + 0.15, 1))
        assert found[0, :, place, 9].tolist() == pytest.approx([255 * part for part in wanted], abs=1.01)
    assert (corrupted(constant(0, 1), Variant("brightness", 3)) == int(0.15 * 255)).all()


def test_contrast_goes_to_the_mean_of_each_channel() -> None:
    images = photographs(1)
    means = images.float().mean((2, 3), keepdim=True)
    wanted = (images - means) * 0.15 + means
    assert (corrupted(images, Variant("contrast", 5)) - wanted).abs().max() <= 1.01


def test_fog_keeps_the_brightest_within_the_images() -> None:
    images = photographs(3)
    found = corrupted(images, Variant("fog", 5))
    assert (found.amax((1, 2, 3)) <= images.amax((1, 2, 3))).all()
    # A black image stays black: it is scaled to its own brightest pixel, as theirs.
    assert not corrupted(constant(0, 1), Variant("fog", 5)).any()


def test_stored_images_are_those_of_pillow() -> None:
    (image,) = photographs(1)
    whole = Image.fromarray(image.permute(1, 2, 0).numpy())
    stored = io.BytesIO()
    whole.save(stored, "JPEG", quality=40)
    smaller = whole.resize((20, 20), Image.Resampling.BOX).resize((32, 32), Image.Resampling.BOX)
    for name, wanted in (("jpeg_compression", Image.open(stored)), ("pixelate", smaller)):
        (found,) = corrupted(image[None], Variant(name, 5))
        assert np.array_equal(found.permute(1, 2, 0).numpy(), np.array(wanted)), name


def slow_plasma(side: int, decay: float, numbers: list[float]) -> np.ndarray:
    """The same pixel by pixel."""
    field, step, strength = np.zeros((side, side)), side, 100.0
    drawn = iter(numbers)
    while step >= 2:
        half, places = step // 2, range(0, side, step)

        def mean(*around: tuple[int, int]) -> float:
            return sum(field[row % side, column % side] for row, column in around) / 4

        for row in places:
            for column in places:
                around = [(row, column), (row + step, column), (row, column + step), (row + step, column + step)]
                field[row + half, column + half] = mean(*around) + strength**2 * next(drawn)
        made = {}
        for down, right in ((0, half), (half, 0)):
            for row in places:
                for column in places:
                    r, c = row + down, column + right
                    around = [(r - half, c), (r + half, c), (r, c - half), (r, c + half)]
                    made[r, c] = mean(*around) + strength**2 * next(drawn)
        for place, value in made.items():
            field[place] = value
        step, strength = half, strength / decay
    field -= field.min()
    return field / field.max()


@pytest.mark.parametrize("decay", [1.75, 3])
def test_clouds_are_those_of_the_diamond_square_algorithm(decay: float) -> None:
    found = plasma(13, 16, decay, [torch.Generator().manual_seed(seed) for seed in (3, 4)])
    for seed, own in zip((3, 4), found, strict=True):
        numbers = (torch.rand(255, generator=torch.Generator().manual_seed(seed)) * 2 - 1).tolist()
        assert own.numpy() == pytest.approx(slow_plasma(16, decay, numbers)[:13], abs=1e-4)
    assert (found.min(), found.max()) >= (0, 0)
    assert found.max() <= 1


def test_images_of_other_channels_are_refused() -> None:
    images = torch.zeros(8, 4, 8, 8, dtype=torch.uint8)
    split = Split(images, torch.arange(8) % 2)
    data = hold_out(Data(split, split, ("a", "b")), 0.25)
    with pytest.raises(InputError, match="corruptions are for images of 1 or 3 channels; the dataset's images have 4"):
        Computed().check(data)
