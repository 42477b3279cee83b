"""Sweeps from end to end on a tiny dataset: records, budgets, resuming, failing, sharing."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import HALVES, PLUGINS, STRIPES, run_sweep, tiny_spec
from records import results, seal_anew

import bench
from bench import budget
from bench.errors import InputError
from bench.files.artifact import Given
from bench.plan import plan, spec
from bench.plugins import discovery
from bench.runs.sweep.inventory import inventory_of, to_redo
from bench.runs.verify.verifier import Verifier
from bench.store.record import COLUMNS, FAILED, FINISHED, MISSED, Record
from bench.store.store import CODES, HISTORY, LAYERS, RECORD, SEAL, SPEC, WEIGHTS, Store, seal_beside


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
def test_the_shared_prefix_is_what_the_run_would_have_trained(swept: tuple[Path, list[Record]], tmp_path: Path) -> None:
    """The sweep's lowrank runs started from what the dense run kept. Without that, lowrank trains up to there."""
    asked = tiny_spec(["lowrank"], budgets=["2x"])
    made = plan.from_spec(asked)
    lone = next(run for run in made.runs if run.choice.name == "lowrank")
    shutil.copytree(swept[0], tmp_path / "store")
    store = Store(tmp_path / "store")
    folder = store.folder_of(lone.id)
    assert folder is not None
    shutil.rmtree(folder)
    shutil.rmtree(store.folder / "prefixes")
    run_sweep(asked, store.folder)
    assert results(store.folder)[lone.id] == results(swept[0])[lone.id]
    record = store.read(folder)
    assert record["compress_epoch"] == 2
    assert record["prefix_seconds"] < record["train_seconds"]
    dense = next(record for record in swept[1] if record["method"] == "dense")
    dense_folder = store.folder_of(dense["id"])
    assert dense_folder is not None
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in store.rows(dense_folder, HISTORY)]
    assert results(store.folder)[lone.id][2][:2] == rows[:2]


def test_the_second_time_nothing_is_trained(swept: tuple[Path, list[Record]], tmp_path: Path) -> None:
    shutil.copytree(swept[0], tmp_path / "store")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "store" / "runs").rglob("*")}
    asked = tiny_spec(["csg", "lowrank"], budgets=["2x", "4x", "100x"], seeds=2)
    started = time.monotonic()
    records, printed = run_sweep(asked, tmp_path / "store")
    assert time.monotonic() - started < 3
    assert records == swept[1]
    assert printed == ""
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "store" / "runs").rglob("*")} == before


@pytest.mark.slow
def test_only_what_is_missing_is_made_and_the_rest_is_named_anew(tmp_path: Path) -> None:
    first, _ = run_sweep(tiny_spec(["halves"]), tmp_path)
    second, printed = run_sweep(tiny_spec(["pairs=halves", "csg:code=2"]), tmp_path)
    assert [record["method"] for record in second] == ["dense", "pairs", "csg:code=2"]
    assert [record["id"] for record in second[:2]] == [record["id"] for record in first]
    assert "[1/1] csg:code=2 seed 0:" in printed
    assert second[2]["budget"] is None
    assert second[2]["solved.code"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("moment", [0.4])
def test_killed_and_resumed_it_equals_an_undisturbed_sweep(
    swept: tuple[Path, list[Record]], tmp_path: Path, moment: float
) -> None:
    asked = tiny_spec(["csg", "lowrank"], budgets=["2x", "4x", "100x"], seeds=2)
    file, store = tmp_path / "spec.toml", tmp_path / "store"
    file.write_text(spec.write(asked))
    arguments = [sys.executable, "-m", "bench.cli", "run", "--spec", str(file), "--out", str(store)]
    victim = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, start_new_session=True, env=child_environment())
    enough = round(moment * len(swept[1]))
    deadline = time.monotonic() + 120
    while len(list(store.glob("runs/[!.]*"))) < enough and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(victim.pid, signal.SIGKILL)
    victim.wait()
    done = {path.name for path in store.glob("runs/[!.]*")}
    assert enough <= len(done) < len(swept[1])
    again = subprocess.run(arguments, capture_output=True, text=True, check=True, env=child_environment())
    assert f"/{len(swept[1]) - len(done)}] " in again.stdout
    assert results(store) == results(swept[0])
    assert not list(store.glob("runs/.*"))


