"""An average of the weights: as it is worked out by hand, kept through interruptions, and what is tested in the end."""

from pathlib import Path

import pytest
import torch
from conftest import run_sweep, tiny_spec, tiny_trainer

from bench import masks, testing
from bench.measure import account
from bench.method import Compressed
from bench.plan.method_choice import find_methods
from bench.store.record import FINISHED
from bench.training import checkpoint
from bench.training.evaluate import evaluate
from bench.training.loop import Training


def dense(seed: int = 0) -> Compressed:
    return Compressed(testing.network("resnet8", 1, 3, seed))


def test_it_is_what_each_step_leaves_of_it(tmp_path: Path) -> None:
    training = Training(tiny_trainer(ema=0.75), dense(), 0)
    name = "conv1.weight"
    wanted = None
    for _ in range(5):
        training.take_step()
        now = training.compressed.network.get_parameter(name).detach().clone()
        wanted = now if wanted is None else 0.75 * wanted + 0.25 * now  # the first step's weights begin it
    assert training.average is not None
    found = training.average.module.get_parameter(name)
    assert wanted is not None
    torch.testing.assert_close(found.detach(), wanted)
    training.take_average()
    assert torch.equal(training.compressed.network.get_parameter(name), found)


def test_in_the_end_the_network_is_the_average_and_validation_was_of_it() -> None:
    trainer = tiny_trainer(ema=0.9)
    compressed = dense()
    training = Training(trainer, compressed, 0)
    history = trainer.go_on(training, trainer.schedule.epochs)
    assert training.average is not None
    for name, value in training.average.module.state_dict().items():
        assert torch.equal(compressed.network.state_dict()[name], value), name
    plain = tiny_trainer().run(dense(), 0, trainer.schedule.epochs)
    # The weights that are trained are the same; what is validated is not.
    assert [row["train_loss"] for row in plain] == [row["train_loss"] for row in history]
    assert plain[-1]["validation_loss"] != history[-1]["validation_loss"]


@pytest.mark.parametrize("method", ["csg", "sparse", "pruning:until=0.75"])
def test_interrupted_it_goes_on_to_the_same_bits(method: str, tmp_path: Path) -> None:
    (choice,) = find_methods([method])
    trainer = tiny_trainer(ema=0.9)

    def fresh() -> Compressed:
        return account.compress(choice.method, testing.network("resnet8", 1, 3), 20_000, 0, True)

    whole = Training(trainer, fresh(), 2)
    trainer.go_on(whole, 4)
    stopped = Training(trainer, fresh(), 2)
    for _ in range(trainer.steps_per_epoch + 1):
        stopped.take_step()
    file = tmp_path / "state"
    file.write_bytes(checkpoint.encode(stopped))
    again = checkpoint.read(
        file, trainer, lambda structure: account.rebuild(choice.method, testing.network("resnet8", 1, 3), structure)
    )
    trainer.go_on(again, 4)
    wanted = whole.compressed.network.state_dict()
    for name, value in again.compressed.network.state_dict().items():
        assert torch.equal(value, wanted[name]), name
    for name, mask in masks.of(again.compressed.network).items():
        assert not again.compressed.network.get_parameter(name)[~mask].any()


@pytest.mark.parametrize("method", ["lego", "kmeans", "hashing", "sparse:training=rigl", "csg:generator=binary"])
def test_masks_indices_and_assignments_have_no_mean(method: str) -> None:
    """What is validated in the last epoch is what is there in the end, and the budget is met."""
    (choice,) = find_methods([method])
    values = 20_000 if choice.method.sized_by_budget else None
    compressed = account.compress(choice.method, testing.network("resnet8", 1, 3), values, 0, True)
    stored = values or account.stored(compressed).stored_values
    trainer = tiny_trainer(ema=0.9)
    history = trainer.run(compressed, 0, trainer.schedule.epochs)
    scores = evaluate(compressed.network, trainer.validation, trainer.task, trainer.classes)
    assert scores["loss"] == pytest.approx(history[-1]["validation_loss"], rel=1e-6)
    assert account.stored(compressed).stored_values == pytest.approx(stored, rel=0.01)


@pytest.mark.slow
def test_a_sweep_with_everything(tmp_path: Path) -> None:
    schedule = "quick:epochs=2:ema=0.9:mixup=0.2:cutmix=1:rand_augment=3:growing=8x12:flip=true"
    records, printed = run_sweep(tiny_spec(["csg", "sparse"], budgets=["2x"], schedule=schedule), tmp_path)
    assert {record["status"] for record in records} == {FINISHED}, printed
    assert {record["schedule.growing"] for record in records} == {"8x12"}
