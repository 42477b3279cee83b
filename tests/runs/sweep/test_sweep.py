"""What the records of a sweep say."""

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PLUGINS, STRIPES, run_sweep, tiny_spec

from bench import budget
from bench.plan import plan, spec
from bench.store.record import COLUMNS, FINISHED, MISSED, Record
from bench.store.store import CODES, LAYERS, SPEC, WEIGHTS, Store


def finished(swept: tuple[Path, list[Record]]) -> list[Record]:
    return [record for record in swept[1] if record["status"] == FINISHED]


def test_every_run_of_the_plan_has_a_record(swept: tuple[Path, list[Record]]) -> None:
    got = [(record["method"], record["budget"], record["seed"], record["status"]) for record in swept[1]]
    wanted = []
    for seed in (0, 1):
        wanted.append(("dense", None, seed, FINISHED))
        for method in ("csg", "lowrank"):
            wanted += [(method, "2x", seed, FINISHED), (method, "4x", seed, FINISHED), (method, "100x", seed, MISSED)]
    assert got == wanted


def test_the_layers_of_a_run_add_up_to_its_record(swept: tuple[Path, list[Record]]) -> None:
    store = Store(swept[0])
    for record in finished(swept):
        folder = store.folder_of(record["id"])
        assert folder is not None
        rows = store.rows(folder, LAYERS)
        for column in ("stored_values", "materialised_values", "macs"):
            assert sum(int(row[column]) for row in rows) == record[column]
        assert (folder / CODES).is_file() == (record["method"] == "csg")


def test_records_are_flat_and_complete(swept: tuple[Path, list[Record]]) -> None:
    for record in finished(swept):
        assert COLUMNS.keys() <= record.keys()
        assert all(value is None or isinstance(value, str | int | float | bool) for value in record.values())
        empty = {name for name in COLUMNS if record[name] is None}
        sized = set() if record["budget"] else {"budget", "requested_values"}
        joined = set() if record["compress_epoch"] else {"prefix_seconds"}
        generated = set() if record["method"] == "csg" else {"step_kernels"}
        of_dense = {"citation", "step_outputs"} if record["method"] == "dense" else set()
        missing = {
            "requested_bytes",
            "reason",
            "model_package",
            "weights",
            "weights_code",
            "weights_epochs",
            "weights_form",
            "weights_form_reason",
            "rates_before",
            "rates_before_on",
            "corruptions",
            "corrupted",
            "compile_seconds",
            "by_class",
            "by_class_label",
            "by_class_unit",
        }
        plain = set() if record["method"] == "dense" else {"role"}
        declared = set() if record["method"] == "lowrank" else {"exceptions"}
        assert empty == missing | sized | joined | generated | of_dense | plain | declared
        assert record["latency_ms"] > 0
        assert 0 <= record["test_top1"] <= record["test_top5"] == 100
        assert (record["train_images"], record["validation_images"], record["test_images"]) == (88, 22, 70)
        assert record["schedule.epochs"] == 4
    csg = next(record for record in finished(swept) if record["method"] == "csg")
    assert csg["option.tiling"] == "block"
    assert csg["solved.code"] > 0
    assert csg["generation_macs"] > 0
    assert csg["macs"] == next(record for record in finished(swept) if record["method"] == "dense")["macs"]


def test_a_missed_budget_says_why_and_trains_nothing(swept: tuple[Path, list[Record]]) -> None:
    missed = [record for record in swept[1] if record["status"] == MISSED]
    assert missed
    for record in missed:
        assert f"{record['requested_values']:,}" in record["reason"]
        assert record["test_top1"] is None
        assert record["train_seconds"] is None


def test_stored_values_are_those_of_the_file_counted_by_a_fresh_process(swept: tuple[Path, list[Record]]) -> None:
    """Counted by code that knows nothing of bench: the numbers in the safetensors header."""
    counter = (
        "import json, struct, sys, math\n"
        "for path in sys.argv[1:]:\n"
        "    data = open(path, 'rb').read()\n"
        "    header = json.loads(data[8 : 8 + struct.unpack('<Q', data[:8])[0]])\n"
        "    header.pop('__metadata__')\n"
        "    shapes = [tensor['shape'] for name, tensor in header.items() if 'running_' not in name]\n"
        "    print(sum(math.prod(shape) for shape in shapes), len(data))\n"
    )
    records = finished(swept)
    store = Store(swept[0])
    paths = [str(folder / WEIGHTS) for record in records if (folder := store.folder_of(record["id"]))]
    lines = subprocess.run(
        [sys.executable, "-c", counter, *paths], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert len(lines) == len(records) == 10
    for line, record in zip(lines, records, strict=True):
        values, size = map(int, line.split())
        assert values == record["stored_values"]
        assert size == record["stored_bytes"]
        if record["requested_values"] is not None:
            assert budget.met(record["requested_values"], values)


@pytest.mark.slow
def test_artifacts_load_in_a_fresh_process(swept: tuple[Path, list[Record]]) -> None:
    store = Store(swept[0])
    paths = [str(folder / WEIGHTS) for record in finished(swept) if (folder := store.folder_of(record["id"]))]
    code = (
        "import sys; from pathlib import Path; from bench import count; from bench.files import artifact\n"
        "for path in sys.argv[1:]: print(count.stored_values(artifact.load(Path(path)).network))"
    )
    out = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True, check=True).stdout
    assert out.split() == [str(record["stored_values"]) for record in finished(swept)]


