"""What a store shows of sweeps: under way in other processes, stopped, killed, finished, or of an earlier bench."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import PLUGINS, STRIPES, Command, run_sweep, tiny_spec
from records import TOP1

import bench
from bench.cli import watch
from bench.plan import plan, shard, spec
from bench.plan.run import Run as PlannedRun
from bench.runs import progress
from bench.runs.verify.verifier import Verifier
from bench.store import owner
from bench.store.record import FINISHED, MISSED, Record
from bench.store.rows import decode_rows
from bench.store.store import HISTORY, SPEC, Store
from bench.watching import planned, under_way
from bench.watching.look import DAMAGED, STOPPED, UNDER_WAY, WAITING, Look, Making, Run, Sweep
from bench.watching.planned import PLAN
from bench.watching.under_way import PROGRESS

DYING = str(PLUGINS / "dying.py")
EARLIER = Path(__file__).resolve().parents[1] / "store" / "format_0"
# So many epochs that nothing ends by itself while it is looked at.
ENDLESS = {"name": "endless", "epochs": 1000, "batch_size": 32, "learning_rate": 0.05, "validation": 0.2}


def until(there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def by_title(sweep: Sweep) -> dict[str, Run]:
    return {run.planned.title.partition(":")[0]: run for run in sweep.runs}


@pytest.fixture
def frozen(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Store, Sweep]]:
    """A sweep of two workers that stands still in the middle of its work: two of three runs are under way."""
    store = Store(tmp_path / "store")
    slow = f"dying:log={tmp_path}/log:step_seconds=0.05"
    asked = tiny_spec([slow, "csg"], plugins=[STRIPES, DYING], schedule=ENDLESS)
    (tmp_path / "asked.toml").write_text(spec.write(asked))
    command = [sys.executable, "-m", "bench.cli", "run", "--spec", str(tmp_path / "asked.toml"), "--jobs", "2"]
    sweep = subprocess.Popen(
        [*command, "--out", str(store.folder), "--save-every", "0"],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(Path(bench.__file__).parent.parent)},
        text=True,
        start_new_session=True,
    )
    stopped: list[int] = []
    try:
        until(lambda: store.runs.is_dir() and len(in_training(store)) == 2)
        # Workers have sessions of their own.
        for run in in_training(store):
            assert run.making is not None
            os.kill(run.making.pid, signal.SIGSTOP)
            stopped.append(run.making.pid)
        time.sleep(0.1)
        yield sweep, store, Look(store).see()
    finally:
        sweep.kill()
        sweep.wait()
        for pid in stopped:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def in_training(store: Store) -> list[Run]:
    """The runs that have told of more than their first step."""
    at_work = Look(store).see().of(UNDER_WAY)
    return [run for run in at_work if run.scores and run.making and run.making.told and run.making.told.trained]


@pytest.mark.slow
def test_a_sweep_in_the_middle_and_then_killed(
    frozen: tuple[subprocess.Popen[str], Store, Sweep], command: Command, tmp_path: Path
) -> None:
    sweep, store, seen = frozen
    assert seen.has_plan
    assert not seen.is_over
    runs = by_title(seen)
    assert {title: run.status for title, run in runs.items()} == {
        "dense seed 0": UNDER_WAY,
        "dying": UNDER_WAY,
        "csg 4x seed 0": WAITING,
    }
    for title in ("dense seed 0", "dying"):
        making = runs[title].making
        assert making is not None
        assert making.told is not None
        assert owner.is_here(making.host)
        assert making.pid != sweep.pid
        (folder,) = (path for path in store.being_made() if path.name.endswith(f".{making.pid}"))
        rows = decode_rows((folder / HISTORY).read_bytes())
        assert [*runs[title].scores] == [float(row["validation_top1"]) for row in rows]
        assert making.told.metric == TOP1
        assert making.told.run.epochs == 1000
        assert len(rows) <= making.epoch < len(rows) + 1
        assert 0 < making.told.updated - making.told.started < 60
    # What the dying method left is the number of the process that makes it.
    assert int((tmp_path / "log").read_text()) == runs["dying"].making.pid  # type: ignore[union-attr]
    before = {path: path.stat().st_mtime_ns for path in store.folder.rglob("*")}
    code, out, err = command("watch", str(store.folder))
    assert (code, err) == (0, "")
    assert {path: path.stat().st_mtime_ns for path in store.folder.rglob("*")} == before
    head, _, first, second, third = out.splitlines()
    assert head.startswith(f"{store.folder}: 0 of 3 runs made, 2 under way, 1 waiting; about ")
    assert first.startswith("under way  dense seed 0 ")
    assert f"process {runs['dying'].making.pid} on " in second  # type: ignore[union-attr]
    assert third.split() == ["waiting", "csg", "4x", "seed", "0"]

    sweep.kill()
    sweep.wait()
    check_killed(store, seen, command)


def check_killed(store: Store, seen: Sweep, command: Command) -> None:
    """The same store, of which `seen` was seen, when the sweep is killed and its workers too."""
    pids = [run.making.pid for run in seen.of(UNDER_WAY) if run.making is not None]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    until(lambda: not Look(store).see().of(UNDER_WAY))
    after = Look(store).see()
    assert not after.is_over
    assert {run.status for run in after.runs} == {STOPPED, WAITING}
    for run in after.of(STOPPED):
        assert [*run.scores] == [*by_title(seen)[run.planned.title.partition(":")[0]].scores]
        assert run.saved == store.unfinished(run.planned.id).stat().st_mtime
    code, out, _ = command("watch", str(store.folder), "--once")
    assert code == 0
    assert out.splitlines()[0].endswith("0 of 3 runs made, 2 stopped, 1 waiting; no process works on them")
    assert out.count(" is gone; it will go on from ") == 2
    # The next sweep sweeps up, and nothing else takes what is left for a run.
    assert len(store.being_made()) == 2
    assert store.folders() == {}
    store.clean()
    assert store.being_made() == []
    assert [run.status for run in Look(store).see().runs] == [STOPPED, STOPPED, WAITING]


def test_a_sweep_that_is_finished(swept: tuple[Path, list[Record]], command: Command) -> None:
    folder, records = swept
    seen = Look(Store(folder)).see()
    assert seen.is_over
    assert [(run.planned.id, run.status) for run in seen.runs] == [(one["id"], one["status"]) for one in records]
    for run, record in zip(seen.runs, records, strict=True):
        rows = Store.rows(Store(folder).folders()[record["id"]], HISTORY)
        assert [*run.scores] == [float(row["validation_top1"]) for row in rows]
        assert len(run.scores) == (4 if record["status"] == FINISHED else 0)
        # csg trains all of the four epochs, lowrank the two behind dense ones.
        begins = 2 if record["method"] == "lowrank" else 0
        assert (run.planned.begins, run.planned.epochs, run.planned.work) == (begins, 4, pytest.approx(4.2 - begins))
    missed = sum(record["status"] == MISSED for record in records)
    code, out, err = command("watch", str(folder))
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == f"{folder}: {len(records)} of {len(records)} runs made ({missed} missed)"
    assert not list((folder / "runs").rglob(PROGRESS))


def test_a_plan_that_cant_be_read_is_said_once(command: Command, tmp_path: Path) -> None:
    shutil.copytree(EARLIER, tmp_path / "store")
    (tmp_path / "store" / PLAN).write_text("{")
    code, out, _ = command("watch", str(tmp_path / "store"))
    notes = [line for line in out.splitlines() if PLAN in line]
    assert code == 0
    assert len(notes) == 1
    assert notes[0].startswith("plan.json can't be read: ")
    assert notes[0].endswith("; the same bench run writes it anew")


def test_a_store_of_an_earlier_bench(command: Command) -> None:
    code, out, err = command("watch", str(EARLIER))
    assert (code, err) == (0, "")
    records, damaged = Store(EARLIER).records()
    head, note, _, *rows = out.splitlines()
    assert head.startswith(f"{EARLIER}: {len(records)} runs made")
    assert note == "plan.json is missing (earlier versions wrote none), so the runs to come are unknown"
    assert len(rows) == len(records) > 0
    assert damaged == []
    assert not (EARLIER / PLAN).exists()


def test_a_run_of_an_earlier_bench_under_way(tmp_path: Path) -> None:
    """Its folder has its history and nothing that says more."""
    store = Store(tmp_path).open()
    folder = store.runs / f".csg-4x-seed0-0123456789ab.{owner.mark()}"
    folder.mkdir()
    (folder / HISTORY).write_text("epoch,train_loss,validation_top1,seconds\n1,0.5,50.0,1.0\n")
    (run,) = Look(store).see().runs
    assert (run.planned.id, run.planned.title, run.status) == ("0123456789ab", "csg-4x-seed0", UNDER_WAY)
    assert run.making == Making(*(owner.of(folder.name) or ("", 0)), None, [])
    assert not Look(store).see().is_over
    assert "process" in "".join(watched_lines(store))


def watched_lines(store: Store) -> list[str]:
    from bench.watching import display

    return [*display.lines("store", Look(store).see())]


@pytest.mark.parametrize("name", ["nowhere", "other"])
def test_what_is_no_store_is_said_in_a_line(command: Command, tmp_path: Path, name: str) -> None:
    (tmp_path / "other").mkdir()
    code, out, err = command("watch", str(tmp_path / name))
    assert (code, out) == (2, "")
    assert err == f"bench: no runs in {tmp_path / name}; give the folder that `bench run --out` wrote\n"


def of(runs: list[PlannedRun]) -> list[planned.Planned]:
    return [progress.planned(run) for run in runs]


def test_shards_of_a_sweep_add_their_runs_to_its_plan_and_another_sweep_replaces_it(tmp_path: Path) -> None:
    store = Store(tmp_path).open()
    whole = plan.from_spec(tiny_spec(["csg", "lowrank"], seeds=2))
    parts = [[*shard.parse(f"{number}/2").of(whole).runs] for number in (1, 2)]
    content = spec.write(whole.spec).encode()
    planned.remember(store, content, of(parts[1]))
    planned.remember(store, content, of(parts[0]))
    planned.remember(store, content, of(parts[0]))  # as where it is gone on with
    assert {run.id for run in planned.read(store)} == {run.id for run in whole.runs}
    assert len(planned.read(store)) == len(whole.runs)
    assert {run.title for run in planned.read(store)} == {progress.title(run) for run in whole.runs}
    planned.remember(store, b"another", of(parts[0]))
    assert {run.id for run in planned.read(store)} == {run.id for run in parts[0]}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "plan.json can't be read: Expecting property name"),
        ("[]", "plan.json can't be read: list indices"),
        ('{"format": 2, "spec": "", "runs": []}', "plan.json can't be read: it has format 2, of a newer bench"),
        (
            '{"format": 1, "spec": "", "runs": [{"id": 1}]}',
            "plan.json can't be read: \"{'id': 1}\" is not a planned run",
        ),
        (
            '{"format": 1, "spec": "", "runs": [{"id": "a", "title": "b", "begins": 0, "epochs": NaN, "work": 1}]}',
            "is not a planned run",
        ),
    ],
)
def test_a_plan_that_is_none_is_said_and_the_next_sweep_replaces_it(tmp_path: Path, content: str, said: str) -> None:
    store = Store(tmp_path).open()
    (tmp_path / PLAN).write_text(content)
    seen = Look(store).see()
    assert not seen.has_plan
    assert said in seen.notes[0]
    planned.remember(store, b"", [planned.Planned("a", "b", 0, 4, 4.2)])
    assert planned.read(store) == [planned.Planned("a", "b", 0, 4, 4.2)]


def told(folder: Path) -> under_way.Told:
    found = under_way.read(folder)
    assert found is not None
    return found


RUN = planned.Planned("0123456789ab", "csg 4x seed 0", 2, 10, 8.2)


def test_a_run_tells_how_far_it_is_now_and_then_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "time", lambda: now)
    with under_way.telling(tmp_path, RUN, TOP1, print) as tell:
        assert told(tmp_path) == under_way.Told(RUN, TOP1, 1000, 1000)
        now = 1005.0
        tell(0, 0.05, 2.5)
        assert told(tmp_path) == under_way.Told(RUN, TOP1, 1000, 1005, 0.5, 2.5, 0, 0)
        now = 1006.0
        tell(0, 0.06, 2.4)
        assert told(tmp_path).epoch == 0.5  # a second ago
        now = 1015.0
        tell(1, 0.15, float("nan"))
        assert told(tmp_path) == under_way.Told(RUN, TOP1, 1000, 1015, 1.5, None, 1, 10)
        # Behind a teacher's training its own begins.
        now = 1020.0
        tell(0, 0.0, 3.0)
        now = 1024.0
        tell(0, 0.02, 3.0)
        assert told(tmp_path) == under_way.Told(RUN, TOP1, 1000, 1024, pytest.approx(0.2), 3, pytest.approx(0.2), 4)
    assert [*tmp_path.iterdir()] == []


def test_a_disk_that_refuses_costs_the_watching_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    said: list[str] = []
    with under_way.telling(tmp_path, RUN, TOP1, said.append) as tell:
        monkeypatch.setattr(Path, "write_text", refuse)
        monkeypatch.setattr(under_way, "_SECONDS", 0.0)
        for step in range(3):
            tell(0, step / 100, 1.0)
    assert said == ["csg 4x seed 0: `bench watch` can't show its progress: No space left on device"]


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"updated": "now"},
        {"epoch": True},
        {"loss": [1]},
        {"run": {"id": "a"}},
        {"metric": {"headline": "top1"}},
        {"metric": {**TOP1.columns(), "headline_label": 5}},
    ],
)
def test_what_a_process_tells_and_cannot_be_read_is_left_out(tmp_path: Path, change: dict[str, object]) -> None:
    with under_way.telling(tmp_path, RUN, TOP1, print) as tell:
        tell(0, 0.5, 1.0)
        body = json.loads((tmp_path / PROGRESS).read_text())
        assert under_way.read(tmp_path) is not None
        (tmp_path / PROGRESS).write_text(json.dumps({**body, **change}))
        assert under_way.read(tmp_path) is None


def test_a_process_elsewhere_is_at_work_as_long_as_it_tells_something(tmp_path: Path) -> None:
    store = Store(tmp_path).open()
    folder = store.runs / f".csg-4x-seed0-{RUN.id}.node7.4711"
    folder.mkdir()
    planned.remember(store, b"", [RUN])
    with under_way.telling(folder, RUN, TOP1, print):
        assert [run.status for run in Look(store).see().runs] == [UNDER_WAY]
        body = json.loads((folder / PROGRESS).read_text())
        (folder / PROGRESS).write_text(json.dumps({**body, "updated": time.time() - 3 * 3600}))
        (run,) = Look(store).see().runs
        assert (run.status, run.making and run.making.host) == (STOPPED, "node7")
        # Another has it in hand by now.
        other = store.runs / f".csg-4x-seed0-{RUN.id}.{owner.mark()}"
        other.mkdir()
        with under_way.telling(other, RUN, TOP1, print):
            (run,) = Look(store).see().runs
            assert (run.status, run.making and run.making.pid) == (UNDER_WAY, os.getpid())


def test_a_run_that_is_finished_while_it_is_looked_at_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_sweep(tiny_spec(["csg"]), tmp_path)
    store = Store(tmp_path)
    left = [store.runs / f".{folder.name}.{owner.mark()}" for folder in store.folders().values()]
    for folder in left:
        folder.mkdir()
    assert Look(store).see().counts == {UNDER_WAY: 2}  # as where they are made again
    monkeypatch.setattr(under_way, "read", lambda folder: folder.rmdir())
    assert Look(store).see().counts == {FINISHED: 2}


def test_what_is_finished_is_read_once_and_what_changed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_sweep(tiny_spec(["csg"]), tmp_path)
    look, read, reads = Look(Store(tmp_path)), Store.read, []

    def counted(self: Store, folder: Path) -> Record:
        reads.append(folder.name)
        return read(self, folder)

    monkeypatch.setattr(Store, "read", counted)
    for _ in range(3):
        assert look.see().counts == {FINISHED: 2}
    assert len(reads) == 2
    (folder, _) = look.store.folders().values()
    look.store.write(folder / HISTORY, b"")
    assert look.see().counts == {FINISHED: 1, DAMAGED: 1}
    (damaged,) = look.see().of(DAMAGED)
    assert damaged.reason == f"{folder.name}: history.csv has changed since it was sealed"


def test_nothing_else_is_confused_by_it(swept: tuple[Path, list[Record]], tmp_path: Path, command: Command) -> None:
    shutil.copytree(swept[0], tmp_path / "store")
    store = Store(tmp_path / "store")
    assert (store.folder / PLAN).is_file()
    (store.folder / "logs").mkdir()
    (store.folder / "logs" / "log.csv").write_text("time\n")
    with under_way.telling(store.runs, RUN, TOP1, print):  # which lies in no folder of a run
        assert not Verifier(store, seals_alone=True, given=None).verify().wrong  # type: ignore[arg-type]
    assert command("merge", str(store.folder), "--out", str(tmp_path / "merged"))[0] == 0
    assert not {PLAN, "logs"} & {path.name for path in (tmp_path / "merged").iterdir()}
    assert command("clean", str(store.folder))[0] == 0
    assert (store.folder / "logs" / "log.csv").is_file()
    assert Look(store).see().is_over
    (store.folder / PLAN).unlink()
    assert command("verify", "--seals", str(store.folder))[0] == 1


def test_no_torch_is_needed(swept: tuple[Path, list[Record]]) -> None:
    code = (
        "import sys; sys.argv = ['bench', 'watch', sys.argv[1]]\n"
        "from bench.cli.main import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "print(sorted({'torch', 'numpy', 'pandas'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(swept[0])], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "[]"


class Terminal:
    """Stands for the console of the command, as a terminal; `told` is what came to it."""

    def __init__(self) -> None:
        from io import StringIO

        from rich.console import Console

        self.told = StringIO()
        self.console = Console(file=self.told, force_terminal=True, width=100, height=20)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    made = Terminal()
    monkeypatch.setattr(watch, "make_console", lambda: made.console)
    return made


def test_on_a_terminal_it_goes_on_until_all_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: Terminal, command: Command
) -> None:
    asked = tiny_spec(["csg"])
    runs = plan.from_spec(asked).runs
    store = Store(tmp_path).open()
    planned.remember(store, b"", of([*runs]))
    (tmp_path / SPEC).write_text("")
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            monkeypatch.undo()
            run_sweep(asked, tmp_path)

    monkeypatch.setattr(watch.time, "sleep", sleep)
    watch.watch(tmp_path)
    assert len(slept) == 2
    said = terminal.told.getvalue()
    assert ": 0 of 2 runs made, 2 waiting; no process works on them" in said
    assert "2 of 2 runs made" in said.rpartition("waiting")[2]


def test_an_interrupt_ends_it_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: Terminal, command: Command
) -> None:
    store = Store(tmp_path).open()
    planned.remember(store, b"", [RUN])

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(watch.time, "sleep", interrupt)
    assert command("watch", str(tmp_path)) == (0, "", "")
    assert "Traceback" not in terminal.told.getvalue()


def test_what_a_store_says_is_text_alone(tmp_path: Path, command: Command) -> None:
    store = Store(tmp_path).open()
    planned.remember(store, b"", [planned.Planned("a", "csg \x1b[2J [red]seed", 0, 1, 1)])
    _, out, _ = command("watch", str(tmp_path))
    assert out.splitlines()[-1] == "waiting  csg \\x1b[2J [red]seed"
