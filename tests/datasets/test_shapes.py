"""The embedded dataset for segmentation."""

from pathlib import Path

import pytest
import torch

from bench.dataset import Data
from bench.datasets.shapes import CLASSES, Shapes
from bench.plan.dataset_choice import find_dataset


def load(**options: int) -> Data:
    return Shapes(**options).load(Path(), download=False)


def test_the_same_bytes_for_the_same_seed() -> None:
    data = load(train=60, test=40)
    assert data.classes == CLASSES
    assert data.train.images.shape == (60, 3, 32, 32)
    assert data.train.targets.shape == (60, 32, 32)
    assert data.train.targets.dtype == torch.uint8
    again, other = load(train=60, test=40), load(train=60, test=40, seed=1)
    assert torch.equal(data.train.images, again.train.images)
    assert torch.equal(data.test.targets, again.test.targets)
    assert not torch.equal(data.train.images, other.train.images)
    # On every machine: sums, not to be changed without a revision.
    assert (int(data.train.images.long().sum()), int(data.train.targets.long().sum())) == SUMS


SUMS = (17989409, 74043)


def test_masks_are_where_the_shapes_are() -> None:
    """A pixel of a shape differs from what lies a few pixels off more than one of the background does."""
    data = load(train=300, test=1)
    shares = torch.bincount(data.train.targets.flatten().long(), minlength=len(CLASSES)) / data.train.targets.numel()
    assert 0.5 < shares[0] < 0.75
    assert shares[1:].min() > 0.6 * shares[1:].max()
    images, masks = data.train.images.double(), data.train.targets
    steps = (images[..., 1:] - images[..., :-1]).abs().mean(1)
    at_border = masks[..., 1:] != masks[..., :-1]
    assert steps[at_border].mean() > 3 * steps[~at_border].mean()


@pytest.mark.parametrize(
    ("text", "message"), [("shapes:train=0", "at least one"), ("shapes:test=999999", "up to 250,000")]
)
def test_odd_numbers_are_refused(text: str, message: str) -> None:
    with pytest.raises(Exception, match=message):
        find_dataset(text)
