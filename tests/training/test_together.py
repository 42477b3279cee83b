"""Two processes train as one: the same losses, scores, weights and statistics, up to the order of sums.

In float64, so that a wrong sum is told from one that is rounded otherwise: the latter differ by some 1e-16 of
themselves, and nothing may by more than 1e-11 of a tensor's largest value.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import torch
from conftest import tiny_trainer
from torch import Tensor, nn
from torch.nn import functional
from two_processes import Both, both

from bench import testing
from bench.data.batch import WHOLE, Batch, Batches, Ordered, Part
from bench.data.normalise import Normalise
from bench.dataset import IGNORED, Split
from bench.measure import account
from bench.method import Compressed
from bench.plan.task_choice import find_task
from bench.plugins import discovery
from bench.training import checkpoint
from bench.training.batch_norm import OverAll
from bench.training.epoch import NonFiniteLoss
from bench.training.group import ALONE, Group
from bench.training.loop import Trainer, Training
from bench.training.schedule import Schedule

pytestmark = pytest.mark.slow

SCHEDULE = {"epochs": 2, "batch_size": 31, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3}

# The figures of each epoch, and every tensor that a network has.
Outcome = tuple[list[dict[str, float]], dict[str, Tensor]]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    with both(tmp_path_factory.mktemp("two")) as call:
        yield call


@dataclass(frozen=True)
class Exact:
    """Batches of three channels in float64."""

    inner: Batches

    @property
    def batch_size(self) -> int:
        return self.inner.batch_size

    @property
    def steps_per_epoch(self) -> int:
        return self.inner.steps_per_epoch

    def batches(self, epoch: int, first_step: int = 0, part: Part = WHOLE) -> Iterator[Batch]:
        return map(_exact, self.inner.batches(epoch, first_step, part))


@dataclass(frozen=True)
class ExactInOrder:
    """The same of those that are evaluated."""

    inner: Ordered

    def part(self, part: Part) -> "ExactInOrder":
        return ExactInOrder(self.inner.part(part))

    def __iter__(self) -> Iterator[Batch]:
        return map(_exact, self.inner)


def _exact(batch: Batch) -> Batch:
    images, targets = batch
    return images.double().expand(-1, 3, -1, -1), targets.double() if targets.is_floating_point() else targets


def exact(trainer: Trainer, group: Group, **changes: Any) -> Trainer:
    train, validation = Exact(trainer.train), ExactInOrder(trainer.validation)
    return replace(trainer, train=train, validation=validation, group=group, **changes)


def outcome(trainer: Trainer, compressed: Compressed, end: int = 2) -> Outcome:
    history = trainer.run(compressed, 0, end)
    network = compressed.network
    tensors = {name: own.detach() for name, own in (*network.named_parameters(), *network.named_buffers())}
    return [epoch.figures for epoch in history], tensors


def compressed(name: str, **options: Any) -> Compressed:
    """A network of three classes."""
    method = discovery.find(discovery.METHODS, name).build(None, options)
    network = testing.network("resnet8", 3, 3, seed=1)
    made = account.compress(method, network, 20_000 if method.sized_by_budget else None, seed=1, trained=False)
    made.network.double()
    return made


def require_alike(one: Outcome, other: Outcome) -> None:
    for mine, its in zip(one[0], other[0], strict=True):
        # Scores of a split are computed in float32.
        exactly = {name: its[name] for name in its if not name.startswith("validation")}
        assert {name: mine[name] for name in exactly} == pytest.approx(exactly, rel=1e-11)
        assert mine == pytest.approx(its, rel=1e-6)
    assert one[1].keys() == other[1].keys()
    for name, own in one[1].items():
        require_close(own, other[1][name], name)


def require_close(one: Tensor, other: Tensor, name: str = "") -> None:
    assert (one.shape, one.dtype) == (other.shape, other.dtype), name
    if one.numel():
        furthest, largest = float((one.double() - other.double()).abs().max()), float(other.double().abs().max())
        assert furthest <= 1e-11 * largest, f"{name}: {furthest} of {largest}"


def require_the_same(two: Both, function: Callable[..., Outcome], *arguments: Any) -> Outcome:
    """In two processes as in one, and to the bit in both of them."""
    found = two(function, *arguments)
    assert found[0][0] == found[1][0]
    assert all(torch.equal(own, found[1][1][name]) for name, own in found[0][1].items())
    alone = function(ALONE, *arguments)
    require_alike(found[0], alone)
    return alone


def trained(
    group: Group, changes: dict[str, Any], method: str = "dense", options: Mapping[str, Any] = MappingProxyType({})
) -> Outcome:
    trainer = exact(tiny_trainer(**{**SCHEDULE, **changes}), group)
    return outcome(trainer, compressed(method, **options))


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "adamw", "batch_size": 32},
        {"ema": 0.9, "label_smoothing": 0.1, "rand_augment": 3},
        {"mixup": 0.4, "cutmix": 1.0},
        {"batch_size": 2, "learning_rate": 0.01},
    ],
    ids=["even", "average", "mixed", "one-image"],
)
def test_what_two_train_is_what_one_trains(two: Both, changes: dict[str, Any]) -> None:
    """Batches of 31 have parts of 15 and 16 images; of two, a part is one image, in which batch norm sees nothing."""
    require_the_same(two, trained, changes)


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("csg", {}),
        ("hashing", {}),
        ("lego", {}),
        ("sparse", {"training": "rigl", "until": 1.0}),
        ("pruning", {"importance": "taylor", "compress_at": 0.0}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_methods_see_the_gradients_of_the_whole_batch(two: Both, method: str, options: dict[str, Any]) -> None:
    """Generated kernels, straight-through estimators, masks that move by gradients, channels that are cut by them."""
    _, tensors = require_the_same(two, trained, {}, method, options)
    kept = [own for name, own in tensors.items() if "mask_of_" in name]
    assert bool(kept) == (method == "sparse")


class Prior(Compressed):
    """Small weights, and outputs far from zero."""

    def extra_loss(self, batch: Batch, output: Any) -> Tensor:
        weights = sum(parameter.square().sum() for parameter in self.network.parameters())
        return 0.01 * weights - 0.1 * output.abs().mean()


def taught(group: Group) -> Outcome:
    teacher = testing.network("resnet8", 3, 3, 5).double().eval().requires_grad_(False)
    trainer = exact(tiny_trainer(**SCHEDULE, distillation=0.5), group, teacher=teacher)
    return outcome(trainer, Prior(testing.network("resnet8", 3, 3, 0).double()))


def test_a_teacher_and_a_loss_of_the_methods_own_count_once(two: Both) -> None:
    require_the_same(two, taught)


class Pixels(nn.Module):
    """A norm, and a number for each class of each pixel, twice."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 1))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        logits = self.layers(images)
        return {"out": logits, "aux": logits.flip(1)}