@pytest.mark.slow
def test_without_an_epoch_after_compression_nothing_of_the_dense_network_is_reported(tmp_path: Path) -> None:
    records, _ = run_sweep(tiny_spec(["lowrank:compress_at=1"], budgets=["8x"]), tmp_path)
    dense, lowrank = records
    assert lowrank["compress_epoch"] == 4
    assert lowrank["train_top1"] is None
    assert lowrank["validation_loss"] != dense["validation_loss"]
    assert lowrank["train_seconds"] == pytest.approx(dense["train_seconds"], rel=1e-6)


@pytest.mark.slow
def test_what_a_method_solved_is_kept_as_text_where_it_is_no_number(tmp_path: Path) -> None:
    plugin = tmp_path / "odd.py"
    source = (PLUGINS / "halves.py").read_text()
    odd = "{'nan': float('nan'), 'list': [1, 2], 'object': Context}"
    plugin.write_text(source.replace('{"values": count.stored_values(network)}', odd))
    records, _ = run_sweep(tiny_spec(["odd"], plugins=[str(plugin), *tiny_spec(["csg"]).plugins]), tmp_path / "store")
    assert (records[1]["status"], records[1]["solved.nan"], records[1]["solved.list"]) == (FINISHED, "nan", "1x2")


@pytest.mark.slow
def test_a_scaled_weight_decay_declares_itself(tmp_path: Path) -> None:
    records, _ = run_sweep(tiny_spec(["halves:fail=undeclared"]), tmp_path)
    assert records[1]["status"] == FINISHED
    assert records[1]["exceptions"].startswith("weight decay times ")


GRADUAL = '''
from dataclasses import dataclass
import torch
from bench import masks
from bench.method import Compressed, Method

LAYER = "stage3.0.conv2.weight"

@dataclass(frozen=True)
class Shrinks(Method):
    """Keeps fewer and fewer weights of the last convolution."""
    reaches: bool = True
    compress_at = 0.5
    at_size = "at the end"

    def compress(self, network, values, context):
        masks.attach(network, {LAYER: torch.ones(64, 64, 3, 3, dtype=torch.bool)})
        return Shrinking(network, self.reaches, values)


class Shrinking(Compressed):
    def __init__(self, network, reaches, wanted):
        super().__init__(network)
        self.reaches, self.wanted = reaches, wanted

    def after_step(self, progress):
        mask = masks.of(self.network)[LAYER]
        others = sum(p.numel() for p in self.network.parameters()) - mask.numel()
        kept = self.wanted - others if self.reaches and progress == 1 else mask.sum() // 2
        mask.zero_().view(-1)[:kept] = True
        return False
'''


@pytest.mark.slow
def test_a_gradual_method_is_asked_for_its_end_before_it_begins(tmp_path: Path) -> None:
    """Its record counts the network of the end; one that would not get there is missed, and nothing is trained."""
    file = tmp_path / "shrinks.py"
    file.write_text(GRADUAL)
    asked = tiny_spec(["shrinks", "shrinks:reaches=false"], budgets=["60000"], plugins=[str(file), STRIPES])
    records, _ = run_sweep(asked, tmp_path / "store")
    dense = records[0]["stored_values"]
    assert [record["status"] for record in records] == [FINISHED, FINISHED, MISSED]
    assert dense > 60_000 == records[1]["stored_values"] == records[1]["trained_values"]
    assert records[1]["train_top1"] is not None
    assert records[2]["train_seconds"] is None


def test_the_saved_specs_repeat_the_sweep_and_the_run(swept: tuple[Path, list[Record]]) -> None:
    saved = spec.check(spec.read(swept[0] / SPEC))
    assert {run.id for run in plan.from_spec(saved).runs} == {record["id"] for record in swept[1]}
    victim = next(record for record in swept[1] if record["method"] == "lowrank" and record["seed"] == 1)
    folder = Store(swept[0]).folder_of(victim["id"])
    assert folder is not None
    own = plan.from_spec(spec.check(spec.read(folder / SPEC)))
    assert [run.id for run in own.runs if not run.is_reference] == [victim["id"]]
