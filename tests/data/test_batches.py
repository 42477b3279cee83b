"""Batches: by seed and step alone, from any step on, with targets beside their images."""

import pytest
import torch

from bench.data.augment import Augment
from bench.data.batch import WHOLE, Batches, Part
from bench.data.batches import InMemory, InOrder
from bench.data.mixing import Mixed
from bench.data.normalise import Normalise
from bench.dataset import Split

# Image n has the value n everywhere, and n as its target.
SPLIT = Split(
    torch.arange(23, dtype=torch.uint8)[:, None, None, None].expand(23, 2, 5, 4).contiguous(), torch.arange(23)
)
RGB = Split(SPLIT.images[:, :1].expand(23, 3, 5, 4).contiguous(), SPLIT.targets)
IDENTITY = Normalise(torch.zeros(2, 1, 1), torch.ones(2, 1, 1))


BOTH = Augment(padding=1, flip=True)


def batches(seed: int = 0, augment: Augment = BOTH) -> InMemory:
    return InMemory(SPLIT, IDENTITY, augment, seed, wanted_size=4)


def test_an_epoch_has_each_image_once_but_for_a_smaller_batch_and_targets_go_with_images() -> None:
    made = batches(augment=Augment())
    assert (made.batch_size, made.steps_per_epoch) == (4, 5)
    seen = []
    for images, targets in made.batches(epoch=3):
        assert images.shape == (4, 2, 5, 4)
        assert images[:, 0, 2, 2].tolist() == targets.tolist()
        seen += targets.tolist()
    assert len(seen) == len({*seen}) == 20
    assert seen != sorted(seen)


@pytest.mark.parametrize("first", [0, 1, 4, 5])
def test_from_any_step_on_they_are_those_of_the_whole_epoch(first: int) -> None:
    whole, rest = [*batches().batches(2)], [*batches().batches(2, first)]
    assert len(rest) == 5 - first
    for (images, targets), (others, theirs) in zip(whole[first:], rest, strict=True):
        assert torch.equal(images, others)
        assert torch.equal(targets, theirs)


def test_other_seeds_and_epochs_have_other_orders() -> None:
    orders = {
        tuple(torch.cat([targets for _, targets in batches(seed).batches(epoch)]).tolist())
        for seed in (0, 1)
        for epoch in (0, 1)
    }
    assert len(orders) == 4


def test_a_window_is_drawn_for_each_image_of_an_epoch() -> None:
    """Padding of 1 leaves each of nine windows to about a ninth; in all that hold the border, zeros are seen."""
    augment = Augment(padding=1)
    drawn = augment.draw(900, (2, 2), torch.Generator().manual_seed(0))
    places = torch.bincount(3 * drawn.rows + drawn.columns, minlength=9)
    assert ((places > 60) & (places < 140)).all()
    images = torch.ones(900, 1, 2, 2, dtype=torch.uint8)
    cut, _ = augment(images, torch.zeros(900), drawn)
    lost = (
        2 * ((drawn.rows != 1).long() + (drawn.columns != 1).long()) - ((drawn.rows != 1) & (drawn.columns != 1)).long()
    )
    assert torch.equal(4 - cut.sum((1, 2, 3)).long(), lost)


def test_what_is_evaluated_comes_in_order_to_the_last_image() -> None:
    made = InOrder(SPLIT, IDENTITY, size=10)
    for _ in range(2):
        parts = [targets for _, targets in made]
        assert [len(part) for part in parts] == [10, 10, 3]
        assert torch.cat(parts).tolist() == [*range(23)]


def test_of_large_images_a_batch_has_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.data.batches._PIXELS", 65)  # images have 20
    assert [len(images) for images, _ in InOrder(SPLIT, IDENTITY, size=10)] == [*[3] * 7, 2]
    monkeypatch.setattr("bench.data.batches._PIXELS", 19)
    assert [len(images) for images, _ in InOrder(SPLIT, IDENTITY, size=10)] == [1] * 23


@pytest.mark.parametrize("processes", [2, 3])
@pytest.mark.parametrize("size", [4, 7])
def test_parts_of_batches_are_what_the_whole_ones_have_there(processes: int, size: int) -> None:
    operated = Augment(padding=1, flip=True, operations=3)
    made: Batches = InMemory(RGB, Normalise(torch.zeros(3, 1, 1), torch.ones(3, 1, 1)), operated, 0, size)
    for batches in (made, Mixed(made, 23, 0, 0.4, 1.0)):
        whole = [*batches.batches(2, 1)]
        parts = [[*batches.batches(2, 1, Part(number, processes))] for number in range(processes)]
        for step, (images, targets) in enumerate(whole):
            own = [parts[number][step] for number in range(processes)]
            assert {len(part) for part, _ in own} <= {size // processes, size // processes + 1}
            assert torch.equal(torch.cat([part for part, _ in own]), images)
            assert torch.equal(torch.cat([part for _, part in own]), targets)


@pytest.mark.parametrize("processes", [2, 5])
def test_batches_that_are_evaluated_are_shared_out(processes: int) -> None:
    made = InOrder(SPLIT, IDENTITY, size=10)
    whole = [targets.tolist() for _, targets in made]
    shares = [[targets.tolist() for _, targets in made.part(Part(n, processes))] for n in range(processes)]
    assert [whole[number::processes] for number in range(processes)] == shares
    assert [targets.tolist() for _, targets in made.part(WHOLE)] == whole