def segmented(group: Group, blank: bool) -> Outcome:
    random = torch.Generator().manual_seed(0)
    images = torch.randint(256, (8, 3, 6, 6), generator=random).to(torch.uint8)
    classes = torch.randint(4, (8, 6, 6), generator=random).to(torch.uint8)
    for place in range(8):
        classes[place, : 6 if blank else max(0, 6 - place)] = IGNORED
    split, task = Split(images, classes), find_task("segmentation").task
    schedule = Schedule(epochs=2, batch_size=3, learning_rate=0.1, distillation=0.3)
    torch.manual_seed(1)
    network, teacher = Pixels().double(), Pixels().double().eval().requires_grad_(False)
    made = Trainer.of(split, split, Normalise.of(split), task, 4, schedule, seed=0)
    return outcome(exact(made, group, teacher=teacher), Compressed(network))


@pytest.mark.parametrize("blank", [False, True])
def test_pixels_with_a_class_are_weighed_alike_wherever_they_are(two: Both, blank: bool) -> None:
    """Parts have very different numbers of them, or none. The teacher's share is a mean over all pixels."""
    alone = require_the_same(two, segmented, blank)
    assert all(row["train_loss"] > 0 for row in alone[0])


def normed(group: Group, norm: nn.Module, shape: tuple[int, ...]) -> list[Tensor]:
    """Of three steps: outputs, and slopes of images, weights and biases; then all buffers."""
    norm, found = copy.deepcopy(norm).double().train(), []  # its tensors are in memory that processes share
    for step in range(3):
        whole = torch.randn(shape, generator=torch.Generator().manual_seed(step), dtype=torch.float64) + step
        slopes = torch.randn(shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
        place = group.part.within(slice(0, len(whole)))
        images = whole[place].clone().requires_grad_()
        norm.zero_grad()
        with group.as_one_batch(0):
            outputs = norm(images)
            (outputs * slopes[place]).sum().backward()
        group.add_gradients(norm.parameters())
        assert images.grad is not None
        found += [outputs.detach(), images.grad, *[own.grad.clone() for own in norm.parameters()]]
    return [*found, *norm.buffers()]


class Called(nn.BatchNorm1d):
    """Calls the function itself, as networks of others do."""

    def forward(self, images: Tensor) -> Tensor:
        return functional.batch_norm(
            images, self.running_mean, self.running_var, self.weight, self.bias, training=True, eps=0.1
        )


class Below(Called):
    """The one below it."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.batch_norm(
            images, self.weight, self.bias, self.running_mean, self.running_var, True, 0.3, 0.1, cudnn_enabled=False
        )


@pytest.mark.parametrize(
    ("norm", "shape"),
    [
        (nn.BatchNorm2d(3), (7, 3, 4, 5)),
        (nn.BatchNorm1d(3, affine=False, momentum=None), (2, 3)),
        (nn.BatchNorm3d(3, track_running_stats=False, eps=0.1), (5, 3, 2, 2, 2)),
        (Called(3), (5, 3, 2)),
        (Below(3), (5, 3)),
        (nn.GroupNorm(1, 3), (5, 3, 2)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_batch_norm_is_that_of_the_whole_batch(two: Both, norm: nn.Module, shape: tuple[int, ...]) -> None:
    parts, whole = two(normed, norm, shape), normed(ALONE, norm, shape)
    for ours, theirs, own in zip(*parts, whole, strict=True):
        both_parts = torch.cat([ours, theirs]) if own.shape == shape else ours
        require_close(both_parts, own)


def test_in_eval_mode_batch_norm_is_as_ever() -> None:
    norm, images = nn.BatchNorm2d(3).eval(), torch.randn(2, 3, 4, 4)
    with OverAll(lambda own: pytest.fail("nothing is to be gathered")):
        found = norm(images)
    assert torch.equal(found, norm(images))


class Chance(Compressed):
    """Drops numbers, and after each step scales a weight by one that is drawn where it shouldn't be."""

    def __init__(self) -> None:
        super().__init__(nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(192, 3).double()))
        self.drawn: list[Tensor] = []
        self.network[1].register_forward_hook(lambda _, given, dropped: self.drawn.append(dropped == 0))

    def after_step(self, progress: float) -> bool:
        with torch.no_grad():
            self.network[2].weight.mul_(torch.rand(()))
        return False


