"""Methods and datasets from files, from paths, from entry points."""

import shutil
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from conftest import HALVES, STRIPES, run_sweep, tiny_spec

from bench.errors import InputError
from bench.plan import plan
from bench.plugins import contract, discovery, networks
from bench.store.record import FINISHED

TAPE = '''
"""A method in one file: the convolutions share one long vector of values, from which each takes a piece."""
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import nn

from bench import count
from bench.generated import GeneratedNetwork, Generator
from bench.method import Compressed, Context, Method
from bench.selection import main_convolutions


@dataclass(frozen=True)
class Tape(Method):
    """All kernels are read, round and round, from one tape of values as long as the budget allows."""

    scale: Annotated[float, "of the values at the start"] = 0.1

    def compress(self, network: nn.Module, values: int | None, context: Context) -> Compressed:
        assert values is not None
        sizes = [conv.weight.numel() for conv in main_convolutions(network).values()]
        made = self.rebuild(network, {"length": values - count.stored_values(network) + sum(sizes)}, context)
        nn.init.normal_(made.network.generator.tape, std=self.scale, generator=context.generator)
        return made

    def rebuild(self, network: nn.Module, structure: Mapping[str, Any], context: Context) -> Compressed:
        shapes = {name + ".weight": conv.weight.shape for name, conv in main_convolutions(network).items()}
        return Compressed(GeneratedNetwork(network, Reader(shapes, structure["length"])), structure)


class Reader(Generator):
    def __init__(self, shapes, length):
        super().__init__()
        self.shapes = shapes
        self.tape = nn.Parameter(torch.zeros(length))

    def forward(self):
        total = sum(shape.numel() for shape in self.shapes.values())
        values = self.tape.repeat(-(-total // len(self.tape)))[:total].split([s.numel() for s in self.shapes.values()])
        return {name: piece.view(shape) for (name, shape), piece in zip(self.shapes.items(), values)}
'''


@pytest.mark.slow
def test_a_method_in_one_file_by_its_path(tmp_path: Path) -> None:
    """What a user does: write one file, name it with --plugin, run it beside the others."""
    file = tmp_path / "tape.py"
    file.write_text(TAPE)
    records, _ = run_sweep(tiny_spec(["tape:scale=0.05"], plugins=[str(file), STRIPES]), tmp_path / "store")
    assert [(record["method"], record["status"]) for record in records] == [
        ("dense", FINISHED),
        ("tape:scale=0.05", FINISHED),
    ]
    assert records[1]["stored_values"] == records[1]["requested_values"]
    assert records[1]["option.scale"] == 0.05
    assert records[1]["test_top1"] > 40  # of three classes


