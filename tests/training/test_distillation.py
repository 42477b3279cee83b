"""Learning from a teacher: the loss, and who teaches."""

import dataclasses
import math
from pathlib import Path

import pytest
import torch
from conftest import run_sweep, tiny_spec
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from bench.method import Compressed
from bench.plan import plan as plans
from bench.plan import spec as specs
from bench.plan.task_choice import find_task
from bench.store.store import STATES, WEIGHTS, Store
from bench.testing.tiny_problem import TinyProblem
from bench.training.distillation import distillation_loss
from bench.training.loop import Training

TINY = TinyProblem(find_task("classification").task)


def test_it_is_what_hinton_s_formula_gives() -> None:
    """Of two classes: with logits (0, T log 3) the teacher says 1/4 and 3/4 at temperature T, and the student 1/2."""
    temperature = 2.0
    teacher = torch.tensor([[0.0, temperature * math.log(3)]])
    expected = 0.25 * math.log(0.25 / 0.5) + 0.75 * math.log(0.75 / 0.5)
    found = distillation_loss(torch.zeros(1, 2), teacher, temperature)
    assert float(found) == pytest.approx(temperature**2 * expected)
    # Over places, it is their mean.
    images = teacher[..., None, None].expand(3, 2, 4, 5)
    assert float(distillation_loss(torch.zeros(3, 2, 4, 5), images, temperature)) == pytest.approx(float(found))


def test_the_loop_weighs_it_against_the_task_s_loss() -> None:
    trainer = TINY.trainer(2, torch.device("cpu"))
    pixels = TINY.images()[0][0].numel()
    network, teacher = (nn.Sequential(nn.Flatten(), nn.Linear(pixels, TINY.classes)) for _ in range(2))
    schedule = dataclasses.replace(trainer.schedule, distillation=0.25, temperature=3.0)
    taught = dataclasses.replace(trainer, schedule=schedule, teacher=teacher.eval())
    images, targets = TINY.images()
    with torch.no_grad():
        outputs, wanted = network(images), teacher(images)
        found = Training(taught, Compressed(network), 0).loss((images, targets), outputs)
        own = functional.cross_entropy(outputs, targets)
        expected = 0.75 * own + 0.25 * distillation_loss(outputs, wanted, 3.0)
    assert float(found) == pytest.approx(float(expected), rel=1e-5)


def test_the_teacher_is_the_dense_network_that_is_finished_without_one(tmp_path: Path) -> None:
    """To the bit; every method has it, and dense has it too."""
    plain = tiny_spec(["csg"])
    run_sweep(plain, tmp_path / "plain")
    taught = plain.model_copy(update={"schedule": specs.with_teacher(plain.schedule)})
    records, _ = run_sweep(taught, tmp_path / "taught")
    (teacher,) = (tmp_path / "taught" / STATES).glob("*.safetensors")
    folders = Store(tmp_path / "plain").folders()
    (dense,) = (folder for folder in folders.values() if folder.name.startswith("dense-"))
    weights, state = load_file(dense / WEIGHTS), load_file(teacher)
    assert {name: tuple(own.shape) for name, own in weights.items()} == {
        name: tuple(state[name].shape) for name in weights
    }
    assert all(torch.equal(weights[name], state[name]) for name in weights)
    assert [record["schedule.distillation"] for record in records] == [0.5, 0.5]
    assert not {record["id"] for record in records} & folders.keys()
    (run, *_) = plans.from_spec(taught).runs
    assert run.teacher is not None
    assert run.teacher.id in folders


def test_a_resolved_spec_that_has_no_teacher_gets_one() -> None:
    """Its table says distillation=0 for that."""
    resolved = plans.from_spec(tiny_spec(["csg"])).spec.schedule
    assert isinstance(resolved, dict)
    assert resolved["distillation"] == 0
    taught = specs.with_teacher(resolved)
    assert taught["distillation"] == 0.5
    assert specs.with_teacher({**taught, "distillation": 0.9})["distillation"] == 0.9
    assert specs.with_teacher("quick:distillation=0.9") == "quick:distillation=0.9"
