"""Runs as tasks of Ray, on a cluster of two nodes of this machine: the same bits as one process makes, with nothing on
the nodes but what travels to them, whatever becomes of a node, of a process, or of the sweep."""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import PLUGINS, STRIPES, run_sweep, tiny_spec
from PIL import Image
from records import TIMES

import bench
from bench.errors import InputError
from bench.executors.ray.ray import Ray
from bench.models._build import build_network
from bench.plan import plan, spec
from bench.plugins import networks
from bench.runs.executor import Crew, Job
from bench.runs.progress import Progress
from bench.store.apart.corruptions import CORRUPTIONS
from bench.store.record import FAILED, FINISHED
from bench.store.rows import decode_rows
from bench.store.store import HISTORY, RECORD, SEALED, TRACEBACK, Store

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the package ray"),
    pytest.mark.slow,
    pytest.mark.xdist_group("ray"),  # one process starts a cluster, for all of these tests
    # The files that Ray's processes write to are left to the garbage collector.
    pytest.mark.filterwarnings(r"ignore:unclosed file:ResourceWarning:ray\."),
]

DYING, GATED = (str(PLUGINS / f"{name}.py") for name in ("dying", "gated"))
SHORT = {"name": "short", "epochs": 2, "batch_size": 16, "learning_rate": 0.05, "validation": 0.2}
NODE = {"num_cpus": 1, "object_store_memory": 100_000_000}
# Far more than anything takes on a machine that does other things too, in seconds.
PATIENCE = 150.0