def child_environment() -> dict[str, str]:
    """For a process that imports bench from where this one does."""
    import bench

    return {**os.environ, "PYTHONPATH": str(Path(bench.__file__).parent.parent), "PYTHONWARNINGS": ""}


@pytest.mark.whole
def test_two_sweeps_on_one_store_share_the_work(swept: tuple[Path, list[Record]], tmp_path: Path) -> None:
    asked = tiny_spec(["csg", "lowrank"], budgets=["2x", "4x", "100x"], seeds=2)
    file, store = tmp_path / "spec.toml", tmp_path / "store"
    file.write_text(spec.write(asked))
    (tmp_path / "bench").mkdir()  # where the user stands may be a folder of that name
    arguments = [sys.executable, "-P", "-m", "bench.cli", "run", "--spec", str(file), "--out", str(store)]
    both = [
        subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=child_environment(), cwd=tmp_path)
        for _ in range(2)
    ]
    printed = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert results(store) == results(swept[0])
    assert all("report:" in text for text in printed)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fail", "status", "reason"),
    [
        ("compress", FAILED, "RuntimeError: this method is broken"),
        ("nan", FAILED, "NonFiniteLoss: the training loss became nan in epoch 1"),
        ("last nan", FAILED, "NonFiniteLoss: the validation loss became nan in epoch 4"),
        ("grow", FAILED, "NotTheSame: the network stored"),
        ("finish", FAILED, "NotTheSame: finish() changed the network's outputs"),
        ("budget", MISSED, "it can't be that small"),
    ],
)
def test_a_run_that_fails_is_a_record_and_the_others_go_on(tmp_path: Path, fail: str, status: str, reason: str) -> None:
    records, printed = run_sweep(tiny_spec([f"halves:fail={fail}", "csg"]), tmp_path)
    assert [record["status"] for record in records] == [FINISHED, status, FINISHED]
    assert records[1]["reason"].startswith(reason)
    assert "\n" not in records[1]["reason"]
    assert records[1]["test_top1"] is None
    folder = Store(tmp_path).folder_of(records[1]["id"])
    assert folder is not None
    files = {path.name for path in folder.iterdir()}
    assert files == {RECORD, HISTORY, SPEC, SEAL} | ({"traceback.txt"} if status == FAILED else set())
    assert f"halves:fail={fail} seed 0: {status}: {reason}" in printed


@pytest.mark.slow
def test_failed_runs_are_made_again_when_asked(tmp_path: Path) -> None:
    asked = tiny_spec(["halves:fail=compress"])
    run_sweep(asked, tmp_path)
    assert "halves" not in run_sweep(asked, tmp_path)[1]
    assert "[1/1] halves:fail=compress seed 0: failed" in run_sweep(asked, tmp_path, redo=("failed",))[1]
    assert len(list((tmp_path / "aside").iterdir())) == 1
    assert "[1/1] dense seed 0" in run_sweep(asked, tmp_path, redo=("dense",))[1]


