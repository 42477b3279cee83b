"""Code of a plugin that ends the process: in every place where it runs, it costs its own run and no other."""

import signal
from pathlib import Path

import pytest
from conftest import PLUGINS, STRIPES, Command, run_sweep, tiny_spec

from bench import testing
from bench.budget import parse
from bench.plan.method_choice import find_methods
from bench.plugins import networks
from bench.runs.footprint import Question, footprint
from bench.store.record import FAILED, FINISHED
from bench.store.store import TRACEBACK, Store

LEAVES = str(PLUGINS / "leaves.py")
FILES = [STRIPES, LEAVES]
STRIPES_SOURCE = Path(STRIPES).read_text(encoding="utf-8")
IN_A_RUN = (
    *("citation", "exceptions", "compress", "structure", "after_step", "settle", "finish", "pictures", "rebuild"),
)
SHORT = {"name": "short", "epochs": 1, "batch_size": 32, "learning_rate": 0.05, "validation": 0.2}


@pytest.mark.slow
def test_it_fails_its_own_run_wherever_it_leaves(tmp_path: Path) -> None:
    methods = [f"leaves:at={place}" for place in IN_A_RUN]
    methods += ["leaves:at=compress:how=generator", "leaves:at=compress:how=unheard", "leaves"]
    records, _ = run_sweep(tiny_spec(methods, plugins=FILES, schedule=SHORT), tmp_path)
    assert [record["status"] for record in records] == [FINISHED, *[FAILED] * (len(IN_A_RUN) + 2), FINISHED]
    reasons = [record["reason"] for record in records[1:-1]]
    assert all("SystemExit" in reason for reason in reasons[: len(IN_A_RUN)])
    assert reasons[len(IN_A_RUN) :] == ["GeneratorExit", "Unheard: not an exception"]
    for record in records[1:-1]:
        folder = Store(tmp_path).folder_of(record["id"])
        assert folder is not None
        assert "leaves.py" in (folder / TRACEBACK).read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["interrupt", "swallowed"])
def test_an_interrupt_stays_one(tmp_path: Path, how: str) -> None:
    """Also one that was swallowed on its way, and left something broken."""
    before = signal.getsignal(signal.SIGINT)
    asked = tiny_spec([f"leaves:at=compress:how={how}"], plugins=FILES, schedule=SHORT)
    with pytest.raises(KeyboardInterrupt):
        run_sweep(asked, tmp_path)
    assert signal.getsignal(signal.SIGINT) is before
    assert [record["method"] for record in Store(tmp_path).records()[0]] == ["dense"]


@pytest.mark.parametrize("place", ["options", "compress_at", "identity"])
@pytest.mark.parametrize("how", ["exit", "generator", "unheard"])
def test_before_anything_is_made_it_is_bad_input(command: Command, tmp_path: Path, place: str, how: str) -> None:
    arguments = ["--plugin", LEAVES, "--plugin", STRIPES, "--dataset", "stripes", "--out", str(tmp_path / "store")]
    code, out, err = command("run", "--methods", f"leaves:at={place}:how={how}", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("bench: method ")
    assert {"exit": "SystemExit", "generator": "GeneratorExit", "unheard": "Unheard: not an exception"}[how] in err
    assert "leaves.py, line" in err
    assert err.count("\n") == 1
    assert not (tmp_path / "store").exists()


def test_of_a_footprint_it_costs_a_row() -> None:
    choices = find_methods(["leaves:at=compress", "leaves"], FILES)
    rows = list(footprint(choices, [parse("1x")], Question(networks.find("resnet8"), (1, 8, 8), 3)))
    assert [row["reason"] for row in rows] == ["SystemExit", "its size is fixed; no budget is asked of it"]
    assert rows[0]["failed"]
    assert "leaves.py" in rows[0]["traceback"]


def test_of_a_check_it_costs_the_check() -> None:
    with pytest.raises(testing.CheckFailed, match="it fails with SystemExit"):
        testing.run("trains_every_value", "leaves:at=compress", plugins=[LEAVES])


NETWORK = """
import sys
from torch import nn

def builds(channels, num_classes):
    sys.exit()

class Forward(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3)

    def forward(self, images):
        sys.exit("no way forward")

def runs():
    return Forward()
"""
DATASET = """
import sys
from dataclasses import dataclass
from bench.dataset import Dataset

@dataclass(frozen=True)
class Gone(Dataset):
    at: str = "load"

    def identity(self):
        if self.at == "identity":
            sys.exit()
        return ""

    def load(self, data_dir, download):
        sys.exit()
"""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            "footprint --methods dense --model {here}/net.py:builds",
            "the network can't be built: SystemExit (net",
        ),
        ("run --methods dense --dataset gone --plugin {here}/gone.py", "dataset gone: SystemExit (gone.py, line"),
        (
            "run --methods dense --dataset gone:at=identity --plugin {here}/gone.py",
            "dataset gone:at=identity: SystemExit (gone.py, line",
        ),
        (
            "list methods --plugin {here}/exits.py",
            "plugin {here}/exits.py can't be imported: SystemExit",
        ),
        (
            "check exits --plugin {here}/exits.py",
            "plugin {here}/exits.py can't be imported: SystemExit",
        ),
        (
            "run --methods dense --model {here}/exits.py:net",
            "plugin {here}/exits.py can't be imported: SystemExit",
        ),
    ],
)
def test_networks_datasets_and_imports(command: Command, tmp_path: Path, arguments: str, message: str) -> None:
    (tmp_path / "net.py").write_text(NETWORK)
    (tmp_path / "gone.py").write_text(DATASET)
    (tmp_path / "exits.py").write_text("import sys\nsys.exit()\n")
    out = ["--out", str(tmp_path / "store")] if arguments.startswith("run") else []
    code, _, err = command(*arguments.format(here=tmp_path).split(), *out)
    assert code == 2
    assert err.startswith(f"bench: {message.format(here=tmp_path)}")
    assert err.count("\n") == 1
    assert not (tmp_path / "store").exists()


def test_a_network_that_leaves_when_it_runs_is_one_line(command: Command, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NETWORK)
    arguments = ["--methods", "dense", "--model", f"{tmp_path}/net.py:runs", "--image", "1x8x8", "--classes", "3"]
    code, out, err = command("footprint", *arguments, "--json")
    assert (code, out) == (2, "")
    assert err.startswith("bench: the network can't take images of 1x8x8: SystemExit: no way forward (net.py, line 14)")


@pytest.mark.slow
def test_an_interrupt_that_was_swallowed_before_the_first_run_ends_the_sweep(command: Command, tmp_path: Path) -> None:
    source = STRIPES_SOURCE.replace(
        "        generator = torch",
        "        import contextlib, signal\n        with contextlib.suppress(KeyboardInterrupt):\n"
        "            signal.raise_signal(signal.SIGINT)\n        generator = torch",
    )
    (tmp_path / "stripes.py").write_text(source)
    arguments = ["--plugin", str(tmp_path / "stripes.py"), "--dataset", "stripes", "--out", str(tmp_path / "store")]
    code, out, _ = command("run", "--methods", "dense", *arguments)
    assert code == 130
    assert "interrupted; finished runs are kept" in out
    assert Store(tmp_path / "store").records() == ([], [])
