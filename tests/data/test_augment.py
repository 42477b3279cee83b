"""Random scale and crop: a window of the enlarged image, and the mask's own beside it."""

import pytest
import torch

from bench.data.augment import AS_IT_IS, Augment, Drawn
from bench.data.batches import InMemory
from bench.data.normalise import Normalise
from bench.dataset import IGNORED, Split


def drawn(row: int, column: int, scale: float, mirrored: bool = False) -> Drawn:
    return Drawn(torch.tensor([row]), torch.tensor([column]), torch.tensor([mirrored]), torch.tensor([[scale, scale]]))


def test_a_mask_twice_as_large_has_each_pixel_four_times() -> None:
    mask = torch.arange(20, dtype=torch.uint8).view(1, 4, 5)
    _, window = Augment(scale=(1, 3))(torch.zeros(1, 3, 4, 5, dtype=torch.uint8), mask, drawn(2, 3, 2.0))
    enlarged = mask[0].repeat_interleave(2, 0).repeat_interleave(2, 1)
    assert torch.equal(window[0], enlarged[2:6, 3:8])


def test_what_lies_outside_is_black_and_has_no_class() -> None:
    images, masks = torch.full((1, 3, 4, 4), 200, dtype=torch.uint8), torch.full((1, 4, 4), 6, dtype=torch.uint8)
    image, mask = Augment(scale=(0.5, 1))(images, masks, drawn(-1, -2, 0.5))
    inside = torch.zeros(4, 4, dtype=torch.bool)
    inside[1:3, 2:4] = True  # the image is 2x2 by now, one pixel from the top and two from the left
    assert torch.equal(mask[0] == 6, inside)
    assert torch.equal(mask[0] == IGNORED, ~inside)
    # At its edge the image fades; the middle of each pixel is that of two others, all of 200.
    assert (image[0, :, inside] == 200).all()
    assert (image[0, :, ~inside] == 0).all()


def test_halves_are_means_as_bilinear_interpolation_has_them() -> None:
    image = torch.tensor([[10, 20, 30, 40], [50, 60, 70, 80]], dtype=torch.uint8).expand(1, 1, 2, 4)
    window, _ = Augment(scale=(0.5, 1), crop=1)(image, torch.zeros(1), drawn(0, 1, 0.5))
    # The window's only pixel is the second of a row of two: the mean of four.
    assert window.flatten().tolist() == [(30 + 40 + 70 + 80) / 4]


def test_images_and_masks_move_together() -> None:
    random = torch.Generator().manual_seed(0)
    masks = torch.randint(5, (64, 3, 3), generator=random).to(torch.uint8)
    masks = masks.repeat_interleave(8, 1).repeat_interleave(8, 2)
    images = (40 * masks[:, None] + 20).expand(64, 3, 24, 24)
    augment = Augment(flip=True, scale=(0.5, 2.0), crop=16)
    moved, others = augment(images, masks, augment.draw(64, (24, 24), random))
    assert moved.shape == (64, 3, 16, 16)
    assert others.shape == (64, 16, 16)
    expected = torch.where(others == IGNORED, 0, 40 * others.int() + 20)
    # Where two fields meet, or the image ends, a pixel is between the two.
    flat = torch.nn.functional.max_pool2d(expected[:, None].float(), 3, 1, 1) == -torch.nn.functional.max_pool2d(
        -expected[:, None].float(), 3, 1, 1
    )
    assert flat.float().mean() > 0.3
    flat[..., [0, -1], :] = flat[..., [0, -1]] = False  # what lies beyond the window isn't seen
    assert torch.equal(moved[:, :1][flat], expected[:, None][flat].to(torch.uint8))


