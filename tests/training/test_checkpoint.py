"""Stopped in the middle of an epoch and continued, training gives the same bits; each part of the file is needed."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bench import count, testing
from bench.measure import account
from bench.method import Compressed, Method
from bench.plan.method_choice import find_methods
from bench.plan.task_choice import find_task
from bench.testing.tiny_problem import TinyProblem
from bench.training import checkpoint
from bench.training.loop import Trainer, Training

PASSES, BATCH = 6, 2
TINY = TinyProblem(find_task("classification").task)
STEPS = len(TINY.split) // BATCH  # of an epoch
# Changes the header and the tensors of a checkpoint.
Change = Callable[[dict[str, Any], dict[str, Tensor]], object]
METHODS = [
    *("sparse:training=gradual", "sparse:training=rigl", "pruning:until=0.75", "pruning:importance=taylor"),
    *("lego:until=0.5", "hashing:compress_at=0.5"),
]


def trainer(optimizer: str = "sgd") -> Trainer:
    """Of four steps an epoch, with all that can be forgotten: momentum, weight decay, a rate that changes."""
    changes = {"batch_size": BATCH, "optimizer": optimizer, "weight_decay": 0.01, "curve": "cosine"}
    return TINY.trainer_of(replace(TINY.schedule(PASSES), **changes, flip=True, crop_padding=1), torch.device("cpu"))


class Drops(nn.Module):
    """A network that draws random numbers in training."""

    def __init__(self) -> None:
        super().__init__()
        self.network, self.dropout = testing.network("resnet8", TINY.channels, TINY.classes), nn.Dropout(0.3)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(self.dropout(images))
        return logits


def start(method: str) -> tuple[Compressed, Callable[[Mapping[str, Any]], Compressed], int]:
    """What is trained, how it is made again for a checkpoint, and from which epoch."""
    if method == "dropout":
        return Compressed(Drops()), lambda structure: Compressed(Drops()), 0
    found: Method = find_methods([method])[0].method
    values = round(count.stored_values(testing.network("resnet8")) / 4) if found.sized_by_budget else None
    epoch = trainer().schedule.compress_epoch(found.compress_at)
    compressed = testing.compress(found, "resnet8", values, trained=epoch > 0)
    # Made again from other initial weights: all that counts must be in the file.
    return compressed, lambda structure: account.rebuild(found, testing.network("resnet8", seed=8), structure), epoch


def everything(training: Training) -> dict[str, Tensor]:
    """The network's tensors, the optimiser's, and the sums of the epoch."""
    network = training.compressed.network
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    of_optimizer = {
        f"{names[id(parameter)]}/{key}": value
        for parameter, own in training.optimizer.state.items()
        for key, value in own.items()
        if isinstance(value, Tensor)
    }
    return {**network.state_dict(), **of_optimizer, "loss": training.loss_sum, **training.meter.sums}


def differing(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> set[str]:
    return {*(one.keys() ^ other.keys())} | {
        name for name in one.keys() & other.keys() if not torch.equal(one[name], other[name])
    }


def undisturbed(folder: Path, method: str, optimizer: str = "sgd") -> tuple[dict[int, Path], dict[str, Tensor]]:
    """Train to the end: a checkpoint of each step on the way, by step, and how it ended."""
    made, (compressed, _, epoch) = trainer(optimizer), start(method)
    training = Training(made, compressed, epoch)
    files = {}
    while training.step < made.total_steps:
        files[training.step] = folder / f"{training.step}.safetensors"
        files[training.step].write_bytes(checkpoint.encode(training))
        training.take_step()
    return files, everything(training)


def go_on(path: Path, method: str, optimizer: str = "sgd") -> dict[str, Tensor]:
    """Read it in a process that has drawn other random numbers, and train to the end."""
    made, (_, rebuild, _) = trainer(optimizer), start(method)
    torch.rand(7)
    training = checkpoint.read(path, made, rebuild)
    while training.step < made.total_steps:
        training.take_step()
    return everything(training)


def edit(path: Path, change: Change) -> Path:
    """A copy with another header or other tensors."""
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["bench"])
    tensors = load_file(path)
    change(header, tensors)
    edited = path.with_name("edited.safetensors")
    save_file(tensors, edited, metadata={"bench": json.dumps(header)})
    return edited


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("method", ["dense", "dropout"])
def test_optimisers_and_layers_that_draw_go_on_to_the_same_bits(method: str, optimizer: str, tmp_path: Path) -> None:
    files, expected = undisturbed(tmp_path, method, optimizer)
    for step in (0, 1, STEPS, 2 * STEPS + 3):
        assert differing(expected, go_on(files[step], method, optimizer)) == set(), step


@pytest.mark.whole
@pytest.mark.parametrize("method", METHODS)
def test_a_method_goes_on_to_the_same_bits_from_every_step(method: str, tmp_path: Path) -> None:
    files, expected = undisturbed(tmp_path, method)
    for step, path in files.items():
        assert differing(expected, go_on(path, method)) == set(), step


@pytest.mark.parametrize("method", METHODS)
def test_a_method_goes_on_to_the_same_bits(method: str, tmp_path: Path) -> None:
    files, expected = undisturbed(tmp_path, method)
    step = max(files) - 3 * STEPS // 2  # in the middle of an epoch
    assert differing(expected, go_on(files[step], method)) == set()


def test_an_epoch_that_was_stopped_counts_whole(tmp_path: Path) -> None:
    """Its loss and accuracy are those of all its steps."""
    files, _ = undisturbed(tmp_path, "dense")
    rows = [
        checkpoint.read(files[step], trainer(), start("dense")[1]).finish_epoch() for step in (STEPS + 1, 2 * STEPS - 1)
    ]
    assert replace(rows[0], seconds=0) == replace(rows[1], seconds=0)


def forget_optimizer(header: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    header["optimizer"] = {"values": {}}


def forget_random(header: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    name = header["generators"]["values"]["torch"]["tensor"]
    tensors[name] = torch.Generator().manual_seed(1).get_state()


def forget_sums(header: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    tensors[header["sums"]["values"]["loss_sum"]["tensor"]].zero_()


def forget_state(*names: str) -> Change:
    """Of the method: what is a number is zero, and what is a mapping empty, as before the first step."""

    def forget(header: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        state = header["state"]["values"]
        for name in names:
            state[name] = {"values": {}} if "values" in state[name] else {"json": 0}

    return forget


def forget_pace(header: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    header["state"] = {"values": {}}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "optimizer", "step", "forget"),
    [
        ("dense", "sgd", 11, forget_optimizer),
        ("dense", "adamw", 11, forget_optimizer),
        ("dense", "sgd", 23, forget_sums),
        ("dropout", "sgd", 11, forget_random),
        ("sparse:training=gradual:updates=3", "sgd", 11, forget_state("updates")),
        ("sparse:training=gradual:updates=3", "sgd", 11, forget_state("kept")),
        ("sparse:training=rigl:updates=3", "sgd", 7, forget_state("updates")),
        ("pruning:until=0.75", "sgd", 19, forget_state("stage")),
        ("pruning:importance=taylor", "sgd", 19, forget_state("steps", "squares")),
        ("hashing:compress_at=0.5", "sgd", 19, forget_pace),
    ],
)
def test_what_is_forgotten_changes_the_bits(
    method: str, optimizer: str, step: int, forget: Change, tmp_path: Path
) -> None:
    """So that the tests above can fail."""
    files, expected = undisturbed(tmp_path, method, optimizer)
    assert not differing(expected, go_on(files[step], method, optimizer))
    assert differing(expected, go_on(edit(files[step], forget), method, optimizer))


def test_a_file_of_a_newer_bench_or_of_another_network_is_refused(tmp_path: Path) -> None:
    files, _ = undisturbed(tmp_path, "dense")
    newer = edit(files[3], lambda header, tensors: header.update(format=4))
    with pytest.raises(ValueError, match="has format 4, of a newer bench; this one reads up to 3"):
        checkpoint.read(newer, trainer(), start("dense")[1])
    with pytest.raises(ValueError, match="holds other tensors than the network"):
        checkpoint.read(files[3], trainer(), start("dropout")[1])


def test_an_unknown_field_is_an_error(tmp_path: Path) -> None:
    files, _ = undisturbed(tmp_path, "dense")
    with pytest.raises(ValueError, match="odd"):
        checkpoint.read(edit(files[3], lambda header, tensors: header.update(odd=1)), trainer(), start("dense")[1])


def test_a_file_of_another_seed_or_schedule_is_refused(tmp_path: Path) -> None:
    files, _ = undisturbed(tmp_path, "dense")
    for other, what in [
        (replace(trainer(), seed=1), "seed"),
        (trainer("adamw"), "schedule"),
        (replace(trainer(), schedule=replace(trainer().schedule, epochs=PASSES + 1)), "schedule"),
    ]:
        with pytest.raises(ValueError, match=f"was trained with another {what}"):
            checkpoint.read(files[3], other, start("dense")[1])


def test_what_is_no_checkpoint_is_named(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "plain")
    (tmp_path / "text").write_text("no")
    for name in ("plain", "text", "none"):
        with pytest.raises(ValueError, match=f"{name} is no checkpoint: "):
            checkpoint.read(tmp_path / name, trainer(), start("dense")[1])


def test_parameters_that_were_replaced_without_a_word_are_named(tmp_path: Path) -> None:
    training = Training(trainer(), Compressed(testing.network("resnet8", TINY.channels, TINY.classes)), 0)
    training.take_step()
    linear = training.compressed.network.get_submodule("classifier")
    linear.weight = nn.Parameter(linear.get_parameter("weight").detach().clone())
    with pytest.raises(ValueError, match=r"after_step\(\) replaced parameters of the optimiser, but did not retu"):
        checkpoint.encode(training)
