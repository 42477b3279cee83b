"""The loop: the same bits for the same seed, joining half-way, and stopping at a loss that is not a number."""

import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import tiny_trainer
from torch import Tensor, nn

from bench import masks, testing
from bench.method import Compressed
from bench.training.epoch import Epoch, NonFiniteLoss
from bench.training.loop import Trainer, Training
from bench.training.optimizer import make_optimizer
from bench.training.schedule import Schedule


def network(seed: int = 0) -> nn.Module:
    return testing.network("resnet8", 1, 3, seed)


def train(trainer: Trainer, made: nn.Module, first: int, end: int) -> list[Epoch]:
    return trainer.run(Compressed(made), first, end)


class Doing(Compressed):
    """Calls a function after each step."""

    def __init__(self, made: nn.Module, do: Callable[[nn.Module, float], bool | None]) -> None:
        super().__init__(made)
        self.do = do

    def after_step(self, progress: float) -> bool:
        return bool(self.do(self.network, progress))


def same(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def timeless(history: list[Epoch]) -> list[Epoch]:
    return [replace(epoch, seconds=0) for epoch in history]


def test_the_same_seed_gives_the_same_bits_and_another_seed_others() -> None:
    networks = [network() for _ in range(3)]
    histories = [train(tiny_trainer(seed), made, 0, 4) for made, seed in zip(networks, (0, 0, 1), strict=True)]
    assert same(networks[0], networks[1])
    assert timeless(histories[0]) == timeless(histories[1])
    assert not same(networks[0], networks[2])


class Chance(nn.Module):
    """Scales what it is given by numbers of Python and NumPy."""

    def forward(self, images: Tensor) -> Tensor:
        return images * (random.random() + np.random.rand()) if self.training else images


def test_what_a_network_draws_with_python_or_numpy_is_the_seeds_too() -> None:
    networks = [nn.Sequential(Chance(), network()) for _ in range(2)]
    for made, before in zip(networks, (1, 2), strict=True):
        random.seed(before)
        np.random.seed(before)
        train(tiny_trainer(0), made, 0, 2)
    assert same(*networks)


def test_layers_that_draw_numbers_draw_the_same_when_joining() -> None:
    def with_dropout() -> nn.Module:
        made = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 3))
        nn.init.zeros_(made[2].weight)
        nn.init.zeros_(made[2].bias)
        return made

    whole, halves = with_dropout(), with_dropout()
    train(tiny_trainer(), whole, 0, 2)
    train(tiny_trainer(), halves, 0, 1)
    torch.rand(7)  # what else was drawn in between doesn't matter
    train(tiny_trainer(), halves, 1, 2)
    assert same(whole, halves)


def test_it_learns_and_says_how() -> None:
    seen: list[tuple[int, float]] = []
    made = tiny_trainer(learning_rate=0.1, momentum=0.9, epochs=12)
    made = replace(made, on_step=lambda epoch, progress, loss: seen.append((epoch, progress)))
    history = train(made, network(), 0, 12)
    assert [epoch.epoch for epoch in history] == list(range(1, 13))
    assert history[-1]["train_loss"] < history[0]["train_loss"] / 2
    assert history[-1]["validation_top1"] > 80
    assert seen[0] == (0, pytest.approx(1 / (12 * made.steps_per_epoch)))


def test_joining_half_way_sees_the_same_batches_and_rates() -> None:
    """Without momentum the optimiser has no memory, so two halves equal the whole to the bit."""
    whole, halves = network(), network()
    history = train(tiny_trainer(), whole, 0, 4)
    first = train(tiny_trainer(), halves, 0, 2)
    second = train(tiny_trainer(), halves, 2, 4)
    assert same(whole, halves)
    assert timeless(history) == timeless(first + second)


def test_after_step_and_after_epoch_are_called() -> None:
    steps: list[float] = []
    epochs: list[int] = []
    made = tiny_trainer()
    counting = Doing(network(), lambda model, progress: steps.append(progress))
    made.run(counting, 1, 3, lambda rows: epochs.append(len(rows)))
    assert len(steps) == 2 * made.steps_per_epoch
    assert steps[0] == pytest.approx((made.steps_per_epoch + 1) / (4 * made.steps_per_epoch))
    assert steps[-1] == pytest.approx(3 / 4)
    assert epochs == [1, 2]