@pytest.mark.parametrize(("scale", "crop", "padding"), [((0.5, 2.0), 0, 0), ((1.0, 1.0), 9, 0), ((0.7, 0.7), 12, 3)])
def test_windows_lie_everywhere_and_never_further_out_than_they_must(
    scale: tuple[float, float], crop: int, padding: int
) -> None:
    size = (20, 15)
    made = Augment(padding, False, scale, crop).draw(2000, size, torch.Generator().manual_seed(0))
    assert scale[0] <= made.scales.min() <= made.scales.max() <= scale[1]
    for side, starts, scales in zip(size, (made.rows, made.columns), made.scales.unbind(1), strict=True):
        window = crop or side
        room = side * scales + padding - window
        low, high = torch.minimum(room, torch.tensor(-padding)), torch.maximum(room, torch.tensor(-padding))
        assert ((starts >= low - 0.5) & (starts <= high + 0.5)).all()
        share = (starts - low) / (high - low).clamp(min=1)
        roomy = (high - low) > 4
        if roomy.any():
            assert 0.4 < share[roomy].mean() < 0.6


def test_without_either_it_draws_and_cuts_as_before() -> None:
    images = torch.randint(256, (6, 3, 8, 8), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    plain = Augment(2, True)
    assert plain.scale == AS_IT_IS
    made = plain.draw(6, (8, 8), torch.Generator().manual_seed(2))
    random = torch.Generator().manual_seed(2)
    offsets, mirrored = torch.randint(0, 5, (2, 6), generator=random), torch.rand(6, generator=random) < 0.5
    assert torch.equal(torch.stack([made.rows, made.columns]), offsets)
    padded = torch.nn.functional.pad(images, (2, 2, 2, 2))
    for place, window in enumerate(plain(images, torch.zeros(6), made)[0]):
        row, column = offsets[:, place].tolist()
        cut = padded[place, :, row : row + 8, column : column + 8]
        assert torch.equal(window, cut.flip(2) if mirrored[place] else cut)


def test_from_any_step_on_batches_are_those_of_the_whole_epoch() -> None:
    random = torch.Generator().manual_seed(3)
    split = Split(
        torch.randint(256, (23, 3, 8, 8), generator=random).to(torch.uint8),
        torch.randint(4, (23, 8, 8), generator=random).to(torch.uint8),
    )
    plain = Normalise(torch.zeros(3, 1, 1), torch.ones(3, 1, 1))
    made = InMemory(split, plain, Augment(flip=True, scale=(0.5, 2.0), crop=6), seed=1, wanted_size=4)
    whole, rest = [*made.batches(2)], [*made.batches(2, 3)]
    assert [images.shape for images, _ in whole] == [(4, 3, 6, 6)] * 5
    for (images, masks), (others, theirs) in zip(whole[3:], rest, strict=True):
        assert torch.equal(images, others)
        assert torch.equal(masks, theirs)


def test_flips_that_alternate_show_both_sides_of_each_image_in_two_epochs() -> None:
    random = torch.Generator().manual_seed(0)
    images = torch.randint(256, (40, 3, 6, 6), generator=random).to(torch.uint8)
    split, normalise = Split(images, torch.arange(40)), Normalise(torch.zeros(3, 1, 1), torch.ones(3, 1, 1))
    augment = Augment(flip=True, alternate=True)

    def seen(epoch: int) -> torch.Tensor:
        """Which images are mirrored, by their number."""
        found = torch.zeros(40, dtype=torch.bool)
        for pixels, numbers in InMemory(split, normalise, augment, 3, 10).batches(epoch):
            mirrored = (pixels == images[numbers].flip(3)).flatten(1).all(1)
            assert torch.equal(mirrored, ~(pixels == images[numbers]).flatten(1).all(1))
            found[numbers] = mirrored
        return found

    epochs = [seen(epoch) for epoch in range(4)]
    assert 10 < epochs[0].sum() < 30
    assert torch.equal(epochs[1], ~epochs[0])
    assert torch.equal(epochs[2], epochs[0])
    assert torch.equal(epochs[3], ~epochs[0])
