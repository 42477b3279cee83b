"""What is done with every dataset's images: holding out, normalising, augmenting, evaluating."""

import pytest
import torch
from torch import Tensor, nn

from bench.data.augment import Augment
from bench.data.batches import InOrder
from bench.data.normalise import Normalise
from bench.data.splits import count_leaked, fingerprint, hold_out
from bench.dataset import Data, Split
from bench.errors import InputError
from bench.plan.task_choice import find_task
from bench.training.evaluate import evaluate


def numbered(count: int, start: int = 0) -> Split:
    """Images that all differ: each holds its own number in its first pixel."""
    images = torch.zeros(count, 1, 2, 2, dtype=torch.uint8)
    images[:, 0, 0, 0] = torch.arange(start, start + count)
    return Split(images, torch.arange(count) % 3)


def numbers(split: Split) -> set[int]:
    return set(split.images[:, 0, 0, 0].tolist())


def test_held_out_images_are_no_training_images() -> None:
    data = hold_out(Data(numbered(100), numbered(20, 200), ("a", "b", "c")), 0.25)
    assert data.validation is not None
    assert (len(data.train), len(data.validation), len(data.test)) == (75, 25, 20)
    assert numbers(data.train) | numbers(data.validation) == set(range(100))
    assert not numbers(data.train) & numbers(data.validation)
    assert not numbers(data.test) & (numbers(data.train) | numbers(data.validation))


def test_the_split_is_always_the_same_and_keeps_labels_with_images() -> None:
    data = Data(numbered(100), numbered(20), ("a", "b", "c"))
    once, again = hold_out(data, 0.25), hold_out(data, 0.25)
    assert fingerprint(once) == fingerprint(again)
    assert fingerprint(once) != fingerprint(hold_out(data, 0.26))
    assert once.validation is not None
    assert torch.equal(once.validation.targets, once.validation.images[:, 0, 0, 0].long() % 3)


def test_a_dataset_with_its_own_validation_split_keeps_it() -> None:
    data = Data(numbered(10), numbered(5), ("a",), validation=numbered(7))
    assert hold_out(data, 0.5) is data


def test_too_few_images_to_hold_out() -> None:
    with pytest.raises(InputError, match=r"can't hold 0.1 of 3 training images out for validation"):
        hold_out(Data(numbered(3), numbered(3), ("a",)), 0.1)


@pytest.mark.parametrize(
    ("test", "message"),
    [
        (
            Split(torch.zeros(2, 1, 3, 2, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64)),
            r"\(1, 3, 2\), but of train",
        ),
        (Split(torch.zeros(0, 1, 2, 2, dtype=torch.uint8), torch.zeros(0, dtype=torch.int64)), "has no images"),
    ],
)
def test_data_that_do_not_fit_together(test: Split, message: str) -> None:
    data = Data(numbered(10), test, ("a", "b", "c"))
    with pytest.raises(ValueError, match=message):
        data.check()


def test_images_that_are_not_bytes() -> None:
    with pytest.raises(
        ValueError, match=r"images are \(n, channels, height, width\) uint8, not \(2, 1, 2, 2\) torch.float32"
    ):
        Split(torch.zeros(2, 1, 2, 2), torch.zeros(2, dtype=torch.int64))


