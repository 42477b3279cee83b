"""What version 0.1 wrote: files that load and give the same logits, records and ids that stand; and newer formats."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Command
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

import bench
from bench import count, testing
from bench.errors import InputError
from bench.files import artifact
from bench.files.description import FORMAT, Description, Step
from bench.measure.same_outputs import relative_difference
from bench.method import Method
from bench.plan import plan, spec
from bench.plan.method_choice import find_methods
from bench.plan.run import Run
from bench.plugins import networks
from bench.runs import dense_prefix
from bench.runs.sweep.inventory import inventory_of
from bench.store import record
from bench.store.seal import Broken
from bench.store.store import RECORD, SPEC, WEIGHTS, Store
from bench.training import loop

OLD = Path(__file__).resolve().parents[1] / "store" / "format_0"
RUNS = sorted(path.name for path in (OLD / "runs").iterdir())
FILES = [name for name in RUNS if (OLD / "runs" / name / WEIGHTS).is_file()]
# Of each kind: what needs no structure, what is brought to today's form, what is compressed as it was then.
QUICK = ("dense", "pruning", "width")


def images() -> Tensor:
    return torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(5))


def logits(path: Path) -> Tensor:
    with torch.inference_mode():
        outputs: Tensor = bench.load(path)(images())
    return outputs


def tiered(name: str) -> Any:
    quick = any(name.startswith((f"{method}-8x", f"{method}-seed0")) for method in QUICK)
    return name if quick else pytest.param(name, marks=pytest.mark.slow)


@pytest.mark.parametrize("name", [*map(tiered, FILES)])
def test_a_file_loads_and_gives_the_logits_of_then_and_so_it_does_in_todays_format(name: str, tmp_path: Path) -> None:
    """In inference mode, too."""
    path = OLD / "runs" / name / WEIGHTS
    expected = load_file(OLD / "expected.safetensors")[name]
    assert relative_difference(logits(path), expected) <= 1e-5

    compressed, saved = artifact.load(path), artifact.read(path)
    structure = json.loads(json.dumps(compressed.structure()))
    steps = tuple(replace(step, structure=structure) for step in saved.description.steps)
    (tmp_path / WEIGHTS).write_bytes(artifact.pack(compressed, replace(saved.description, steps=steps)))
    assert torch.equal(logits(tmp_path), logits(path))
    again = artifact.read(tmp_path / WEIGHTS)
    assert again.description == replace(saved.description, steps=steps)
    assert again.old is None
    assert artifact.load(tmp_path / WEIGHTS).structure() == structure


def test_there_is_a_file_of_every_method_and_of_every_way_to_train() -> None:
    from bench.plugins import discovery

    methods = {artifact.read(OLD / "runs" / name / WEIGHTS).description.methods for name in FILES}
    assert methods == discovery.available(discovery.METHODS).keys() - {"given"}  # which came later
    assert load_file(OLD / "expected.safetensors").keys() >= set(FILES)
    assert len(FILES) == 30


# ----------------------------------------------------------------------- the store of then


def own_plan(name: str) -> tuple[plan.Plan, Run]:
    """Made today from a run's spec, with the run that it is about."""
    made = plan.from_spec(spec.check(spec.read(OLD / "runs" / name / SPEC)))
    return made, made.runs[-1]