def dropped(group: Group) -> tuple[list[Tensor], Tensor]:
    torch.manual_seed(3)
    chance = Chance()
    exact(tiny_trainer(batch_size=32), group).run(chance, 0, 1)
    # The first pass tried whether the batch fits into memory.
    return chance.drawn[1:3], chance.network[2].weight.detach()


def test_layers_draw_other_numbers_in_each_process_and_methods_the_same(two: Both) -> None:
    (mine, weight), (its, its_weight) = two(dropped)
    assert torch.equal(weight, its_weight)
    assert not any(torch.equal(one, other) for one, other in zip(mine, its, strict=True))
    assert not torch.equal(*mine)
    (again, same), _ = two(dropped)
    assert torch.equal(weight, same)
    assert all(torch.equal(one, other) for one, other in zip(mine, again, strict=True))


class Small(nn.Module):
    """In one of the processes it has memory for so many images in training."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most, self.layers = most, nn.Sequential(nn.Flatten(), nn.BatchNorm1d(192), nn.Linear(192, 3)).double()

    def forward(self, images: Tensor) -> Tensor:
        if self.training and len(images) > self.most:
            raise torch.OutOfMemoryError(f"{len(images)} images")
        logits: Tensor = self.layers(images)
        return logits


def small(group: Group, most: int) -> tuple[int, list[str], Outcome]:
    torch.manual_seed(3)
    said: list[str] = []
    trainer = exact(tiny_trainer(batch_size=31, momentum=0.9), group, say=said.append)
    training = Training(trainer, Compressed(Small(most if group.rank == 1 else 1000)), 0)
    history = trainer.go_on(training, 1)
    return training.parts, said, ([epoch.figures for epoch in history], training.compressed.network.state_dict())


def test_all_compute_in_as_many_parts_as_one_of_them_needs(two: Both) -> None:
    """Of 15 and 16 images 5 fit in one process. Batch norm sees what all compute at a time."""
    found = two(small, 5)
    assert [parts for parts, _, _ in found] == [4, 4]
    assert found[0][1] == ["out of memory: batches are computed in 4 parts from here on"]
    assert all(torch.equal(own, found[1][2][1][name]) for name, own in found[0][2][1].items())
    whole = two(small, 1000)
    assert whole[0][:2] == (1, [])
    require_alike(whole[0][2], small(ALONE, 1000)[2])


class Apart(nn.Module):
    """One of its layers is used by one process alone, and one by none."""

    def __init__(self, rank: int) -> None:
        super().__init__()
        self.rank, self.used, self.seldom, self.never = rank, *(nn.Linear(192, 3).double() for _ in range(3))

    def forward(self, images: Tensor) -> Tensor:
        layer = self.seldom if self.rank == 1 else self.used
        return layer(images.flatten(1)) + self.used(images.flatten(1))


def apart(group: Group) -> list[Tensor | None]:
    torch.manual_seed(3)
    training = Training(exact(tiny_trainer(weight_decay=0.1), group), Compressed(Apart(group.rank)), 0)
    training.take_step()
    return [own.grad for own in training.compressed.network.parameters()]


def test_what_one_process_alone_used_has_its_gradient_in_all_and_what_none_used_has_none(two: Both) -> None:
    mine, its = two(apart)
    assert [own is None for own in mine] == [own is None for own in its] == [False] * 4 + [True] * 2
    for one, other in zip(mine[:4], its[:4], strict=True):
        assert torch.equal(one, other)
        assert one.abs().sum() > 0


def poisoned(group: Group) -> str:
    """A loss that is none in one process."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 3).double())
    if group.rank == 1:
        network.register_forward_hook(lambda module, given, output: output * torch.nan)
    with pytest.raises(NonFiniteLoss) as error:
        exact(tiny_trainer(), group).run(Compressed(network), 0, 1)
    return str(error.value)


