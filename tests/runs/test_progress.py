"""What a person sees of several runs at once."""

from io import StringIO

import pytest
from conftest import tiny_spec
from rich.console import Console

from bench.plan import plan
from bench.plan.run import Run
from bench.runs import progress
from bench.runs.progress import BarProgress, Progress
from bench.store.record import FAILED
from bench.training.epoch import Epoch

LOST = {"status": FAILED, "reason": "the process that made it was ended by SIGKILL, twice"}


@pytest.fixture(scope="module")
def runs() -> list[Run]:
    """Of dense, csg and lowrank, which train 4, 4 and 2 epochs of their own."""
    return list(plan.from_spec(tiny_spec(["csg", "lowrank"])).runs)


def row(epoch: int) -> Epoch:
    figures = {"train_loss": 0.5, "validation_top1": 87.5, "learning_rate": 0.1}
    return Epoch(epoch, 1.5, figures)


def test_each_run_under_way_has_a_bar_and_one_that_ended_has_none(runs: list[Run]) -> None:
    shown = BarProgress(Console(file=StringIO(), force_terminal=True, width=120))
    with shown.runs(runs):
        for run in runs[:2]:
            shown.begin(run)
        shown.step(runs[0], 0, 0.125, 1.25)
        shown.step(runs[1], 1, 0.375, 2.5)
        bars = {task.description: (task.completed, task.fields["note"]) for task in shown.bars.tasks}
        assert bars["dense seed 0"] == (0.125, "epoch 1/4 loss 1.250")
        assert bars["csg 4x seed 0"] == (0.375, "epoch 2/4 loss 2.500")
        assert bars["all runs"] == (0.5 + 1.5, "0/3 runs")
        shown.end(runs[0], LOST)
        shown.lose(runs[1])
        assert [task.description for task in shown.bars.tasks] == ["all runs"]
        # What was lost is no longer done: of dense, its four epochs and the little that is no training.
        shown.begin(runs[1])
        shown.step(runs[1], 0, 0.0, 1.0)
        (whole, _) = shown.bars.tasks
        assert (whole.completed, whole.fields["note"]) == (pytest.approx(4.2), "1/3 runs")
        shown.end(runs[2], LOST)  # one that another process made has no bar


def test_lines_name_the_run_and_the_time_left_goes_by_all_of_them(
    runs: list[Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)  # type: ignore[attr-defined]
    printed = StringIO()
    shown = Progress(Console(file=printed, width=200))
    with shown.runs(runs):
        for run in runs[:2]:
            shown.begin(run)
        shown.epoch(runs[0], row(1))
        shown.epoch(runs[1], row(2))
        now = 62.0
        shown.end(runs[0], LOST)
    lines = printed.getvalue().splitlines()
    assert lines[0] == "  dense seed 0: epoch 1/4 loss 0.500 validation 87.50 % (1.5 s)"
    assert lines[1] == "  csg 4x seed 0: epoch 2/4 loss 0.500 validation 87.50 % (1.5 s)"
    # In 62 s 4.2 and 2 of 4.2 + 4.2 + 2.2 epochs' worth of work were done; 4.4 are left.
    assert lines[2].endswith("; 44 s left")
