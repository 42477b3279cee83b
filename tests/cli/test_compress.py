"""`bench compress`: from finished weights to a file whose figures are its own."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from conftest import STRIPES, Command, run_sweep, tiny_spec
from records import record as made_up

import bench
from bench.cli import compress_tables
from bench.plugins.discovery import DATASETS, find
from bench.store.record import Record

# Trained once, where pytest has several processes.
pytestmark = pytest.mark.xdist_group("compress")

RECIPE = "epochs = 1\nbatch_size = 32\nlearning_rate = 0.02\nvalidation = 0.2\n"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Record]:
    """A dense network of stripes: the folder of its run, and its record."""
    folder = tmp_path_factory.mktemp("trained")
    schedule = {"name": "tiny", "epochs": 12, "batch_size": 32, "learning_rate": 0.1, "validation": 0.2}
    records, _ = run_sweep(tiny_spec(["dense"], schedule=schedule), folder)
    (run,) = (folder / "runs").iterdir()
    return run, records[0]


def asked(folder: Path, weights: Path, *more: str) -> list[str]:
    (folder / "recipe.toml").write_text(RECIPE)
    return [
        *("compress", "--model", "resnet8", "--weights", str(weights), "--dataset", "stripes", "--plugin", STRIPES),
        *("--schedule", str(folder / "recipe.toml"), "--device", "cpu", "--out", str(folder / "store"), *more),
    ]


def accuracy_of(file: Path) -> float:
    """Of an ONNX file on the test split, by onnxruntime alone."""
    data = find(DATASETS, "stripes", [STRIPES]).build(None, {}).load(None, False)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    about = about_of(file)
    mean, deviation = (np.array(about[name], np.float32)[:, None, None] for name in ("mean", "deviation"))
    (logits,) = session.run(None, {"images": (data.test.images.numpy().astype(np.float32) - mean) / deviation})
    return float(100 * np.mean(logits.argmax(1) == data.test.targets.numpy()))


def about_of(file: Path) -> dict[str, Any]:
    """What an ONNX file says of itself."""
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    found: dict[str, Any] = json.loads(session.get_modelmeta().custom_metadata_map["bench"])
    return found


def rows(out: str) -> dict[str, list[str]]:
    """The cells of each row of the tables that were printed, by the first one; headings apart."""
    found = [[cell.strip() for cell in line.strip("│").split("│")] for line in out.splitlines() if line.startswith("│")]
    return {cells[0]: cells[1:] for cells in found}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of torch's exporters
def test_it_writes_the_best_and_what_it_prints_is_what_the_file_does(
    command: Command, tmp_path: Path, trained: tuple[Path, Record]
) -> None:
    run, dense = trained
    more = ["--methods", "lowrank,csg:init=svd,width", "--to", "4x", "--export", str(tmp_path / "small.onnx")]
    code, out, err = command(*asked(tmp_path, run, *more))
    assert (code, err) == (0, "")
    records = {record["method_name"]: record for record in bench.results(tmp_path / "store").to_dict("records")}
    candidates = [records[name] for name in ("lowrank", "csg", "width")]
    assert sorted(records) == ["csg", "given", "lowrank", "width"]  # dense isn't trained any further
    assert records["given"]["validation_top1"] == dense["validation_top1"]
    for record in candidates:
        assert (record["schedule.epochs"], record["compress_epoch"], record["seed"]) == (1, 0, 0)
    best = max(candidates, key=lambda record: record["validation_top1"])

    found = rows(out)
    given, small = found["top-1 % on test"]
    assert float(given) == pytest.approx(dense["test_top1"], abs=1.0)
    assert float(small) == pytest.approx(accuracy_of(tmp_path / "small.onnx"), abs=1e-3)
    assert float(small) == pytest.approx(best["test_top1"], abs=1.0)
    values = f"{dense['stored_values']:,}"
    assert found["stored values"] == [values, f"{best['stored_values']:,}"]
    for cell in found["ms for an image in onnxruntime (range)"]:
        quartile, least, most = map(float, re.fullmatch(r"(\S+) \((\S+) to (\S+)\)", cell).groups())  # type: ignore[union-attr]
        assert 0 < least <= quartile <= most
    assert found["bytes of the file"][1] == f"{(tmp_path / 'small.onnx').stat().st_size:,}"
    assert found["multiply-accumulates"] == [f"{dense['macs']:,.0f}", f"{best['macs']:,.0f}"]
    assert found["given"][1:4] == [values, "1.00x", values]
    assert found["given"][5] == f"{dense['validation_top1']:.2f} %"
    assert re.search(rf"csg:init=svd at 4x is not smaller where it runs: .* become {values} there", out)
    assert not re.search("(lowrank|width) at 4x is not smaller", out)

    # What the file says of itself is what `bench evaluate` prints of it, to the digit.
    about = about_of(tmp_path / "small.onnx")
    options = ["--dataset", "stripes", "--plugin", STRIPES, "--json"]
    evaluated = json.loads(command("evaluate", str(tmp_path / "small.onnx"), *options)[1])
    for name in ("top1", "top5", "loss"):
        assert about["accuracy"]["scores"][name] == evaluated[name]
    assert (small, found["loss on test"][1]) == (f"{evaluated['top1']:.6g}", f"{evaluated['loss']:.6g}")
    assert about["method"] == best["method_text"]

    # The compact one is the same network, in the bytes that the record has.
    compact = bench.load(tmp_path / "small.safetensors")
    assert bench.count_values(compact) == best["stored_values"]
    assert (tmp_path / "small.safetensors").stat().st_size == best["stored_bytes"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("recipe.toml", "small.onnx", "small.safetensors", "store"),
    ]
    images = torch.randn(3, 1, 8, 8)
    session = onnxruntime.InferenceSession(tmp_path / "small.onnx", providers=["CPUExecutionProvider"])
    with torch.inference_mode():
        expected = compact(images).numpy()
    np.testing.assert_allclose(session.run(None, {"images": images.numpy()})[0], expected, rtol=1e-3, atol=1e-3)

    # Again: what is there isn't replaced unasked, and nothing is trained twice.
    code, out, err = command(*asked(tmp_path, run, *more))
    assert (code, out) == (2, "")
    assert "small.onnx exists already; give another --export, or --force" in err
    # What the command reads is no target, whatever is asked for.
    own = tmp_path / "small.safetensors"
    own.write_bytes((run if run.is_file() else run / "weights.safetensors").read_bytes())
    code, out, err = command(*asked(tmp_path, own, *more, "--force"))
    assert (code, out) == (2, "")
    assert f"small.onnx would overwrite {own}, the weights that you gave; give another --export" in err
    code, out, err = command(*asked(tmp_path, run, *more, "--force"))
    assert code == 0
    assert not re.search(r"epoch \d", out)
    assert rows(out)["top-1 % on test"] == [given, small]


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["pt2", "safetensors"])
@pytest.mark.filterwarnings("ignore")
def test_other_kinds_of_files(command: Command, tmp_path: Path, trained: tuple[Path, Record], ending: str) -> None:
    file = tmp_path / f"small.{ending}"
    code, out, _ = command(*asked(tmp_path, trained[0], "--methods", "lowrank", "--to", "2x", "--export", str(file)))
    assert code == 0
    (record,) = bench.results(tmp_path / "store").query("method_name == 'lowrank'").to_dict("records")
    assert float(rows(out)["top-1 % on test"][1]) == pytest.approx(record["test_top1"], abs=1.0)
    assert rows(out)["bytes of the file"][1] == f"{file.stat().st_size:,}"
    assert bench.count_values(bench.load(tmp_path / "small.safetensors")) == record["stored_values"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_smallest_that_loses_little(command: Command, tmp_path: Path, trained: tuple[Path, Record]) -> None:
    file = tmp_path / "small.onnx"
    more = ["--methods", "lowrank", "--max-drop", "20", "--export", str(file)]
    code, out, _ = command(*asked(tmp_path, trained[0], *more))
    found = bench.results(tmp_path / "store")
    assert 1 <= found["train_seconds"].notna().sum() <= 6
    runs = found.query("method_name == 'lowrank'")
    (before,) = found.query("method_name in ('given', 'dense')")["validation_top1"]
    enough = runs[before - runs["validation_top1"] <= 20]
    assert code == 0
    chosen = enough.sort_values("stored_values").iloc[0]
    assert rows(out)["stored values"][1] == f"{int(chosen['stored_values']):,}"
    assert f"lowrank at {chosen['budget']} is chosen: the smallest that loses 20 points" in out
    assert out.count("loading stripes") == 1  # whatever was tried
    assert "1 epoch of fine-tuning each" in out
    assert "compress_at" not in out
    assert out.count("images are standardised by") == 1
    # Runs are counted over the whole search: what was given, and six trainings at most.
    counted = re.findall(r"^\[(\d+)/(\d+)\] .*; (up to )?", out, re.MULTILINE)
    assert [int(number) for number, _, _ in counted] == list(range(1, len(counted) + 1))
    assert counted[0] == ("1", "7", "up to ")
    for budget in runs["budget"]:  # the curve
        assert re.search(rf"│ lowrank +│ +{re.escape(budget)} │", out)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_with_a_fresh_classifier_all_are_held_against_dense(
    command: Command, tmp_path: Path, trained: tuple[Path, Record]
) -> None:
    """What was given says nothing of these classes; so the dense network is trained like the others."""
    state = bench.load(trained[0]).state_dict()
    weights = {
        name: torch.zeros(7, *value.shape[1:]) if "classifier" in name else value for name, value in state.items()
    }
    torch.save(weights, tmp_path / "seven.pth")
    more = ["--fresh-head", "--normalise", "dataset", "--methods", "lowrank", "--to", "2x"]
    file = tmp_path / "small.onnx"
    code, out, err = command(*asked(tmp_path, tmp_path / "seven.pth", *more, "--export", str(file)))
    assert (code, err) == (0, "")
    records = bench.results(tmp_path / "store")
    assert sorted(records["method_name"]) == ["dense", "lowrank"]
    (validated,) = records.query("method_name == 'dense'")["validation_top1"]
    assert rows(out)["dense"][5] == f"{validated:.2f} %"


@pytest.mark.slow
def test_where_nothing_meets_it_nothing_is_written(
    command: Command, tmp_path: Path, trained: tuple[Path, Record]
) -> None:
    file = tmp_path / "small.onnx"
    more = ["--methods", "lowrank,pruning", "--to", "1000x", "--export", str(file)]
    code, out, err = command(*asked(tmp_path, trained[0], *more))
    assert (code, err) == (1, "")
    assert "no method met 1000x; nothing is written" in out
    for method in ("lowrank", "pruning"):  # why is said once, at the end
        assert re.search(rf"^\[[23]/3\] {method} 1000x seed 0: missed; ", out, re.MULTILINE)
        assert re.search(rf"^{method} at 1000x: missed: .*\d", out, re.MULTILINE)
        assert len(re.findall(rf"{method}.* missed: ", out)) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["recipe.toml", "store"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--to", "4x", "--export", "small.tflite"], "--export can't be small.tflite: give it the ending .onnx, .pt2"),
        (["--to", "4x", "--export", "nowhere/small.onnx"], "--export can't be nowhere/small.onnx: there is no folder"),
        (["--to", "4x", "--export", "folder.onnx"], "--export can't be folder.onnx: folder.onnx is a folder"),
        (["--to", "4x", "--export", "there.pt2"], "there.safetensors exists already; give another --export, or"),
        (["--export", "small.onnx"], "how small? give one of --to 4x (a budget) and --max-drop 1.0"),
        (["--to", "4x", "--max-drop", "1", "--export", "small.onnx"], "how small? give one of --to 4x"),
        (["--to", "4x,8x", "--export", "small.onnx"], "'4x,8x' is not a budget"),
        (["--max-drop", "-1", "--export", "small.onnx"], "--max-drop can't be -1; it is in points"),
        (["--max-drop", "nan", "--export", "small.onnx"], "--max-drop can't be nan; it is in points"),
        (
            ["--max-drop", "1", "--methods", "lowrank,pruning,sparse,basis", "--export", "small.onnx"],
            "--max-drop trains 6 times in all, and first each method once; give at most 3 --methods, not 4",
        ),
        (["--to", "4x", "--methods", "lowrnk", "--export", "small.onnx"], "unknown method 'lowrnk'; did you mean"),
        (
            ["--to", "4x", "--methods", "kmeans", "--export", "small.onnx"],
            "--methods kmeans: its number of values doesn't shrink; ask for bytes:",
        ),
        (["--to", "4x", "--methods", "lowrank,lowrank", "--export", "small.onnx"], "methods: 'lowrank' is there twice"),
        (
            ["--to", "4x", "--methods", "pruning:compress_at=0.5", "--export", "small.onnx"],
            "--methods pruning:compress_at=0.5: leave compress_at out; every method compresses before",
        ),
        (["--to", "4x", "--methods", "all", "--export", "small.onnx"], "which method? all stands for several"),
        (["--to", "4x", "--out", "there.safetensors", "--export", "small.onnx"], "can't write to there.safetensors: "),
    ],
)
def test_what_cant_be_is_said_before_anything_is_read_or_trained(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, csg_artifact: Path, more: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.safetensors").touch()
    (tmp_path / "folder.onnx").mkdir()
    before = sorted(tmp_path.rglob("*"))
    options = ["--model", "resnet8", "--weights", str(csg_artifact), "--dataset", "glyphs"]
    code, out, err = command("compress", *options, *more)
    assert (code, out) == (2, "")
    assert err.startswith(f"bench: {message}")
    assert err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_missing_package_is_said_first(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, csg_artifact: Path
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    options = ["--model", "resnet8", "--weights", str(csg_artifact), "--dataset", "glyphs", "--to", "4x"]
    code, out, err = command("compress", *options, "--export", str(tmp_path / "small.onnx"))
    assert (code, out) == (2, "")
    assert "needs the package onnxscript: pip install 'csg-bench[onnx]'" in err


def test_where_little_is_left_it_says_what_to_try() -> None:
    before = made_up("given", 0, 70.0, validation_top1=80.0)
    learning = {"schedule.learning_rate": 0.015}
    broken, fair = (made_up("lowrank", 0, 30.0, "4x", validation_top1=top1, **learning) for top1 in (39.9, 40.0))
    assert compress_tables._broken(before, broken).endswith(
        "39.90 % of 80.00 % on validation. Where no other method or budget does better, fine-tuning may be what breaks "
        "it: try --schedule finetune:learning_rate=0.0015, or more --epochs"
    )
    assert compress_tables._broken(before, fair) == ""
