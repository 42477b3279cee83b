"""What `bench watch` prints of a sweep."""

import time
from collections.abc import Sequence
from datetime import datetime
from io import StringIO

import pytest
from records import TOP1, record
from rich.console import Console

from bench.store.record import FAILED, FINISHED, MISSED
from bench.watching import display
from bench.watching.look import STOPPED, UNDER_WAY, WAITING, Making, Run, Sweep
from bench.watching.planned import Planned
from bench.watching.under_way import Told

NOW = datetime(2026, 5, 4, 12, 30).timestamp()


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW)


def planned(title: str) -> Planned:
    return Planned(title.replace(" ", "-"), title, 0, 10, 10.2)


def at_work(title: str, scores: Sequence[float], quiet: float = 0.0) -> Run:
    told = Told(planned(title), TOP1, NOW - 600, NOW - quiet, 4.5, 1.2345, 4.0, 40.0)
    return Run(planned(title), UNDER_WAY, making=Making("node7", 4711, told, scores), scores=scores)


def finished(title: str, seed: int) -> Run:
    made = record("csg", seed, 81.256, "4x", total_seconds=75.2, started=f"2026-05-04T12:{seed:02d}:00+00:00")
    return Run(planned(title), FINISHED, record=made, scores=[50.0, 81.256])


SWEEP = Sweep(
    [
        finished("dense seed 0", 0),
        Run(planned("csg 100x seed 0"), MISSED, record=record("csg", 0, None, status=MISSED), reason="too small"),
        Run(planned("bad seed 0"), FAILED, record=record("csg", 0, None, status=FAILED), reason="ValueError: \x1b[2J"),
        at_work("csg 4x seed 0", [10.0, 80.0, 45.0], quiet=90),
        Run(planned("lowrank 4x seed 0"), STOPPED, making=Making("here", 12, None), saved=NOW - 60),
        Run(planned("lowrank 8x seed 0"), STOPPED, saved=None),
        Run(planned("csg 8x seed 0"), WAITING),
    ],
    has_plan=True,
)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], ""),
        ([5.0], "▁"),
        ([5.0, 5.0], "▁▁"),
        ([0, 1, 2, 3, 4, 5, 6, 7], "▁▂▃▄▅▆▇█"),
        ([70.0, 0.0, 35.0], "█▁▅"),  # 35 is 3.5 steps up, and Python rounds to even
        ([-2.0, -1.0], "▁█"),
        ([0] * 31 + [1], "▁" * 15 + "█"),  # of 32 every second, the last among them
        ([0] * 15 + [1, 0], "▁" * 16),  # of 17 the last but one is left out
    ],
)
def test_a_curve(values: Sequence[float], expected: str) -> None:
    assert display.curve(values) == expected


def test_each_run_has_a_line_and_those_that_need_an_eye_stand_first() -> None:
    head, headings, *rows = display.lines("results", SWEEP)
    # 5.7 epochs of 10 s are left of the one at work, 30.6 wait. The mean is of 4 epochs in 40 s and 10.2 in 75.2 s.
    left = 57 + 30.6 * 115.2 / 14.2
    assert head == (
        "results: 3 of 7 runs made (1 failed, 1 missed), 1 under way, 2 stopped, 1 waiting; about "
        f"{int(left // 60)} min {left % 60:02.0f} s left"
    )
    assert headings.split() == ["run", "epoch", "loss", "validation", "curve"]
    assert [" ".join(row.split()) for row in rows] == [
        "under way csg 4x seed 0 4.5/10 1.234 45.00 % ▁█▅ since 12:20, process 4711 on node7, no news for 1 min 30 s",
        "stopped lowrank 4x seed 0 process 12 on here is gone; it will go on from 12:29",
        "stopped lowrank 8x seed 0 it will begin again",
        "failed bad seed 0 ValueError: \\x1b[2J",
        "missed csg 100x seed 0 too small",
        "finished dense seed 0 81.26 % ▁█ top-1 81.26 % with 250 values in 1 min 15 s",
        "waiting csg 8x seed 0",
    ]
    # Columns stand one below the other.
    assert {
        row.index(word) for row, word in zip(rows, ["csg", "low", "low", "bad", "csg", "den", "csg"], strict=True)
    } == {headings.index("run")}


def test_where_nobody_is_at_work_it_says_so_and_where_all_is_made_nothing_more() -> None:
    idle = Sweep([run for run in SWEEP.runs if run.status != UNDER_WAY], has_plan=True)
    assert display.headline("r", idle).endswith("2 stopped, 1 waiting; no process works on them")
    over = Sweep([run for run in SWEEP.runs if run.status in (FINISHED, MISSED)], has_plan=True)
    assert display.headline("r", over) == "r: 2 of 2 runs made (1 missed)"
    old = Sweep([SWEEP.runs[0]], has_plan=False, notes=["of an earlier bench"])
    assert [*display.lines("r", old)][:2] == ["r: 1 runs made", "of an earlier bench"]


def shown(sweep: Sweep, width: int, height: int) -> list[str]:
    console = Console(file=StringIO(), force_terminal=True, width=width, height=height, record=True)
    console.print(display.view("results", sweep, width, height))
    return console.export_text().splitlines()


@pytest.mark.parametrize("height", range(8, 30))
def test_a_window_is_never_too_small(height: int) -> None:
    """Of each kind there is a line, however many there are."""
    runs = [at_work(f"at work {number}", [1.0, 2.0]) for number in range(4)]
    runs += [finished(f"finished {number}", number) for number in range(12)]
    runs += [Run(planned(f"waiting {number}"), WAITING) for number in range(12)]
    found = shown(Sweep(runs, has_plan=True), 70, height)
    assert len(found) <= height
    assert all(len(line) <= 70 for line in found)
    assert [line.split()[0] for line in found[2:]] == sorted(
        (line.split()[0] for line in found[2:]), key=["under", "finished", "waiting"].index
    )
    for status, word, number in (("under way", "at work", 4), ("finished", "finished", 12), ("waiting", "waiting", 12)):
        own = [line.removeprefix(status).strip() for line in found if line.startswith(status)]
        cut = [int(line.split()[0]) for line in own if line.endswith("more")]
        assert len(own) - len(cut) + sum(cut) == number
        assert all(line.startswith(word) for line in own if not line.endswith("more"))


def test_of_many_those_that_were_finished_last_and_come_next_are_shown() -> None:
    runs = [finished(f"done {number}", number) for number in (3, 1, 2, 0)]
    runs += [Run(planned(f"next {number}"), WAITING) for number in range(4)]

    def titles(height: int) -> list[str]:
        return [" ".join(line.split()[1:3]) for line in shown(Sweep(runs, has_plan=True), 100, height)[2:]]

    assert titles(6) == ["done 2", "done 3", "2 more", "4 more"]
    assert titles(9) == ["done 3", "done 1", "done 2", "done 0", "next 0", "next 1", "2 more"]


def test_long_titles_keep_their_ends_and_notes_are_cut() -> None:
    title = "csg:slice=12x12:code=72:generator=binary:init=svd 4x seed 3"
    found = shown(Sweep([at_work(title, [1.0])], has_plan=True), 60, 10)
    assert found[2].startswith("under way  csg:sl…")
    assert " 4x seed 3 " in found[2]
    assert found[2].endswith("…")
