"""The benchmark scripts: what they compare computes the same, and the tiniest run gives every row."""

import ast
import importlib
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def load(*names: str) -> ModuleType:
    """The last of the scripts, by path, since they are not part of the package. It finds those before it."""
    for name in names:
        found = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
        assert found is not None
        assert found.loader is not None
        module = importlib.util.module_from_spec(found)
        sys.modules[name] = module  # where a script looks for another, and dataclasses for their module
        found.loader.exec_module(module)
    return module


SCRIPTS = [*BENCHMARKS.glob("*.py"), *(BENCHMARKS.parent / "docs").rglob("*.py")]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_what_scripts_import_of_bench_is_there(path: Path) -> None:
    """mypy checks the package alone, and most scripts run on no test machine."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "bench":
            module = importlib.import_module(node.module or "")
            for alias in node.names:
                assert hasattr(module, alias.name) or importlib.util.find_spec(f"{node.module}.{alias.name}"), (
                    alias.name
                )


@pytest.fixture(scope="module")
def csg_overhead() -> ModuleType:
    return load("measuring", "csg_overhead_table", "csg_overhead")


@pytest.fixture(scope="module")
def hashing_gather() -> ModuleType:
    return load("measuring", "hashing_gather")


def test_generation_layer_by_layer_is_csg_with_the_authors_tiling(csg_overhead: ModuleType) -> None:
    csg = csg_overhead.build("resnet8", "csg", tiling="view").double()
    layered = csg_overhead.build("resnet8", "per-layer").double()
    # Not 16x16: with 12x12 slices, every kernel is cropped, and some slices are cropped away.
    (group,) = csg.generator.groups.values()
    assert group.dead().any()
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    outputs = [network(images) for network in (csg, layered)]
    torch.testing.assert_close(outputs[1], outputs[0])
    for output in outputs:
        output.square().sum().backward()

    layers = [module for module in layered.modules() if isinstance(module, csg_overhead.PerLayerConvolution)]
    assert len({layer.generator for layer in layers}) == 1
    torch.testing.assert_close(torch.cat([layer.codes.grad for layer in layers]), group.codes.grad)
    torch.testing.assert_close(layers[0].generator.weight.grad.T, group.slices.grad)


def test_a_network_that_computes_something_else_stops_the_run(
    csg_overhead: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = csg_overhead.per_layer

    def wrong(*arguments: torch.nn.Module) -> torch.nn.Module:
        network: torch.nn.Module = right(*arguments)
        with torch.no_grad():
            next(value for name, value in network.named_parameters() if name.endswith(".codes")).zero_()
        return network

    monkeypatch.setattr(csg_overhead, "per_layer", wrong)
    with pytest.raises(SystemExit, match="resnet8: per-layer generation is off from csg with tiling=view by"):
        csg_overhead.check_same_function("resnet8")


@pytest.mark.whole
def test_the_tiniest_run_writes_every_row_and_resumes(
    csg_overhead: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "rows.json"
    arguments = ["--networks", "resnet8", "--modes", "eager", "--precisions", "float32", "--device", "cpu"]
    arguments += ["--rounds", "1", "--seconds", "0", "--batch", "4", "--json", str(file)]
    csg_overhead.main([*arguments, "--table", str(tmp_path / "table.md")])
    content = json.loads(file.read_text())
    assert content["header"]["threads"] == torch.get_num_threads()
    rows = content["rows"]
    measures = ("train_step", "inference_batch1", "inference_batch128", "peak_memory")
    assert [(row["measure"], row["variant"]) for row in rows] == [
        (measure, variant) for measure in measures for variant in ("dense", "csg", "per-layer")
    ]
    for row in rows:
        assert row["reason"] is None
        assert (row["bytes"] if row["measure"] == "peak_memory" else row["median_ms"]) > 0
        assert row["ratio_min"] <= row["ratio_to_dense_median"] <= row["ratio_max"]
    assert "| resnet8 | float32 | eager | cpu | peak_memory |" in (tmp_path / "table.md").read_text()
    assert "training step of csg at most 1.05 times dense: " in capsys.readouterr().out

    def measure_again(*_: object) -> None:
        raise AssertionError("the cell is there already")

    monkeypatch.setattr(csg_overhead, "measure", measure_again)
    csg_overhead.main([*arguments, "--resume"])
    assert json.loads(file.read_text())["rows"] == rows
    arguments[arguments.index("4")] = "5"
    with pytest.raises(SystemExit, match="batch is 4 there and 5 here; give another --json, or no --resume"):
        csg_overhead.main([*arguments, "--resume"])


def test_a_variant_that_fails_is_a_row_with_its_reason(
    csg_overhead: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = csg_overhead.prepare

    def prepare(cell: object, variant: str, training: bool, batch: int) -> object:
        if variant == "dense":
            raise RuntimeError("no compiler\nhere")
        return right(cell, variant, training, batch)

    monkeypatch.setattr(csg_overhead, "prepare", prepare)
    monkeypatch.setattr(csg_overhead, "peaks", lambda *_: ({}, dict.fromkeys(csg_overhead.VARIANTS, "killed")))
    options = csg_overhead.parse(["--rounds", "1", "--seconds", "0", "--batch", "2"])
    rows = csg_overhead.measure(csg_overhead.Cell("resnet8", "float32", "eager", "cpu"), options)
    assert rows[0].reason == "RuntimeError: no compiler"
    assert rows[1].median_ms > 0
    assert rows[1].ratio_to_dense_median is None
    assert [row.reason for row in rows[-3:]] == ["killed"] * 3
    assert "missed in 1 of 1" in csg_overhead.verdicts(rows)[0]


def test_every_way_to_gather_computes_what_the_naive_one_does(hashing_gather: ModuleType) -> None:
    layer = hashing_gather.Layer(channels=8, kernel=3, buckets=75, block=9)
    for variant in ("per value", "blocks"):  # with buckets that are no multiple of a block
        values, gradient = hashing_gather.check(layer, variant)
        assert values.shape == (8 * 8 * 9,)
        assert gradient.shape == (75,)
        assert gradient.count_nonzero() == 75


def test_a_gather_that_computes_something_else_stops_the_run(
    hashing_gather: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = hashing_gather.naive
    monkeypatch.setattr(hashing_gather, "naive", lambda kernels: lambda buckets: right(kernels)(buckets) + 1)
    with pytest.raises(SystemExit, match="blocks: the naive gather gives something else"):
        hashing_gather.check(hashing_gather.Layer(channels=8, kernel=3, buckets=75, block=9), "blocks")


@pytest.mark.slow
def test_the_tiniest_layer_gives_a_line_for_each_way(
    hashing_gather: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["--channels", "8", "--ratio", "4", "--block", "9", "--rounds", "2", "--batch", "2"]
    assert hashing_gather.peak_in_fresh_process("blocks", arguments) >= 0
    monkeypatch.setattr(hashing_gather, "peak_in_fresh_process", lambda *_: 2**20)
    hashing_gather.main(arguments)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert [line.split("|")[1].strip() for line in lines] == ["way", "---", *hashing_gather.VARIANTS]
    assert "| 1.000 (1.000 to 1.000) | 0.0 MiB | 1.0 MiB |" in lines[2]
    with pytest.raises(SystemExit):
        hashing_gather.main(["--channels", "8", "--ratio", "1"])
    assert "--ratio can't be 1" in capsys.readouterr().err


@pytest.mark.whole
def test_a_report_on_many_runs_stays_small(tmp_path: Path) -> None:
    """A small part of what it is made for, to be quick; benchmarks/README.md has the rest, and the times."""
    report_speed = load("report_speed")
    report_speed.write_store(tmp_path, runs=500, settings=4, epochs=30)
    assert len(list((tmp_path / "runs").iterdir())) == 500
    found = report_speed.measure(tmp_path)
    assert found["page_mb"] < 6
    assert found["peak_gb"] < 1


def test_a_footprint_has_a_row_for_every_method_and_budget(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = "--networks resnet8,resnet20 --methods csg,sharing --budgets 4x,1000x --pixels 8 --classes 10"
    load("footprint_speed").main(arguments.split())
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    cells = [("dense", ""), *((method, budget) for method in ("csg", "sharing") for budget in ("4x", "1000x"))]
    wanted = [(network, *cell) for network in ("resnet8", "resnet20") for cell in cells]
    assert [tuple(cell.strip() for cell in row[:3]) for row in rows] == wanted
    assert all(float(row[3]) >= 0 for row in rows)


@pytest.mark.whole
def test_a_sweep_and_a_plain_loop_take_turns(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = "--networks resnet8 --beside alone --images 300 --rounds 1"
    load("measuring", "noise_images", "throughput").main(arguments.split())
    (row,) = capsys.readouterr().out.splitlines()[2:]
    network, beside, plain, sweep, ratio, _ = (cell.strip() for cell in row.strip("| ").split("|"))
    assert (network, beside) == ("resnet8", "alone")
    assert float(ratio.split()[0]) == pytest.approx(
        float(sweep.replace(",", "")) / float(plain.replace(",", "")), abs=0.05
    )


@pytest.mark.whole
def test_runs_at_once_are_held_against_one(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = "--network resnet8 --jobs 1,2 --images 300 --device cpu"
    load("measuring", "noise_images", "throughput", "packing").main(arguments.split())
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[0] for row in rows] == ["1", "2"]
    one, two = (float(row[1].replace(",", "")) for row in rows)
    assert float(rows[1][3]) == pytest.approx(two / one, abs=0.02)


@pytest.mark.whole
def test_copies_of_a_sweep_are_all_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load("resume_speed").main(["--runs", "20", "--keep", str(tmp_path / "store")])
    found = json.loads(capsys.readouterr().out)
    assert found["runs"] == 20
    assert found["cpu_seconds"] > 0


def test_a_step_is_measured_beside_a_product_and_a_bare_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    step = load("measuring", "noise_images", "step")
    # ResNet-20 has 40.8 million multiply-accumulates for an image by its paper, shortcuts and head apart.
    assert step.step_operations("resnet20") == pytest.approx(6 * 128 * 40.8e6, rel=0.02)
    out = tmp_path / "step.json"
    step.main(["--networks", "resnet8", "--rounds", "1", "--steps", "1", "--clock", "cpu", "--json", str(out)])
    (row,) = json.loads(out.read_text())["rows"]
    assert row["share"] == pytest.approx(row["bare_gflops"] / row["product_gflops"])
    assert row["harness"] == pytest.approx(row["bare_gflops"] / row["harness_gflops"])
    seconds = step.step_operations("resnet8") / (row["harness_gflops"] * 1e9)
    assert row["images_per_second"] == pytest.approx(128 / seconds)
    assert f"| resnet8 | float32 | {row['product_gflops']:.1f} | {row['bare_gflops']:.1f} |" in capsys.readouterr().out


@pytest.fixture(scope="module")
def gpu() -> ModuleType:
    return load("gpu")


def test_without_a_gpu_its_report_is_one_line(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main(["--out", str(tmp_path)]) == 2
    assert capsys.readouterr().out.splitlines() == [
        "there is no CUDA device here; benchmarks/step.py and the others measure processors"
    ]


def test_a_stage_that_fails_or_is_too_slow_is_a_line_and_the_others_go_on(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    table = "| at once | images/s | of each | times one |\n| --: | --: | --: | --: |\n| 1 | 50 | 50 | 1.00 |\n"
    stages = {
        "broken": gpu.Stage(["-c", "print('so far'); raise SystemExit('no')"], 20),
        "slow": gpu.Stage(["-c", "import time; print('begun', flush=True); time.sleep(60)"], 2),
        "packing": gpu.Stage(
            ["-c", f"print({table!r} + '| 16 | 120 | 8 | 2.40 |')"], 20, gpu.packing, {"times": (">=", 3)}
        ),
        "unreadable": gpu.Stage(["-c", "print('nothing')"], 20, gpu.packing),
    }
    monkeypatch.setattr(gpu, "STAGES", stages)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a card")
    assert gpu.main(["--out", str(tmp_path)]) == 1
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert found["about"]["card"] == "a card"
    by_name = {stage["stage"]: stage for stage in found["stages"]}
    assert by_name["broken"]["outcome"] == "exit code 1"
    assert by_name["broken"]["last_words"] == "so far\nno\n"
    assert (by_name["slow"]["outcome"], by_name["slow"]["last_words"]) == ("too slow", "begun\n")
    figures = {"times": 2.4, "1 at once, images/s": "50", "16 at once, images/s": "120"}
    assert (by_name["packing"]["figures"], by_name["packing"]["missed"]) == (figures, ["times 2.4, not >= 3"])
    assert by_name["unreadable"]["outcome"].startswith("unreadable")
    assert "| packing | done |" in (tmp_path / "gpu.md").read_text()
    assert "a card" in capsys.readouterr().out


def test_what_stages_print_is_read(gpu: ModuleType, tmp_path: Path) -> None:
    assert gpu.tests(tmp_path, "...\n== 12 passed, 1 skipped in 34.20s ==\n") == {"passed": 12, "skipped": 1}
    row = "| resnet20 | alone | 1,000 | 12,000 | 12.00 (11.00 to 13.00) | 10 |"
    assert gpu.throughput(tmp_path, f"| network | beside |\n| --- | --- |\n{row}\n")["times"] == 12
    rows = [
        {
            "network": "a",
            "precision": "float32",
            "measure": "train_step",
            "variant": "csg",
            "ratio_to_dense_median": 1.02,
        },
        {
            "network": "b",
            "precision": "float32",
            "measure": "train_step",
            "variant": "csg",
            "ratio_to_dense_median": 1.07,
        },
        {
            "network": "b",
            "precision": "float32",
            "measure": "inference",
            "variant": "csg",
            "ratio_to_dense_median": 2.0,
        },
    ]
    (tmp_path / "overhead.json").write_text(json.dumps({"rows": rows}))
    assert gpu.overhead(tmp_path, "") == {"csg / dense": 1.07, "a float32": 1.02, "b float32": 1.07}
    (tmp_path / "kit.json").write_text(json.dumps({"csg": "passed", "lego": "its outputs are others"}))
    assert gpu.kit(tmp_path, "") == {"methods": 2, "failed": 1, "lego": "its outputs are others"}


def test_every_stage_runs_a_script_that_is_there_and_all_take_nine_minutes(gpu: ModuleType) -> None:
    for name, stage in gpu.STAGES.items():
        script = stage.command[0].format(here=BENCHMARKS, out="", root=BENCHMARKS.parent)
        assert script == "-m" or Path(script).is_file(), name
    assert sum(stage.seconds for stage in gpu.STAGES.values()) <= 525  # and the shell ends it after 540
    assert [Path(file).name for file in gpu.tests_of_gpus()] == ["test_compiling.py", "test_loop.py"]
