"""The images that are shown of a run: evenly spread, the same for all, with what counted in the score."""

import torch
from torch import Tensor, nn

from bench.data.batches import InOrder
from bench.data.normalise import Normalise
from bench.dataset import IGNORED, Split
from bench.plan.task_choice import find_task
from bench.training.evaluate import evaluate, metered
from bench.training.kept import KeptExamples, smaller_images, smaller_maps

TASK = find_task("segmentation").task
AS_THEY_ARE = Normalise(torch.zeros(3, 1, 1), torch.ones(3, 1, 1))


class Brightest(nn.Module):
    """Takes each pixel for its brightest channel."""

    def forward(self, images: Tensor) -> Tensor:
        return images


def split(images: int, height: int = 5, width: int = 4) -> Split:
    random = torch.Generator().manual_seed(images)
    masks = torch.randint(3, (images, height, width), generator=random, dtype=torch.uint8)
    masks[torch.rand(masks.shape, generator=random) < 0.2] = IGNORED
    return Split(torch.randint(256, (images, 3, height, width), generator=random, dtype=torch.uint8), masks)


def test_six_of_them_whatever_the_batches_and_with_the_pixels_that_were_scored() -> None:
    images = split(101)
    for size in (1, 7, 500):
        kept = KeptExamples(TASK, images)
        evaluate(Brightest(), InOrder(images, AS_THEY_ARE, size), TASK, 3, kept)
        found = kept.arrays()
        assert found["number"].tolist() == [0, 20, 40, 60, 80, 100]
        for place, number in enumerate(found["number"]):
            assert found["image"][place].tolist() == images.images[number].tolist()
            assert found["mask"][place].tolist() == images.targets[number].tolist()
            assert found["predicted"][place].tolist() == images.images[number].long().argmax(0).tolist()
        assert {found[name].dtype.str for name in ("image", "mask", "predicted")} == {"|u1"}


def test_of_few_images_all_are_shown_and_give_the_score_again() -> None:
    images = split(4)
    kept = KeptExamples(TASK, images)
    meter = metered(Brightest(), InOrder(images, AS_THEY_ARE, 3), TASK, 3, kept)
    found = kept.arrays()
    assert found["number"].tolist() == [0, 1, 2, 3]
    own, taken = found["mask"], found["predicted"]
    for number, figure in enumerate(meter.by_class()):
        named = own != IGNORED
        both = ((own == number) & (taken == number)).sum()
        either = named & ((own == number) | (taken == number))
        assert figure == 100 * both / either.sum()


def test_a_task_that_shows_nothing_keeps_nothing() -> None:
    images = Split(torch.zeros(9, 3, 1, 1, dtype=torch.uint8), torch.zeros(9, dtype=torch.int64))
    kept = KeptExamples(find_task("classification").task, images)
    kept(torch.zeros(9, 3), images.targets)
    assert kept.arrays() == {}


def test_large_images_are_made_smaller_by_means_and_masks_by_the_nearest_pixel() -> None:
    """To half of 320 x 240, each pixel of two by two; what is small stays."""
    images, maps = split(1, 240, 320).images, split(2, 240, 320).targets
    small, few = smaller_images(images), smaller_maps(maps)
    assert small.shape == (1, 3, 120, 160)
    assert few.shape == (2, 120, 160)
    means = images.double().view(1, 3, 120, 2, 160, 2).mean((3, 5))
    assert (small.double() - means).abs().max() <= 0.5
    corners = maps.view(2, 120, 2, 160, 2)
    assert torch.equal(few, corners[:, :, 1, :, 1])
    assert smaller_images(images[..., :160, :160]).tolist() == images[..., :160, :160].tolist()
    assert torch.equal(smaller_maps(maps[:, :160, :160]), maps[:, :160, :160])


def test_a_very_long_image_keeps_a_pixel_of_its_height() -> None:
    assert smaller_images(torch.zeros(1, 3, 2, 900, dtype=torch.uint8)).shape == (1, 3, 1, 160)
    assert smaller_maps(torch.zeros(1, 2, 900, dtype=torch.uint8)).shape == (1, 1, 160)