# Their results are others today, so that their runs have other ids.
RAISED = {"width", "separable", "crelu", "gcnn", "sharing", "lowrank", "kmeans"}


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_a_run_has_the_id_and_the_name_that_it_has_today(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for those that augment, whose numbers are drawn otherwise today: all of these do."""
    monkeypatch.setattr(loop, "REVISION", 1)
    found = Store(OLD).read(OLD / "runs" / name)
    _, run = own_plan(name)
    assert run.choice.label == found["method"]
    assert ((run.id, run.name) == (found["id"], name)) == (run.choice.name not in RAISED)


def test_the_sweep_of_then_makes_those_alone_that_are_others_today(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "REVISION", 1)
    made = plan.from_spec(spec.check(spec.read(OLD / SPEC)))
    found = inventory_of(made, Store(OLD))
    assert found.damaged == []
    assert {run.choice.name for run in found.missing} == RAISED
    assert found.records.keys() == {run.id for run in made.runs if run.choice.name not in RAISED}


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_records_get_the_role_that_their_method_has_today(name: str) -> None:
    found = Store(OLD).read(OLD / "runs" / name)
    method: Method = own_plan(name)[1].choice.method
    assert found["role"] == (method.role or None)
    assert (found["format"], found["headline"]) == (record.FORMAT, "top1")
    assert found["method_code"] is found["dataset_code"] is None
    assert found.keys() >= record.COLUMNS.keys()


@pytest.mark.usefixtures("few_figures")
@pytest.mark.slow
def test_the_store_reports(command: Command, tmp_path: Path) -> None:
    frame = bench.results(OLD)
    assert len(frame) == len(RUNS) == 31
    assert frame["test_top1"].notna().sum() == len(FILES)
    code, _, err = command("report", str(OLD), "--out", str(tmp_path / "report"))
    assert (code, err) == (0, "")
    assert (tmp_path / "report" / "index.html").is_file()


# ------------------------------------------------------------- headers, records, specs


def header_of(path: Path) -> dict[str, Any]:
    with safe_open(path, framework="pt") as file:
        found: dict[str, Any] = json.loads(file.metadata()["bench"])
    return found


def edited(path: Path, folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """A copy with another header."""
    header = header_of(path)
    change(header)
    save_file(load_file(path), folder / WEIGHTS, metadata={"bench": json.dumps(header)})
    return folder / WEIGHTS


@pytest.fixture
def today(tmp_path: Path) -> Path:
    """An artifact of today's format."""
    compressed = testing.compress(find_methods(["width"])[0].method, "resnet8", 20_000)
    model = artifact.describe_model(networks.find("resnet8"), 3, 10)
    description = Description(model, (Step("width", {}, compressed.structure()),), epochs=3)
    path = tmp_path / "today.safetensors"
    path.write_bytes(artifact.pack(compressed, description))
    return path


def test_todays_format_comes_back(today: Path) -> None:
    header, saved = header_of(today), artifact.read(today)
    assert header.pop("format") == FORMAT == 1
    assert header == json.loads(json.dumps(asdict(saved.description)))
    assert count.stored_values(bench.load(today)) == sum(
        tensor.numel() for name, tensor in saved.tensors.items() if "running_" not in name
    )


def test_a_newer_artifact_is_refused_by_its_number(today: Path, tmp_path: Path) -> None:
    for number in (2, 7):
        newer = edited(today, tmp_path, lambda header, number=number: header.update(format=number, more={}))
        with pytest.raises(InputError, match=f"has format {number}, of a newer bench; this one reads up to 1"):
            bench.load(newer)


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header.update(odd=1),
        lambda header: header["model"].update(odd=1),
        lambda header: header["steps"][0].update(odd=1),
        lambda header: header["model"].update(
            inputs={"height": 1, "width": 1, "mean": [0], "deviation": [1], "odd": 1}
        ),
    ],
)
def test_an_unknown_field_of_an_artifact_is_an_error(
    today: Path, tmp_path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    with pytest.raises(InputError, match="has a description that can't be read: it has the unknown field 'odd'"):
        bench.load(edited(today, tmp_path, change))


def test_an_unknown_field_of_an_old_artifact_is_an_error(tmp_path: Path) -> None:
    path = edited(OLD / "runs" / FILES[0] / WEIGHTS, tmp_path, lambda header: header.update(odd=1))
    with pytest.raises(InputError, match="has a description that can't be read: it has the unknown field 'odd'"):
        bench.load(path)


@pytest.mark.parametrize(
    "number",
    [
        "1",
        None,
        -1,
        1.5,
        True,
    ],
)
def test_what_is_no_number_of_a_format_is_an_error(today: Path, tmp_path: Path, number: object) -> None:
    with pytest.raises(InputError, match="has a description that can't be read"):
        bench.load(edited(today, tmp_path, lambda header: header.update(format=number)))


def test_a_newer_record_is_refused_by_its_number_and_an_unknown_column_by_its_name(tmp_path: Path) -> None:
    name = FILES[0]
    content = json.loads((OLD / "runs" / name / RECORD).read_text())
    (tmp_path / "runs" / name).mkdir(parents=True)
    for change, message in [
        ({"format": 9}, "can't be read; it has format 9, of a newer bench; this one reads up to 8"),
        ({"format": 9, "odd": 1}, "can't be read; it has format 9, of a newer bench; this one reads up to 8"),
        ({"odd": 1}, "is malformed; it has the unknown column 'odd'"),
        ({"format": 1, "odd": 1}, "is malformed; it has the unknown column 'odd'"),
        ({"format": "1"}, "is malformed; format is '1', not a whole number"),
        ({"format": -1}, "is malformed; format is '-1', not a whole number"),
    ]:
        (tmp_path / "runs" / name / RECORD).write_text(json.dumps({**content, **change}))
        assert Store(tmp_path).records() == ([], [f"the record of {name} {message}"])


def test_a_newer_spec_is_refused_by_its_number_and_an_unknown_setting_by_its_name(tmp_path: Path) -> None:
    file = tmp_path / "spec.toml"
    for first, message in [
        ("format = 4", "mine: it has format 4, of a newer bench; this one reads up to 3"),
        ("format = 4\nodd = 1", "mine: it has format 4, of a newer bench; this one reads up to 3"),
        ("odd = 1", "mine: unknown setting 'odd'; "),
    ]:
        file.write_text(f'{first}\nmethods = ["csg"]\n')
        with pytest.raises(InputError) as caught:
            spec.check(spec.read(file), "mine")
        assert str(caught.value).startswith(message)
    written = spec.write(spec.check({"methods": ["csg"]}))
    assert "format = 3\n" in written


@pytest.mark.parametrize("number", ["'one'", "-1", "1.5", "true"])
def test_what_is_no_number_of_a_specs_format_is_an_error(tmp_path: Path, number: str) -> None:
    file = tmp_path / "spec.toml"
    file.write_text(f'format = {number}\nmethods = ["csg"]\n')
    with pytest.raises(InputError, match="format"):
        spec.check(spec.read(file))


def test_a_dense_state_of_another_format_is_refused_by_its_number(tmp_path: Path) -> None:
    store, network = Store(tmp_path).open(), testing.network("resnet8")
    dense_prefix.keep(store, "abc", network, [])
    path = store.prefix("abc")
    assert dense_prefix.restore(path, network) == []
    for change, message in [
        ({"format": 2}, "has format 2; this bench reads 1"),
        ({"odd": 1}, "has the unknown field 'odd'"),
    ]:
        content = edited(path, tmp_path, lambda header, change=change: header.update(change)).read_bytes()
        store.write_sealed(store.prefix("edited"), content)
        with pytest.raises(Broken, match=message):
            dense_prefix.restore(store.prefix("edited"), network)
    save_file(load_file(path), store.prefix("old"))  # as version 0.1 did
    with pytest.raises(Broken, match=r"old\.safetensors has no seal"):
        dense_prefix.restore(store.prefix("old"), network)


def test_the_dense_state_of_a_network_that_shares_a_tensor_comes_back(tmp_path: Path) -> None:
    store = Store(tmp_path).open()
    network, again = (torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)) for _ in range(2))
    network[1].weight, again[1].weight = network[0].weight, again[0].weight
    dense_prefix.keep(store, "abc", network, [])
    dense_prefix.restore(store.prefix("abc"), again)
    assert torch.equal(again(torch.ones(1, 2)), network(torch.ones(1, 2)))