@pytest.mark.slow
def test_a_method_that_changed_is_said(tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    source = (PLUGINS / "halves.py").read_text()
    plugin.write_text(source)
    asked = tiny_spec(["mine"], plugins=[str(tmp_path / "mine.py"), tiny_spec(["csg"]).plugins[0]])
    records, _ = run_sweep(asked, tmp_path / "store")
    record = tmp_path / "store" / "runs" / f"mine-seed0-{records[1]['id']}" / RECORD
    record.write_text(json.dumps({**records[1], "method_code": "another"}))
    seal_anew(record.parent)
    _, printed = run_sweep(asked, tmp_path / "store")
    assert printed == "mine has changed since 1 of the finished runs were made; --redo mine makes them again\n"


def test_code_that_changed_is_said_and_so_is_what_can_not_be_known(
    swept: tuple[Path, list[Record]], tmp_path: Path
) -> None:
    asked = tiny_spec(["csg", "lowrank"], budgets=["2x", "4x", "100x"], seeds=2)
    for changed, said in [
        (
            {"model_code": "another"},
            "the code of resnet8 has changed since 2 of the finished runs were made; --redo den",
        ),
        (
            {"method_code": "another"},
            "dense has changed since 2 of the finished runs were made; --redo dense makes them",
        ),
        (
            {"dataset_code": "another"},
            "the code of stripes has changed since 2 of the finished runs were made; --redo d",
        ),
        ({"format": 0, "role": None}, "2 of the finished runs are of version 0.1; whether code changed since can't be"),
        ({"model_code": None}, ""),
    ]:
        store = Store(tmp_path / "store")
        shutil.copytree(swept[0], store.folder)
        for folder, record in store.read_all()[0].items():
            if record["method"] == "dense":
                (folder / RECORD).write_text(json.dumps({**record, **changed}))
                seal_anew(folder)
        printed = run_sweep(asked, store.folder)[1]
        assert printed.startswith(said)
        assert printed.count("\n") == (1 if said else 0)
        shutil.rmtree(store.folder)


@pytest.mark.slow
def test_changed_images_are_said_and_no_dense_state_of_the_old_ones_is_used(tmp_path: Path) -> None:
    """A dataset plugin that is edited keeps its name and options; what was trained on its old images must not leak."""
    source = (PLUGINS / "stripes.py").read_text()
    asked = []
    for folder, edited in (("old", source), ("new", source.replace("manual_seed(7)", "manual_seed(8)"))):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "edited.py").write_text(edited)
        plugins = [str(tmp_path / folder / "edited.py")]
        asked.append(tiny_spec(["lowrank"], dataset="edited", plugins=plugins))
    store = tmp_path / "store"
    run_sweep(asked[0], store)
    said = "changed since 2 of the finished runs were made; --redo dense,lowrank makes them again\n"
    assert run_sweep(asked[1], store)[1] == f"the code of edited has {said}"
    before = len(list((store / "prefixes").glob("*.safetensors")))
    _, printed = run_sweep(asked[1], store, redo=("lowrank",))
    assert "the images of edited have changed since 1 of the finished runs were made; --redo dense makes" in printed
    assert len(list((store / "prefixes").glob("*.safetensors"))) == before + 1


@pytest.mark.slow
def test_changed_names_of_classes_are_said(tmp_path: Path) -> None:
    """The images and labels are the same, so that the runs stay comparable."""
    source = (PLUGINS / "stripes.py").read_text()
    asked = []
    for folder, edited in (("old", source), ("new", source.replace('"rows"', '"lines"'))):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "edited.py").write_text(edited)
        asked.append(tiny_spec(["csg"], dataset="edited", plugins=[str(tmp_path / folder / "edited.py")]))
    old, _ = run_sweep(asked[0], tmp_path / "store")
    new, printed = run_sweep(asked[1], tmp_path / "store", redo=("csg",))
    assert (
        "the names of the classes of edited have changed since 1 of the finished runs were made; --redo dense"
        in printed
    )
    assert "the images of edited have" not in printed
    assert [record["data"] for record in old] == [record["data"] for record in new]
    assert old[0]["class_names"] == new[0]["class_names"] != new[1]["class_names"]