def test_a_loss_that_is_not_a_number_in_one_process_ends_it_in_all(two: Both) -> None:
    assert two(poisoned) == ["the training loss became nan in epoch 1"] * 2


def drifted(group: Group) -> str:
    network = nn.Linear(2, 2)
    group.require_same(nn.Linear(0, 0))
    network.weight.data.fill_(1 + 1e-7 * group.rank)
    network.bias.data.zero_()
    with pytest.raises(RuntimeError) as error:
        group.require_same(network)
    return str(error.value)


def test_networks_that_are_no_longer_the_same_are_found(two: Both) -> None:
    assert two(drifted)[0].startswith("the network of process 1 no longer equals that of process 0")


def saved(group: Group, steps: int) -> bytes:
    network = testing.network("resnet8", 3, 3).double()
    training = Training(exact(tiny_trainer(**SCHEDULE), group), Compressed(network), 0)
    for _ in range(steps):
        training.take_step()
    return checkpoint.encode(training, sums=training.sums())


@pytest.mark.parametrize("steps", [1, 3])
def test_what_two_have_saved_in_an_epoch_one_goes_on_from(two: Both, steps: int, tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    path.write_bytes(two(saved, steps)[0])
    trainer = exact(tiny_trainer(**SCHEDULE), ALONE)
    network = testing.network("resnet8", 3, 3).double()
    training = checkpoint.read(path, trainer, lambda structure: Compressed(network))
    history = [epoch.figures for epoch in trainer.go_on(training, 2)]
    whole = outcome(trainer, Compressed(testing.network("resnet8", 3, 3).double()))
    tensors = {name: whole[1][name] for name in network.state_dict()}
    require_alike((history[-1:], dict(network.state_dict())), (whole[0][-1:], tensors))
    if steps == 1:
        assert len(history) == 2
        assert history[0]["train_loss"] == pytest.approx(whole[0][0]["train_loss"], rel=1e-11)
        assert history[0]["train_top1"] == whole[0][0]["train_top1"]