def test_what_a_mask_leaves_out_stays_zero_through_momentum_and_decay() -> None:
    made = network()
    mask = torch.rand(made.get_parameter("conv1.weight").shape, generator=torch.Generator().manual_seed(1)) < 0.5
    masks.attach(made, {"conv1.weight": mask})
    before = made.get_parameter("conv1.weight").clone()
    seen: list[bool] = []

    def after_step(model: nn.Module, progress: float) -> bool:
        seen.append(bool(model.get_parameter("conv1.weight").grad[~mask].any()))  # type: ignore[index]
        return False

    tiny_trainer(momentum=0.9, weight_decay=0.1).run(Doing(made, after_step), 0, 2)
    after = made.get_parameter("conv1.weight")
    assert not after[~mask].any()
    assert (after[mask] != before[mask]).all()
    assert all(seen)  # gradients of what is left out are there for methods that let it grow


def test_a_factor_scales_the_weight_decay_of_its_parameter_alone() -> None:
    made = network()
    schedule = Schedule(epochs=1, weight_decay=0.5)
    decay = {"conv1.weight": 0.25, "bn1.bias": 0.0}
    groups = make_optimizer(Compressed(made, decay=decay), schedule).param_groups
    decays = {id(parameter): group["weight_decay"] for group in groups for parameter in group["params"]}
    named = dict(made.named_parameters())
    assert decays[id(named["conv1.weight"])] == 0.125
    assert decays[id(named["bn1.bias"])] == 0.0
    assert sorted(decays.values())[2:] == [0.5] * (len(named) - 2)


def test_parameters_that_were_replaced_are_trained() -> None:
    made = network()
    steps: list[float] = []

    def after_step(model: nn.Module, progress: float) -> bool:
        steps.append(progress)
        if len(steps) != 2:
            return False
        model.classifier.weight = nn.Parameter(torch.zeros(3, 64))  # type: ignore[union-attr]
        return True

    tiny_trainer().run(Doing(made, after_step), 0, 2)
    assert len(steps) > 2
    assert made.get_parameter("classifier.weight").abs().min() > 0


def test_a_batch_larger_than_the_data_is_all_of_it() -> None:
    made = tiny_trainer(batch_size=1000)
    assert (made.train.batch_size, made.steps_per_epoch) == (88, 1)
    assert len(train(made, network(), 0, 1)) == 1


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_loss_that_is_not_a_number_ends_it(optimizer: str) -> None:
    def poison(model: nn.Module, progress: float) -> None:
        if progress > 0.4:
            next(model.parameters()).data.fill_(float("nan"))

    with pytest.raises(NonFiniteLoss, match="the validation loss became nan in epoch 2"):
        tiny_trainer(optimizer=optimizer).run(Doing(network(), poison), 0, 4)


def test_bfloat16_trains_float32_weights() -> None:
    made = network()
    history = train(replace(tiny_trainer(), precision=torch.bfloat16), made, 0, 2)
    assert all(parameter.dtype == torch.float32 for parameter in made.parameters())
    exact = train(tiny_trainer(), network(), 0, 2)
    assert history[1]["train_loss"] == pytest.approx(exact[1]["train_loss"], rel=0.1)
    assert history[1]["train_loss"] != exact[1]["train_loss"]


def test_label_smoothing_is_in_the_training_loss_alone() -> None:
    plain, smooth = (train(tiny_trainer(label_smoothing=s, learning_rate=0.0), network(), 0, 1)[0] for s in (0.0, 0.5))
    assert smooth["train_loss"] != plain["train_loss"]
    assert smooth["validation_loss"] == plain["validation_loss"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_sees_the_same_batches() -> None:
    """Augmentation and order are drawn on the CPU, so the first loss differs by rounding alone."""
    losses = [
        train(tiny_trainer(device=device), network().to(device), 0, 1)[0]["train_loss"] for device in ("cpu", "cuda")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


class Small(nn.Module):
    """Has memory for so many images in training and in evaluation, and no layer in which one image sees another."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most, self.layers = most, nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
        with torch.no_grad():
            for parameter in self.layers.parameters():
                parameter.fill_(0.01)

    def forward(self, images: Tensor) -> Tensor:
        if len(images) > self.most:
            raise torch.OutOfMemoryError(f"{len(images)} images")
        logits: Tensor = self.layers(images)
        return logits


def test_a_batch_that_does_not_fit_into_memory_is_computed_in_parts() -> None:
    """Of 32 images 10 fit: four parts, whose gradients add up to the batch's."""
    said: list[str] = []
    whole, parts = Small(1000), Small(10)
    before = train(tiny_trainer(), whole, 0, 2)
    training = Training(replace(tiny_trainer(), say=said.append), Compressed(parts), 0)
    history = training.trainer.go_on(training, 2)
    assert training.parts == 4
    assert said == [f"out of memory: batches are computed in {n} parts from here on" for n in (2, 4)]
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-6)
    for one, other in zip(before, history, strict=True):
        assert one.figures == pytest.approx(other.figures, rel=1e-5)
    with pytest.raises(torch.OutOfMemoryError):
        train(tiny_trainer(), Small(0), 0, 1)