@pytest.mark.slow
def test_redo_replaces_a_run_when_the_new_one_is_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.runs import executor as module

    asked = tiny_spec(["halves"])
    records, _ = run_sweep(asked, tmp_path)

    def interrupted(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "execute", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_sweep(asked, tmp_path, redo=("halves",))
    assert len(Store(tmp_path).records()[0]) == len(records)


@pytest.mark.slow
def test_without_an_epoch_after_compression_nothing_of_the_dense_network_is_reported(tmp_path: Path) -> None:
    records, _ = run_sweep(tiny_spec(["lowrank:compress_at=1"], budgets=["8x"]), tmp_path)
    dense, lowrank = records
    assert lowrank["compress_epoch"] == 4
    assert lowrank["train_top1"] is None
    assert lowrank["validation_loss"] != dense["validation_loss"]
    assert lowrank["train_seconds"] == pytest.approx(dense["train_seconds"], rel=1e-6)


@pytest.mark.slow
def test_one_dead_helper_costs_one_run(tmp_path: Path) -> None:
    plugin = tmp_path / "killer.py"
    source = (PLUGINS / "halves.py").read_text()
    dies = "import multiprocessing, os\n        if multiprocessing.parent_process(): os._exit(7)\n"
    plugin.write_text(source.replace("        for name, partner in", f"        {dies}        for name, partner in"))
    asked = tiny_spec(["killer", "csg"], plugins=[str(plugin), *tiny_spec(["csg"]).plugins])
    records, _ = run_sweep(asked, tmp_path / "store")
    assert [record["status"] for record in records] == [FINISHED, FAILED, FINISHED]
    assert "the process that loads the saved network ended with exit code 7, twice" in records[1]["reason"]


@pytest.mark.slow
def test_what_a_method_solved_is_kept_as_text_where_it_is_no_number(tmp_path: Path) -> None:
    plugin = tmp_path / "odd.py"
    source = (PLUGINS / "halves.py").read_text()
    odd = "{'nan': float('nan'), 'list': [1, 2], 'object': Context}"
    plugin.write_text(source.replace('{"values": count.stored_values(network)}', odd))
    records, _ = run_sweep(tiny_spec(["odd"], plugins=[str(plugin), *tiny_spec(["csg"]).plugins]), tmp_path / "store")
    assert (records[1]["status"], records[1]["solved.nan"], records[1]["solved.list"]) == (FINISHED, "nan", "1x2")


@pytest.mark.slow
def test_a_damaged_record_is_named_set_aside_and_made_again(swept: tuple[Path, list[Record]], tmp_path: Path) -> None:
    shutil.copytree(swept[0], tmp_path / "store")
    victim = next(record for record in swept[1] if record["method"] == "csg")
    folder = Store(tmp_path / "store").folder_of(victim["id"])
    assert folder is not None
    (folder / RECORD).write_text('{"id": "')
    asked = tiny_spec(["csg", "lowrank"], budgets=["2x", "4x", "100x"], seeds=2)
    _, printed = run_sweep(asked, tmp_path / "store")
    assert f"{folder.name}: record.json has changed since it was sealed; set aside as" in printed
    assert "[1/1] csg 2x seed 0" in printed
    assert results(tmp_path / "store") == results(swept[0])


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["header", "value", "seal", "no seal", "a folder"])
def test_a_damaged_dense_state_is_named_set_aside_and_trained_again(
    swept: tuple[Path, list[Record]], tmp_path: Path, damage: str
) -> None:
    store = Store(tmp_path / "store")
    shutil.copytree(swept[0], store.folder)
    asked = tiny_spec(["lowrank"], budgets=["2x"])
    lone = next(run for run in plan.from_spec(asked).runs if run.choice.name == "lowrank")
    folder = store.folder_of(lone.id)
    assert folder is not None
    shutil.rmtree(folder)
    for prefix in (store.folder / "prefixes").glob("*.safetensors"):
        match damage:
            case "header":
                flip(prefix, 20)
            case "value":
                flip(prefix, -3)
            case "seal":
                flip(seal_beside(prefix), 40)
            case "no seal":
                seal_beside(prefix).unlink()
            case _:
                prefix.unlink()
                prefix.mkdir()
    _, printed = run_sweep(asked, store.folder)
    assert " set aside as" in printed
    assert "and trained again" in printed
    assert results(store.folder)[lone.id] == results(swept[0])[lone.id]
    assert len(list((store.folder / "aside").iterdir())) == 1


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