def test_normalised_images_have_mean_zero_and_deviation_one() -> None:
    images = torch.randint(0, 256, (50, 3, 6, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images[:, 2] = 9  # a channel without variation stays finite
    normal = Normalise.of(Split(images, torch.zeros(50, dtype=torch.int64)))(images)
    assert normal.mean(dim=(0, 2, 3)).abs().max() < 1e-5
    assert (normal[:, :2].std(dim=(0, 2, 3), unbiased=False) - 1).abs().max() < 1e-5
    assert (normal[:, 2] == 0).all()


def test_a_crop_is_a_window_of_the_padded_image(generator: torch.Generator) -> None:
    images = torch.randint(1, 256, (200, 2, 5, 4), dtype=torch.uint8, generator=generator)
    augment = Augment(padding=2)
    cropped, _ = augment(images, torch.zeros(200), augment.draw(200, (images.shape[2], images.shape[3]), generator))
    padded = nn.functional.pad(images, (2, 2, 2, 2))
    seen = set()
    for image, whole in zip(cropped, padded, strict=True):
        windows = {
            (row, column): whole[:, row : row + 5, column : column + 4] for row in range(5) for column in range(5)
        }
        matches = [place for place, window in windows.items() if torch.equal(image, window)]
        assert len(matches) == 1
        seen.add(matches[0])
    assert len(seen) > 20  # of 25 places, the corners among them
    assert {(0, 0), (4, 4), (0, 4), (4, 0)} & seen


def test_a_flip_mirrors_about_half(generator: torch.Generator) -> None:
    images = torch.randint(0, 256, (400, 1, 3, 4), dtype=torch.uint8, generator=generator)
    augment = Augment(flip=True)
    flipped, _ = augment(images, torch.zeros(400), augment.draw(400, (images.shape[2], images.shape[3]), generator))
    mirrored = [torch.equal(after, before.flip(2)) for before, after in zip(images, flipped, strict=True)]
    kept = [torch.equal(after, before) for before, after in zip(images, flipped, strict=True)]
    assert all(one or other for one, other in zip(mirrored, kept, strict=True))
    assert 150 < sum(mirrored) < 250


class Brightest(nn.Module):
    """Logits that are the image's pixels."""

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)


def scores(split: Split, normalise: Normalise) -> dict[str, float]:
    batches = InOrder(split, normalise)
    return evaluate(Brightest(), batches, find_task("classification").task, split.images.shape[1])


def test_accuracy_weighs_every_image_alike_to_the_last_partial_batch() -> None:
    # 1,003 images are two batches of 500 and one of 3. Only the last three are right.
    images = torch.zeros(1003, 6, 1, 1, dtype=torch.uint8)
    images[:, 0] = 10
    images[-3:, 2] = 20
    split = Split(images, torch.full((1003,), 2))
    identity = Normalise(torch.zeros(6, 1, 1), torch.ones(6, 1, 1))
    score = scores(split, identity)
    assert score["top1"] == pytest.approx(100 * 3 / 1003)
    wrong = torch.nn.functional.cross_entropy(torch.tensor([[10.0, 0, 0, 0, 0, 0]]), torch.tensor([2])).item()
    right = torch.nn.functional.cross_entropy(torch.tensor([[10.0, 0, 20, 0, 0, 0]]), torch.tensor([2])).item()
    assert score["loss"] == pytest.approx((1000 * wrong + 3 * right) / 1003, rel=1e-5)


def test_top5_is_among_the_five_best_and_full_where_classes_are_fewer() -> None:
    images = torch.tensor([60, 50, 40, 30, 20, 10], dtype=torch.uint8).view(1, 6, 1, 1).repeat(6, 1, 1, 1)
    identity = Normalise(torch.zeros(6, 1, 1), torch.ones(6, 1, 1))
    assert scores(Split(images, torch.arange(6)), identity)["top5"] == pytest.approx(100 * 5 / 6)
    few = Normalise(torch.zeros(3, 1, 1), torch.ones(3, 1, 1))
    assert scores(Split(images[:3, :3], torch.arange(3)), few)["top5"] == 100


def test_test_images_among_the_others_are_counted_whatever_their_labels() -> None:
    train, test = numbered(10), numbered(8, start=6)  # 6 to 9 are in both
    other = Split(test.images, (test.targets + 1) % 3)
    assert count_leaked(Data(train, test, ("a", "b", "c"))) == 4
    assert count_leaked(Data(train, other, ("a", "b", "c"))) == 4
    assert count_leaked(hold_out(Data(train, test, ("a", "b", "c")), 0.5)) == 4
    assert count_leaked(Data(train, numbered(8, start=100), ("a", "b", "c"))) == 0