def until(there: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def processes_with(name: str, value: str) -> list[str]:
    """Command lines of processes that have this in their environment."""
    found, wanted = [], f"{name}={value}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if folder.name != str(os.getpid()) and wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.append((folder / "cmdline").read_text().replace("\0", " "))
        except OSError:  # of others, or gone
            continue
    return found


@contextmanager
def own_temporary_files() -> Iterator[Path]:
    """A place for those of a Ray, of which no process may be left at the end. Its sockets lie there, so its name is
    short."""
    folder = Path(tempfile.mkdtemp(prefix="ray-"))
    try:
        yield folder
        until(lambda: not processes_with("TMPDIR", str(folder)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def started_in(folder: Path) -> Iterator[None]:
    """For processes alone that are started meanwhile."""
    with pytest.MonkeyPatch.context() as change:
        change.setenv("TMPDIR", str(folder))
        change.setenv("RAY_USAGE_STATS_ENABLED", "0")
        yield


class Nodes:
    """Two nodes with room for a run each; this process is connected to the first."""

    def __init__(self, temporary: Path) -> None:
        import ray
        from ray.cluster_utils import Cluster

        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.temporary = temporary
        with started_in(temporary):
            self.cluster = Cluster(initialize_head=True, head_node_args=NODE | {"ray_client_server_port": port})
        # While there is no other that it could be connected to.
        ray.init(address=self.cluster.address, log_to_driver=False, logging_level="ERROR")
        self.second: Any = None
        self.add_second()
        self.addresses = {"": self.cluster.address, "ray://": f"ray://127.0.0.1:{port}"}

    def add_second(self) -> None:
        with started_in(self.temporary):
            self.second = self.cluster.add_node(**NODE)

    def lose_second(self) -> None:
        """As a machine is lost."""
        self.cluster.remove_node(self.second, allow_graceful=False)
        self.second = None

    def end(self) -> None:
        import ray

        ray.shutdown()
        self.cluster.shutdown()


@pytest.fixture(scope="module")
def started() -> Iterator[Nodes]:
    before = signal.getsignal(signal.SIGTERM)  # which Ray takes for itself
    with own_temporary_files() as temporary:
        made = Nodes(temporary)
        try:
            yield made
        finally:
            made.end()
            signal.signal(signal.SIGTERM, before)


@pytest.fixture
def nodes(started: Nodes) -> Nodes:
    """Both, also after a test that lost one."""
    if started.second is None:
        started.add_second()
    return started


class Elsewhere(Ray):
    """A Ray whose nodes don't have a folder of the sweep's."""

    def __init__(self, hidden: Path) -> None:
        super().__init__()
        self.hidden = hidden

    @contextmanager
    def open(self, job: Job, progress: Progress) -> Iterator[Crew]:
        with super().open(job, progress) as crew:
            away = self.hidden.rename(self.hidden.with_name("away"))
            try:
                yield crew
            finally:
                away.rename(self.hidden)


class Watched(Ray):
    """A Ray of which something else happens at the same time."""

    def __init__(self, happens: Callable[[Any], None]) -> None:
        super().__init__()
        self.happens = happens

    @contextmanager
    def open(self, job: Job, progress: Progress) -> Iterator[Crew]:
        with super().open(job, progress) as crew:
            beside = threading.Thread(target=self.happens, args=(crew,))
            beside.start()
            yield crew
            beside.join()


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder of a person's: images, two plugins of which one imports a file beside it, and a network's weights."""
    folder = tmp_path / "own"
    random = np.random.default_rng(0)
    for split, count in (("train", 30), ("test", 10)):
        for place, name in enumerate(("cat", "dog")):
            (folder / "photos" / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 128, (8, 8, 3), dtype=np.uint8)
                pixels[..., place] += 100
                Image.fromarray(pixels).save(folder / "photos" / split / name / f"{number}.png")
    (folder / "halves.py").write_text((PLUGINS / "halves.py").read_text())
    (folder / "blocks.py").write_text((PLUGINS / "mynet.py").read_text())
    (folder / "mynet.py").write_text(
        "from .blocks import mynet\n\n"
        "def net(channels, num_classes):\n    return mynet(channels, num_classes, width=8)\n"
    )
    network = build_network(networks.find(f"{folder / 'mynet.py'}:net").model, 3, 2, seed=3)
    torch.save(network.state_dict(), folder / "weights.pt")
    return folder


def contents(store: Path) -> dict[str, Any]:
    """All that runs hold, but for times and for what a traceback says of places."""
    found: dict[str, Any] = {}
    for folder in Store(store).folders().values():
        names = {*SEALED, CORRUPTIONS.name} - {RECORD, HISTORY, TRACEBACK}
        found |= {f"{folder.name}/{name}": (folder / name).read_bytes() for name in names if (folder / name).exists()}
        record = Store(store).read(folder)
        found[folder.name] = {name: value for name, value in record.items() if name not in TIMES}
        found[f"{folder.name}/{HISTORY}"] = [
            {**row, "seconds": ""} for row in decode_rows((folder / HISTORY).read_bytes())
        ]
    return found


def test_all_that_runs_need_travels_and_they_have_the_bits_of_one_machine(
    nodes: Nodes, own: Path, tmp_path: Path
) -> None:
    asked = tiny_spec(
        ["lowrank", "halves", "bad=halves:fail=compress"],
        dataset=f"folder:{own / 'photos'}",
        model=f"{own / 'mynet.py'}:net",
        weights=str(own / "weights.pt"),
        normalise="dataset",
        schedule=SHORT,
        plugins=[str(own / "halves.py")],
        corruptions="computed",
    )
    run_sweep(asked, tmp_path / "here")
    records, printed = run_sweep(asked, tmp_path / "ray", executor=Elsewhere(own))
    assert [record["method"] for record in records] == ["given", "dense", "lowrank", "halves", "bad"]
    assert [record["status"] for record in records] == [FINISHED] * 4 + [FAILED]
    assert records[4]["reason"] == "RuntimeError: this method is broken"
    failed = Store(tmp_path / "ray").folder_of(records[4]["id"])
    assert failed is not None
    assert "in compress" in (failed / TRACEBACK).read_text()
    assert contents(tmp_path / "ray") == contents(tmp_path / "here")
    assert f"lowrank-4x-seed0-{records[2]['id']}/{CORRUPTIONS.name}" in contents(tmp_path / "ray")
    assert "lowrank 4x seed 0: epoch 2/2" in printed
    prefixes = [{path.name for path in (tmp_path / name / "prefixes").iterdir()} for name in ("here", "ray")]
    assert prefixes[0] == prefixes[1] != set()
    assert not [*(tmp_path / "ray" / "runs").glob(".*")]
    assert not [*(tmp_path / "ray").glob("unfinished/*")]


@pytest.mark.whole
def test_streamed_images_are_found_by_each_node(nodes: Nodes, own: Path, tmp_path: Path) -> None:
    photos = own / "photos"
    asked = tiny_spec(["lowrank"], dataset=f"folder:{photos}:size=8:stream=true", schedule=SHORT)
    run_sweep(asked, tmp_path / "here")
    run_sweep(asked, tmp_path / "ray", executor=Ray())
    assert contents(tmp_path / "ray") == contents(tmp_path / "here")


def test_images_that_are_others_on_a_node_are_refused(nodes: Nodes, own: Path, tmp_path: Path) -> None:
    image = own / "photos" / "train" / "cat" / "0.png"

    class Changed(Ray):
        @contextmanager
        def open(self, job: Job, progress: Progress) -> Iterator[Crew]:
            Image.new("RGB", (8, 8)).save(image)
            with super().open(job, progress) as crew:
                yield crew

    asked = tiny_spec(["lowrank"], dataset=f"folder:{own / 'photos'}:size=8:stream=true", schedule=SHORT)
    with pytest.raises(InputError, match=r"node .*: the images of folder.* differ from those on the sweep's machine"):
        run_sweep(asked, tmp_path / "store", executor=Changed())


class Gate:
    """Runs that wait in the middle of their training until it is opened."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.file = folder / "gate"
        self.logs = {name: folder / f"{name}.log" for name in names}
        methods = [f"{name}=gated:log={log}:gate={self.file}" for name, log in self.logs.items()]
        self.asked = tiny_spec(methods, schedule=SHORT, plugins=[STRIPES, GATED])

    def open(self) -> None:
        self.file.touch()

    def steps(self, name: str) -> list[tuple[int, float]]:
        """The process and the progress of each step so far."""
        log = self.logs[name]
        lines = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
        return [(int(pid), float(progress)) for pid, progress in lines]

    def waiting(self) -> list[str]:
        """The names of those that wait there."""
        return [name for name in self.logs if any(progress >= 0.5 for _, progress in self.steps(name))]


def test_runs_of_a_lost_node_go_on_elsewhere_from_their_state(nodes: Nodes, tmp_path: Path) -> None:
    """Both runs wait at the gate, one on each node, until the second node is lost."""
    gate, store = Gate(tmp_path, ["a", "b"]), Store(tmp_path / "ray")
    lost, second = list[str](), nodes.second.node_id

    def kill(crew: Any) -> None:
        def there() -> bool:
            lost[:] = [
                attempt.run.choice.label
                for attempt in [*crew.attempts.values()]
                if attempt.node == second
                and attempt.run.choice.label in gate.waiting()
                and store.unfinished(attempt.run.id).exists()
            ]
            return len(lost) == 1 and len(gate.waiting()) == 2

        try:
            until(there)
            nodes.lose_second()
        finally:
            gate.open()

    records, printed = run_sweep(gate.asked, tmp_path / "ray", executor=Watched(kill), save_every=0)
    (name,) = lost
    assert [record["status"] for record in records] == [FINISHED] * 3
    assert f"{name} seed 0: its node" in printed
    assert "was lost; it goes on elsewhere" in printed
    assert f"{name} seed 0 goes on where it was stopped" in printed
    assert printed.count("goes on elsewhere") == printed.count("goes on where") == 1
    steps = gate.steps(name)
    again = next(progress for pid, progress in steps if pid != steps[0][0])
    assert again > steps[0][1]  # it did not begin again
    run_sweep(gate.asked, tmp_path / "here")
    assert contents(tmp_path / "ray") == contents(tmp_path / "here")
    assert not [*(tmp_path / "ray").glob("unfinished/*")]


@pytest.mark.whole
def test_a_run_whose_process_is_killed_is_made_again(nodes: Nodes, tmp_path: Path) -> None:
    asked = tiny_spec([f"dying:log={tmp_path}/log:deaths=1"], schedule=SHORT, plugins=[STRIPES, DYING])
    records, printed = run_sweep(asked, tmp_path / "ray", executor=Ray())
    assert [record["status"] for record in records] == [FINISHED] * 2
    assert " seed 0: the process that made it was ended, as the system does when memory is short" in printed
    assert len(set((tmp_path / "log").read_text().split())) == 2


@pytest.mark.parametrize("name", ["the version of torch", "the code of bench"])
def test_another_version_on_a_node_is_refused(
    nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """As if this machine had the other one."""
    from bench.executors.ray import luggage

    alike = luggage._alike
    monkeypatch.setattr(luggage, "_alike", lambda *given: alike(*given) | {name: "another"})
    wanted = rf"^node [\w.-]+: {name} is \S+ here, but another on the sweep's machine; all nodes need the same$"
    with pytest.raises(InputError, match=wanted):
        run_sweep(tiny_spec(["csg"]), tmp_path, executor=Ray())
    assert not [*(tmp_path / "runs").iterdir()]


@contextmanager
def command(asked: spec.Spec, out: Path, *more: str) -> Iterator["subprocess.Popen[str]"]:
    """`bench run --executor ray`, which is no more at the end."""
    file = out.with_name(f"{out.name}.toml")
    file.write_text(spec.write(asked))
    source = str(Path(bench.__file__).parents[1])
    arguments = ["run", "--spec", str(file), "--out", str(out), "--save-every", "0", "--executor", "ray", *more]
    with subprocess.Popen(
        [sys.executable, "-m", "bench.cli", *arguments],
        env={
            **os.environ,
            "COLUMNS": "200",
            "PYTHONPATH": os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH", "")])),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.whole
@pytest.mark.parametrize("kind", ["", "ray://"])
def test_a_cluster_is_joined_at_its_address(nodes: Nodes, tmp_path: Path, kind: str) -> None:
    asked = tiny_spec(["lowrank"], schedule=SHORT)
    with command(asked, tmp_path / "ray", "--ray-address", nodes.addresses[kind]) as process:
        printed, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, printed
    run_sweep(asked, tmp_path / "here")
    assert contents(tmp_path / "ray") == contents(tmp_path / "here")


@pytest.mark.whole
@pytest.mark.parametrize("where", ["local", "cluster"])
def test_an_interrupt_ends_each_run_with_its_state(nodes: Nodes, tmp_path: Path, where: str) -> None:
    """As a terminal gives it, to all processes: those of a Ray that was started for the sweep end too. The same sweep
    then goes on, on the cluster."""
    gate, store = Gate(tmp_path, ["a", "b"]), Store(tmp_path / "ray")
    more = [] if where == "local" else ["--ray-address", nodes.addresses[""]]
    with own_temporary_files() as temporary:
        with started_in(temporary), command(gate.asked, store.folder, *more) as process:
            until(lambda: gate.waiting() or process.poll() is not None)
            begun = gate.waiting()
            os.killpg(process.pid, signal.SIGINT)
            printed, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == 130, printed
        assert "each run finishes its step and saves its state; interrupt again to end at once" in printed
        assert "interrupted; finished runs are kept, and the same command goes on where this one stopped" in printed
        assert begun
        for pid in {pid for name in begun for pid, _ in gate.steps(name)}:
            assert not [*temporary.glob(f"bench-ray.*.{pid}"), *nodes.temporary.glob(f"bench-ray.*.{pid}")]
            until(lambda pid=pid: not Path(f"/proc/{pid}").exists())
    for run in plan.from_spec(gate.asked).runs:
        assert store.unfinished(run.id).exists() or run.choice.label not in begun
        with store.lock(run.id, wait=False) as ours:
            assert ours
    gate.open()
    _, printed = run_sweep(gate.asked, store.folder, executor=Ray())
    for name in begun:
        assert f"{name} seed 0 goes on where it was stopped" in printed
        progress = [progress for _, progress in gate.steps(name)]
        assert progress == sorted(set(progress))  # no step was made twice
    run_sweep(gate.asked, tmp_path / "here")
    assert contents(store.folder) == contents(tmp_path / "here")


@pytest.mark.whole
def test_a_second_interrupt_ends_all_at_once(tmp_path: Path) -> None:
    """In the middle of a step that takes ten minutes."""
    asked = tiny_spec([f"dying:log={tmp_path}/log:step_seconds=600"], schedule=SHORT, plugins=[STRIPES, DYING])
    with own_temporary_files() as temporary, started_in(temporary), command(asked, tmp_path / "ray") as process:
        until(lambda: (tmp_path / "log").exists() or process.poll() is not None)
        os.killpg(process.pid, signal.SIGINT)
        assert process.stdout is not None
        for line in process.stdout:
            if "interrupt again to end at once" in line:
                break
        os.killpg(process.pid, signal.SIGINT)
        printed, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, printed
    assert "interrupted; finished runs are kept" in printed


@pytest.mark.whole
def test_runs_end_with_a_sweep_that_is_killed(nodes: Nodes, tmp_path: Path) -> None:
    """And leave no lock, so that the next sweep need not wait."""
    asked = tiny_spec([f"dying:log={tmp_path}/log:step_seconds=600"], schedule=SHORT, plugins=[STRIPES, DYING])
    with command(asked, tmp_path / "ray", "--ray-address", nodes.addresses[""]) as process:
        until(lambda: (tmp_path / "log").exists() or process.poll() is not None)
        assert process.poll() is None
        process.kill()
    (pid,) = (tmp_path / "log").read_text().split()
    until(lambda: not Path(f"/proc/{pid}").exists())
    store = Store(tmp_path / "ray")
    for run in plan.from_spec(asked).runs:
        with store.lock(run.id, wait=False) as ours:
            assert ours