@pytest.mark.slow
def test_what_missed_its_budget_is_tried_again_when_code_has_changed_or_when_asked(
    swept: tuple[Path, list[Record]], tmp_path: Path
) -> None:
    shutil.copytree(swept[0], tmp_path / "store")
    store = Store(tmp_path / "store")
    asked = tiny_spec(["csg", "lowrank"], budgets=["2x", "4x", "100x"], seeds=2)
    missed = [record for record in swept[1] if record["status"] == MISSED]
    assert len(missed) == 4
    made = plan.from_spec(asked)
    assert to_redo(made, inventory_of(made, store), ()) == []
    assert {run.id for run in to_redo(made, inventory_of(made, store), ["missed"])} == {
        record["id"] for record in missed
    }
    folder = store.folder_of(missed[0]["id"])
    assert folder is not None
    for column in ("method_code", "model_code", "bench_code"):
        (folder / RECORD).write_text(json.dumps({**missed[0], column: "another", "method": "csg"}))
        seal_anew(folder)
        assert [run.id for run in to_redo(made, inventory_of(made, store), ())] == [missed[0]["id"]]
    printed = run_sweep(asked, store.folder)[1]
    assert "[1/1] csg 100x seed 0: missed: " in printed
    assert results(store.folder) == results(swept[0])


@pytest.mark.slow
@pytest.mark.parametrize(("keep", "left"), [("none", 0), ("best", 3)])
def test_weights_are_kept_as_asked_for(tmp_path: Path, keep: str, left: int) -> None:
    store = Store(tmp_path)
    asked = tiny_spec(["csg"], budgets=["2x", "4x"], seeds=2, keep_weights=keep)
    records, _ = run_sweep(asked, tmp_path)
    kept = [record for record in records if (store.folders()[record["id"]] / WEIGHTS).is_file()]
    assert len(kept) == left
    if keep == "best":  # by validation; where seeds are equal, the first
        for record in kept:
            group = [other for other in records if other["budget"] == record["budget"]]
            assert record["validation_top1"] == max(other["validation_top1"] for other in group)
    assert "[1/" not in run_sweep(asked, tmp_path)[1]  # nothing of it is damage
    verdict = Verifier(store, Given((STRIPES,))).verify()
    assert (verdict.wrong, verdict.sealed, verdict.measured) == ({}, 6, left)
    gone = [record for record in records if record not in kept]
    for record in gone:
        with pytest.raises(InputError, match=r"the weights of .* were not kept; --redo its method with --keep-weights"):
            bench.load(store.folders()[record["id"]])


def test_the_saved_specs_repeat_the_sweep_and_the_run(swept: tuple[Path, list[Record]]) -> None:
    saved = spec.check(spec.read(swept[0] / SPEC))
    assert {run.id for run in plan.from_spec(saved).runs} == {record["id"] for record in swept[1]}
    victim = next(record for record in swept[1] if record["method"] == "lowrank" and record["seed"] == 1)
    folder = Store(swept[0]).folder_of(victim["id"])
    assert folder is not None
    own = plan.from_spec(spec.check(spec.read(folder / SPEC)))
    assert [run.id for run in own.runs if not run.is_reference] == [victim["id"]]


def test_ids_depend_on_what_is_done_and_on_nothing_else(tmp_path: Path) -> None:
    def ids(*methods: str, **changes: Any) -> list[str]:
        return [run.id for run in plan.from_spec(tiny_spec(list(methods), **changes)).runs]

    base = ids("csg")
    assert ids("csg:tiling=block") == base
    assert ids("other=csg", device="auto", data_dir="/elsewhere", budgets=["0.25"]) == base
    assert ids("csg", dataset="stripes:train=110") == base
    for changes in ({"seeds": [1]}, {"model": "resnet20"}, {"dataset": "stripes:train=111"}, {"schedule": "quick"}):
        assert not set(ids("csg", **changes)) & set(base)
    assert ids("csg:slice=12x12")[0] == base[0]
    assert ids("csg:slice=12x12")[1] != base[1]


def test_all_methods_are_every_one_there_is(tmp_path: Path) -> None:
    runs = plan.from_spec(tiny_spec(["all", "csg:slice=8x8"])).runs
    names = [run.choice.label for run in runs]
    assert {*discovery.available(discovery.METHODS, [HALVES]), "csg:slice=8x8"} - {"given"} == set(names)
    assert len(names) == len(set(names))
    assert names[0] == "dense"


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