def test_a_method_as_a_file_in_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file in methods/ is a method, without being named anywhere."""
    import bench.methods

    (tmp_path / "round_tape.py").write_text(TAPE)
    monkeypatch.setattr(bench.methods, "__path__", [*bench.methods.__path__, str(tmp_path)])
    found = discovery.available(discovery.METHODS)
    assert {"csg", "dense", "lowrank", "round-tape"} <= found.keys()
    assert found["round-tape"].load().__name__ == "Tape"
    assert [run.choice.label for run in plan.from_spec(tiny_spec(["round-tape"])).runs] == ["dense", "round-tape"]
    monkeypatch.delitem(sys.modules, "bench.methods.round_tape")


def test_a_method_of_an_installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "their_package.py").write_text(TAPE)
    monkeypatch.syspath_prepend(tmp_path)
    theirs = EntryPoint("theirs", "their_package:Tape", "bench.methods")
    monkeypatch.setattr(discovery, "entry_points", lambda group: [theirs] if group == "bench.methods" else [])
    assert discovery.find(discovery.METHODS, "theirs").load().__name__ == "Tape"
    missing = EntryPoint("theirs", "their_package:Nothing", "bench.methods")
    broken = EntryPoint("broken", "no_such_package:Tape", "bench.methods")
    monkeypatch.setattr(discovery, "entry_points", lambda group: [missing, broken] if group == "bench.methods" else [])
    with pytest.raises(InputError, match="entry point their_package:Nothing must name a method class"):
        discovery.find(discovery.METHODS, "theirs").load()
    with pytest.raises(InputError, match="entry point no_such_package:Tape can't be imported: ModuleNotFoundError"):
        discovery.find(discovery.METHODS, "broken").load()


def test_a_method_whose_compress_at_is_no_fraction(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"compress_at can't be -0\.5; it is a fraction from 0 to 1"):
        plan.from_spec(tiny_spec(["halves:compress_at=-0.5"]))


def test_a_dataset_by_its_path() -> None:
    found = discovery.find(discovery.DATASETS, "stripes", [STRIPES]).build(None, {"train": "20"}).load(Path(), False)
    assert len(found.train) == 20
    assert "stripes" not in discovery.available(discovery.METHODS, [STRIPES])


def test_two_plugins_of_one_name(tmp_path: Path) -> None:
    shutil.copy(HALVES, tmp_path / "csg.py")
    with pytest.raises(InputError, match=r"two methods are called 'csg': methods/csg/csg\.py and .*; rename one"):
        discovery.available(discovery.METHODS, [str(tmp_path / "csg.py")])


def test_a_file_that_is_named_twice_is_one_plugin(tmp_path: Path) -> None:
    shutil.copy(HALVES, tmp_path / "mine.py")
    twice = [str(tmp_path / "mine.py"), str(tmp_path / ".." / tmp_path.name / "mine.py")]
    assert (
        discovery.available(discovery.METHODS, twice).keys() == discovery.available(discovery.METHODS, twice[:1]).keys()
    )


@pytest.mark.parametrize("stem", ["all", "failed", "missed", "a b", "a=b", "a:b"])
def test_a_name_that_a_command_takes_for_something_else(tmp_path: Path, stem: str) -> None:
    shutil.copy(HALVES, tmp_path / f"{stem}.py")
    with pytest.raises(InputError, match=rf"can't call the method of .*{stem}\.py '{stem}'"):
        discovery.available(discovery.METHODS, [str(tmp_path / f"{stem}.py")])
    with pytest.raises(InputError, match=r"can't call a method|can't read|unknown"):
        plan.from_spec(tiny_spec([f"{stem}=halves"]))


def test_a_plugin_in_this_folder_that_is_not_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(HALVES, tmp_path / "my_own.py")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        InputError, match=r"unknown method 'my-own'; .*; --plugin my_own\.py takes the one in this folder"
    ):
        plan.from_spec(tiny_spec(["my-own"]))


def test_options_that_nobody_would_read(tmp_path: Path) -> None:
    """Without the decorator a class has the fields of the class that it is derived from."""
    (tmp_path / "mine.py").write_text(Path(HALVES).read_text().replace("@dataclass(frozen=True)\n", ""))
    message = r"mine\.py: Halves has options \(.*\), but no @dataclass\(frozen=True\) above it"
    with pytest.raises(InputError, match=message):
        plan.from_spec(tiny_spec(["mine"], plugins=[str(tmp_path / "mine.py"), STRIPES]))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("1 +", r"can't be imported: SyntaxError: .*"),
        ("x = 1\nraise RuntimeError('boom')", r"can't be imported: RuntimeError: boom \(bad\.py, line 2\)"),
        ("import sys\nsys.exit(3)", r"can't be imported: SystemExit: 3 \(bad\.py, line 2\)"),
        ("x = 1", "defines no method, dataset or task: subclass Method, Dataset or Task in it"),
        ("from bench.methods.csg.csg import CSG", "defines no method, dataset or task"),
        (TAPE + "\nclass Second(Tape): pass", "must define one method class; it defines 2"),
    ],
)
def test_a_plugin_that_is_none_is_named(tmp_path: Path, source: str, message: str) -> None:
    file = tmp_path / "bad.py"
    file.write_text(source)
    with pytest.raises(InputError, match=message):
        discovery.find(discovery.METHODS, "bad", [str(file)]).load()


@pytest.mark.parametrize("hook", ["after_step", "code_space", "decay", "finish", "settle", "solved", "structure"])
@pytest.mark.parametrize("as_property", [False, True])
def test_a_method_for_version_0_1_is_told_which_hooks_moved(tmp_path: Path, hook: str, as_property: bool) -> None:
    """They would never be called."""
    file = tmp_path / "old.py"
    decorator = "    @property\n" if as_property else ""
    file.write_text(TAPE.replace("class Reader", f"{decorator}    def {hook}(self): pass\n\n\nclass Reader"))
    with pytest.raises(
        InputError, match=rf"old\.py was written for bench 0\.1: {hook} of Tape moved; compress\(\) ret"
    ):
        discovery.find(discovery.METHODS, "old", [str(file)]).load()


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("3", r"tape\.py was written for contract 3 of plugins, and this bench has 2: install a newer csg-bench"),
        ("1", r"tape\.py was written for contract 1 of plugins, and this bench has 2: docs/writing-a-method\.md says"),
        ("'two'", r"tape\.py: CONTRACT is 'two', and must be a whole number, like 2"),
        ("True", r"tape\.py: CONTRACT is 'True', and must be a whole number, like 2"),
    ],
)
def test_a_plugin_for_another_contract_is_refused(tmp_path: Path, written: str, said: str) -> None:
    file = tmp_path / "tape.py"
    file.write_text(f"{TAPE}\nCONTRACT = {written}\n")
    with pytest.raises(InputError, match=said):
        discovery.find(discovery.METHODS, "tape", [str(file)]).load()


def test_a_plugin_for_this_contract_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "tape.py"
    file.write_text(f"{TAPE}\nCONTRACT = {contract.VERSION}\n")
    assert discovery.find(discovery.METHODS, "tape", [str(file)]).load().__name__ == "Tape"


def test_a_network_for_another_contract_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("CONTRACT = 3\n\ndef build(channels, classes):\n    pass\n")
    with pytest.raises(InputError, match=r"mine\.py was written for contract 3 of plugins"):
        networks.find(f"{file}:build")


def test_no_such_plugin_file() -> None:
    with pytest.raises(InputError, match=r"no such plugin: none\.py is not a Python file"):
        discovery.available(discovery.METHODS, ["none.py"])


def test_an_unknown_method() -> None:
    with pytest.raises(InputError) as caught:
        discovery.find(discovery.METHODS, "lowrnk")
    names = ", ".join(discovery.available(discovery.METHODS))
    assert str(caught.value) == f"unknown method 'lowrnk'; did you mean 'lowrank'? have: {names}"
