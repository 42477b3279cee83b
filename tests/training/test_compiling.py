"""Compiled steps: the same training to rounding, a failure that costs nothing, and what a record says of it."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import run_sweep, tiny_spec, tiny_trainer
from torch import Tensor, nn

from bench import testing
from bench.data.normalise import Normalise
from bench.dataset import Split
from bench.method import Compressed
from bench.plan.task_choice import find_task
from bench.plugins import discovery
from bench.training import loop
from bench.training.compiling import Compile, pays
from bench.training.look import Look, Seen
from bench.training.loop import Trainer, Training
from bench.training.schedule import Schedule

CPU = torch.device("cpu")
NEEDS_COMPILER = pytest.mark.skipif(
    not any(map(shutil.which, ("g++", "clang++"))),
    reason="needs a C++ compiler, which torch.compile uses on processors",
)
NEEDS_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


class Small(nn.Module):
    """For the tiny dataset: compiles in seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        maps: Tensor = self.norm(self.conv(images)).relu()
        out: Tensor = self.head(maps.mean((2, 3)))
        return out


def trained(compile: Compile, steps: int = 5) -> Training:
    torch.manual_seed(0)
    training = Training(replace(tiny_trainer(), compile=compile), Compressed(Small()), 0)
    for _ in range(steps):
        training.take_step()
    return training


@NEEDS_COMPILER
@pytest.mark.slow
def test_compiled_steps_are_the_same_to_rounding_and_their_time_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    # Without a pool of processes of its own, which would be as many as there are cores for each process of tests.
    monkeypatch.setattr("torch._inductor.config.compile_threads", 1)
    eagerly, compiled = trained("off"), trained("on")
    assert eagerly.compile_seconds is None
    assert compiled.compile_seconds is not None
    assert compiled.compile_seconds > 0
    of_eager = eagerly.compressed.network.state_dict()
    for name, tensor in compiled.compressed.network.state_dict().items():
        assert torch.allclose(tensor, of_eager[name], atol=1e-5), name
    assert not torch.equal(of_eager["conv.weight"], trained("off", 0).compressed.network.state_dict()["conv.weight"])
    # What is kept and saved has the names that it had.
    assert list(of_eager) == list(compiled.compressed.network.state_dict())


class Breaks:
    """A compiler that fails when the network first runs."""

    def __call__(self, images: Tensor) -> Tensor:
        raise RuntimeError("no compiler here")


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "compiled", lambda network, device: Breaks())


@pytest.mark.usefixtures("broken")
def test_where_compiling_fails_steps_go_on_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "pays", lambda device, steps: True)
    said: list[str] = []
    torch.manual_seed(0)
    training = Training(replace(tiny_trainer(), compile="auto", say=said.append), Compressed(Small()), 0)
    for _ in range(5):
        training.take_step()
    assert said == ["steps are not compiled, because compiling fails: RuntimeError: no compiler here"]
    assert training.compile_seconds is None
    same = trained("off").compressed.network.state_dict()
    for name, tensor in training.compressed.network.state_dict().items():
        assert torch.equal(tensor, same[name]), name


@pytest.mark.usefixtures("broken")
def test_who_asked_for_it_is_told_that_it_fails(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no compiler here"):
        trained("on")
    (record,), _ = run_sweep(tiny_spec(["dense"], compile="on"), tmp_path)
    assert (record["status"], record["reason"]) == ("failed", "RuntimeError: no compiler here")


@pytest.mark.slow
def test_records_say_whether_steps_were_compiled(tmp_path: Path) -> None:
    (record,), _ = run_sweep(tiny_spec(["dense"]), tmp_path)
    assert (record["compiled"], record["compile_seconds"]) == ("no", None)


def test_it_pays_in_long_runs_on_gpus_alone() -> None:
    cuda = torch.device("cuda")
    found: dict[Any, bool] = {(device, steps): pays(device, steps) for device in (CPU, cuda) for steps in (100, 10**6)}
    assert found == {(CPU, 100): False, (CPU, 10**6): False, (cuda, 100): False, (cuda, 10**6): True}


def test_a_look_on_a_processor_is_of_now() -> None:
    look = Look(CPU)
    assert look(torch.tensor(3.5), 7) == Seen(3.5, 7)


@pytest.mark.gpu
@NEEDS_CUDA
def test_a_look_on_a_gpu_is_of_the_one_before() -> None:
    look, loss_sum = Look(torch.device("cuda")), torch.tensor(1.0, device="cuda")
    assert look(loss_sum, 1) is None
    loss_sum += 1
    assert look(loss_sum, 21) == Seen(1.0, 1)
    look.forget()
    assert look(loss_sum, 1) is None


@pytest.mark.gpu
@NEEDS_CUDA
@pytest.mark.parametrize("name", ["dense", "csg"])
def test_steps_as_cuda_graphs_are_the_same_to_rounding(name: str) -> None:
    found = []
    compiles: tuple[Compile, ...] = ("off", "on")
    for compile in compiles:
        method = discovery.find(discovery.METHODS, name).build(None, {})
        compressed = testing.compress(method, "resnet8", 30_000 if name == "csg" else None)
        compressed.network.cuda()
        torch.manual_seed(0)
        images, targets = torch.randint(256, (256, 3, 32, 32)).to(torch.uint8), torch.arange(256) % 10
        split = Split(images.cuda(), targets.cuda())
        task = find_task("classification").task
        schedule = Schedule(epochs=2, batch_size=64)
        trainer = Trainer.of(split, split, Normalise.of(split), task, 10, schedule, 0, compile=compile)
        training = Training(trainer, compressed, 0)
        for _ in range(4):
            training.take_step()
        found.append(float(training.loss_sum))
    assert found[0] == pytest.approx(found[1], rel=0.02)
