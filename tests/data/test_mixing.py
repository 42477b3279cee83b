"""Mixup, cutmix and RandAugment: by the seed and the step, shares that add up, and images as the shares say."""

from types import SimpleNamespace

import pytest
import torch
from conftest import run_sweep, tiny_spec
from torch.nn import functional

from bench.data.augment import Augment
from bench.data.batches import InMemory
from bench.data.mixing import Mixed
from bench.data.normalise import Normalise
from bench.dataset import Split
from bench.errors import InputError
from bench.plan.task_choice import find_task

TASK = find_task("classification").task
# Image n has the value n everywhere and is of class n.
SPLIT = Split(
    torch.arange(16, dtype=torch.uint8)[:, None, None, None].expand(16, 1, 8, 8).contiguous(), torch.arange(16)
)
PLAIN = Normalise(torch.zeros(1, 1, 1), torch.ones(1, 1, 1))


def made(mixup: float, cutmix: float, seed: int = 0, augment: Augment | None = None) -> Mixed:
    return Mixed(InMemory(SPLIT, PLAIN, augment or Augment(), seed, 4), 16, seed, mixup, cutmix)


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.4, 0.0), (0.0, 1.0), (0.4, 1.0)])
def test_images_are_what_the_shares_say(mixup: float, cutmix: float) -> None:
    """The mean of an image is that of the classes' values, weighed by their shares: mixed or cut."""
    values = torch.arange(16.0)
    for epoch in range(4):
        for images, shares in made(mixup, cutmix).batches(epoch):
            assert shares.shape == (4, 16)
            torch.testing.assert_close(shares.sum(1), torch.ones(4))
            torch.testing.assert_close(images.mean((1, 2, 3)), shares @ values, rtol=1e-4, atol=1e-4)


def test_mixup_mixes_every_pixel_alike_and_cutmix_has_pixels_of_either() -> None:
    mixed_flat = all(float(image.std()) < 1e-4 for images, _ in made(0.4, 0).batches(0) for image in images)
    assert mixed_flat
    for images, _ in made(0, 1.0).batches(0):
        assert torch.equal(images, images.round())


def test_they_follow_from_the_seed_and_the_step_and_leave_torchs_generator_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    whole = [*made(0.4, 1.0).batches(2)]
    assert torch.equal(torch.rand(2), expected)
    rest = [*made(0.4, 1.0).batches(2, 2)]
    for (images, shares), (others, theirs) in zip(whole[2:], rest, strict=True):
        assert torch.equal(images, others)
        assert torch.equal(shares, theirs)
    assert not torch.equal(whole[0][1], next(made(0.4, 1.0, seed=1).batches(2))[1])


def test_the_loss_of_shares_is_the_mean_of_those_of_the_classes() -> None:
    logits, (first, second) = torch.randn(3, 5), (torch.tensor([0, 1, 2]), torch.tensor([3, 3, 4]))
    shares = 0.3 * functional.one_hot(first, 5) + 0.7 * functional.one_hot(second, 5)
    plain = SimpleNamespace(label_smoothing=0.0)
    wanted = 0.3 * TASK.loss(logits, first, plain) + 0.7 * TASK.loss(logits, second, plain)
    assert float(TASK.loss(logits, shares, plain)) == pytest.approx(float(wanted), rel=1e-5)
    meter = TASK.training_meter(5)
    meter.add(functional.one_hot(second, 5).float(), shares)
    assert meter.scores() == {"top1": 100.0}


def test_operations_follow_from_the_seed() -> None:
    image = torch.randint(256, (3, 16, 16), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    found = [Augment(operations=9).operated(image, seed) for seed in range(6)]
    assert all(one.shape == image.shape and one.dtype == torch.uint8 for one in found)
    assert torch.equal(found[2], Augment(operations=9).operated(image, 2))
    assert len({one.numpy().tobytes() for one in found}) > 3


def test_so_many_images_are_blurred() -> None:
    """A blur leaves the mean, and takes from the differences between neighbours."""
    image = torch.randint(256, (3, 24, 24), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    found = [Augment(blur=0.3).operated(image, seed) for seed in range(300)]
    changed = [one for one in found if not torch.equal(one, image)]
    assert 60 < len(changed) < 115  # a deviation of next to nothing changes nothing
    for one in changed:
        assert abs(float(one.float().mean() - image.float().mean())) < 3
        assert float(one.float().diff().abs().mean()) < float(image.float().diff().abs().mean())


def test_windows_grow_over_the_schedule() -> None:
    augment = Augment(growing=(4, 6, 8), epochs=7)
    assert [augment.at(epoch).crop for epoch in range(7)] == [4, 4, 4, 6, 6, 8, 8]
    sizes = [next(InMemory(SPLIT, PLAIN, augment, 0, 4).batches(epoch))[0].shape[2] for epoch in (0, 3, 6)]
    assert sizes == [4, 6, 8]


def test_masks_are_not_mixed(tmp_path_factory: pytest.TempPathFactory) -> None:
    for option in ("mixup=0.2", "rand_augment=5"):
        asked = tiny_spec(
            ["csg"], budgets=["2x"], dataset="shapes:train=40:test=20", model="deeplabv3-resnet8", plugins=[],
            schedule=f"quick:epochs=1:{option}",
        )  # fmt: skip
        with pytest.raises(InputError, match="mixup, cutmix and rand_augment are for labels of whole images, and shap"):
            run_sweep(asked, tmp_path_factory.mktemp("store"))
