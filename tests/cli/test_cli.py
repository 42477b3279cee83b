"""The command line: what it prints, its exit codes, and one clear line for every mistake."""

import csv
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import HALVES, STRIPES, Command, tiny_spec
from records import record, write_store

import bench
from bench.plan import spec
from bench.store.record import Record
from bench.store.store import Store


def test_help_answers_without_torch_in_half_a_second() -> None:
    code = (
        "import sys, time; import bench; from bench.cli.main import app\n"
        "try: app(['--help'])\n"
        "except SystemExit: pass\n"
        "loaded = {'torch', 'pandas', 'matplotlib', 'pydantic'} & set(sys.modules)\n"
        "print('loaded', sorted(loaded), time.process_time())"  # of the processor: the machine may be busy
    )
    times = []
    for _ in range(3):
        out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        assert "Train every method" in out
        assert "loaded []" in out
        times.append(float(out.split()[-1]))
    assert min(times) < 0.5


def test_the_installed_command_answers() -> None:
    script = Path(sys.executable).parent / "bench"
    if not script.is_file():
        pytest.skip("bench is not installed here, only imported")
    started = time.perf_counter()
    out = subprocess.run([str(script), "--version"], capture_output=True, text=True, check=True).stdout
    assert out == f"{bench.__version__}\n"
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("run --methods lowrnk", "unknown method 'lowrnk'; did you mean 'lowrank'? have: "),
        (
            "run --methods csg --model resnt20",
            "unknown model 'resnt20'; did you mean 'resnet20'? have 90, like resnet20,",
        ),
        ("run --methods csg --dataset glyph", "unknown dataset 'glyph'; did you mean 'glyphs'? have: cifar10,"),
        (
            "run --methods csg --schedule quik",
            "unknown schedule 'quik'; did you mean 'quick'? have: cifar-fast, csg-cifar,",
        ),
        ("run --methods csg:cod=3", "unknown option of method 'csg': 'cod'; did you mean 'code'? have: code, codes,"),
        ("run --methods csg --budgets 4y", "'4y' is not a budget; write 4x (a fourth of dense), 0.25 (of dense)"),
        ("run --methods csg --budgets 4x,0.25", "budgets: '4x' is there twice; leave one out"),
        ("run --methods csg --dataset folder:/none", "no such folder: /none"),
        ("run --methods csg --seeds 0", "seeds can't be 0: it is how many, 1 to 10000, or a list"),
        ("run --methods csg --device tpu", "device can't be 'tpu': input should be 'auto', 'cpu' or 'cuda'"),
        ("run --methods csg --spec none.toml", "no such spec file: none.toml"),
        ("run", "which methods? for example --methods csg,lowrank"),
        ("run --methods a=csg,a=lowrank", "method names: 'a' is there twice; leave one out"),
        ("run --methods lowrank=csg", "can't call 'csg' 'lowrank', which is the name of another method"),
        (
            "run --methods lowrank:compress_at=2",
            "method 'lowrank:compress_at=2': compress_at can't be 2.0; it is a fraction",
        ),
        ("run --methods a/b=csg", "can't call a method 'a/b'; use letters, digits and . + - _"),
        ("run --methods csg --redo lowrank", "unknown method to redo 'lowrank'; have: csg, dense, failed"),
        ("report none", "no runs in none; give the folder that `bench run --out` wrote"),
        ("show none", "no runs in none; give the folder that `bench run --out` wrote"),
        ("evaluate none --dataset glyphs", "no such file: none"),
        ("evaluate {file} --dataset glyph", "unknown dataset 'glyph'; did you mean 'glyphs'?"),
        (
            "evaluate {file} --dataset stripes --plugin {stripes}",
            "{file} takes 3 channels and tells 10 classes apart; stripes",
        ),
        (
            "evaluate {file} --dataset glyphs --device tpu",
            "unknown device 'tpu'; did you mean 'cpu'? have: auto, cpu, cuda",
        ),
        (
            "export {file} --to tflite",
            "unknown format 'tflite'; have: dense, onnx, onnx-half, onnx-int8, pt2, pt2-compact",
        ),
        ("run --methods csg --weights none.t7", "no such file: none.t7"),
        (
            "run --methods csg:generator=binari",
            "method 'csg': generator can't be '{here}/binari': no such file; it is learned, binary",
        ),
        ("list method", "unknown list 'method'; did you mean 'methods'? have: datasets, methods, models, schedules"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, csg_artifact: Path, arguments: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = command(*arguments.format(file=csg_artifact, stripes=STRIPES).split())
    assert (code, out) == (2, "")
    assert err.startswith(f"bench: {message.format(file=csg_artifact, here=tmp_path)}")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_cuda_where_there_is_none(command: Command) -> None:
    code, _, err = command("run", "--methods", "csg", "--device", "cuda")
    assert (code, err) == (2, "bench: --device cuda: torch finds no CUDA device here; use --device cpu or auto\n")


def test_a_mistake_in_a_spec_file_names_the_file(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    for content, message in [
        ('method = ["csg"]', "unknown setting 'method'; did you mean 'methods'? have: budgets,"),
        ('methods = "csg"', "methods can't be 'csg': input should be a valid list"),
        ("methods = [", "is not TOML"),
    ]:
        file.write_text(content)
        code, _, err = command("run", "--spec", str(file))
        assert code == 2
        assert str(file) in err
        assert message in err


def test_an_output_that_cannot_be_written(command: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    code, _, err = command("run", "--methods", "dense", "--dataset", "stripes", "--plugin", STRIPES,
                           "--out", str(tmp_path / "file"))  # fmt: skip
    assert code == 2
    assert err.startswith(f"bench: can't write to {tmp_path / 'file'}")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.usefixtures("undrawn")
@pytest.mark.slow
def test_a_sweep_from_the_command_line(command: Command, tmp_path: Path) -> None:
    """Options and spec file say the same; plain lines where there is no terminal; the exit code shows a failure."""
    out_folder = tmp_path / "results"
    schedule = tmp_path / "tiny.toml"
    schedule.write_text("epochs = 2\nbatch_size = 32\nlearning_rate = 0.05\n")
    arguments = ["run", "--methods", "halves,bad=halves:fail=compress", "--dataset", "stripes", "--seeds", "1"]
    arguments += ["--schedule", str(schedule), "--plugin", STRIPES, "--plugin", HALVES, "--out", str(out_folder)]
    code, out, err = command(*arguments)
    assert (code, err) == (1, "")
    assert "loading stripes\n" in out
    assert "  dense seed 0: epoch 1/2 loss " in out
    assert "[1/3] dense seed 0: " in out
    assert "bad seed 0: failed: RuntimeError: this method is broken" in out
    assert "1 of 3 runs failed; " in out
    assert "traceback.txt shows where; --redo failed makes them again" in out
    assert f"report: {out_folder}/report/index.html" in out
    again, out, _ = command("run", "--spec", str(out_folder / "spec.toml"), "--out", str(out_folder))
    assert again == 1
    assert "epoch" not in out

    code, out, _ = command("show", str(out_folder))
    assert code == 0
    assert "halves" in out
    with (out_folder / "report" / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    dense = next(row for row in rows if row["method"] == "dense")
    code, out, _ = command("show", str(out_folder), dense["id"][:6])
    assert "test_top1" in out
    assert "validation_loss" in out
    code, _, err = command("show", str(out_folder), "zzz")
    assert code == 2
    assert err.startswith("bench: none of 3 runs is called 'zzz'")


@pytest.mark.usefixtures("few_figures")
@pytest.mark.slow
def test_a_report_elsewhere_from_records_alone(
    command: Command, swept: tuple[Path, list[Record]], tmp_path: Path
) -> None:
    shutil.copytree(swept[0], tmp_path / "store", ignore=shutil.ignore_patterns("prefixes", "locks", "spec.toml"))
    code, out, err = command("report", str(tmp_path / "store"), "--out", str(tmp_path / "report"))
    assert (code, err) == (0, "")
    assert "csg" in out
    names = {path.name for path in (tmp_path / "report").iterdir()}
    assert {"index.html", "summary.md", "summary.tex", "results.csv", "citation.bib", "figures"} <= names


@pytest.mark.slow
def test_lists_have_a_line_on_each_and_the_options(command: Command) -> None:
    _, out, _ = command("list", "methods", "--plugin", HALVES)
    assert "csg  Convolutional Slice Generator" in out
    assert "    slice=none  input x output channels of a slice; none: 16x16" in out
    assert "    compress_at=0.5  where on the schedule to factorise" in out
    assert "halves  Pairs of convolutions of one shape share their kernel." in out
    assert "resnet56  CIFAR ResNet-56" in command("list", "models")[1]
    assert "fashion-mnist  Fashion-MNIST: 28x28 grey" in command("list", "datasets")[1]
    assert "csg-cifar  CIFAR-10 as the CSG authors train it" in command("list", "schedules")[1]


def test_evaluating_a_run_gives_what_its_record_says(
    command: Command, swept: tuple[Path, list[Record]], tmp_path: Path
) -> None:
    record = next(record for record in swept[1] if record["method"] == "csg" and record["status"] == "finished")
    folder = Store(swept[0]).folder_of(record["id"])
    arguments = ["evaluate", str(folder), "--dataset", "stripes", "--plugin", STRIPES, "--device", "cpu"]
    code, out, err = command(*arguments, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["top1"] == record["test_top1"]
    assert found["loss"] == pytest.approx(record["test_loss"], rel=1e-5)
    assert (found["top5"], found["images"], found["method"]) == (100, 70, "csg")
    assert (found["stored_values"], found["stored_bytes"]) == (record["stored_values"], record["stored_bytes"])
    assert f"stored_values  {record['stored_values']:,}\n" in command(*arguments)[1]


def test_exporting_says_what_is_stored(command: Command, csg_artifact: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "dense.safetensors")
    code, printed, err = command("export", str(csg_artifact), "--to", "dense", "--out", out, "--json")
    assert (code, err) == (0, "")
    assert json.loads(printed)["stored_values"] == 75_290
    again = ["export", str(csg_artifact), "--to", "dense", "--out", out]
    assert command(*again)[0] == 2
    assert "stored_values  75,290\n" in command(*again, "--force")[1]


@pytest.mark.whole
@pytest.mark.shared
def test_a_checkpoint_of_the_authors_reaches_the_accuracy_of_their_code(command: Command, shared: Path) -> None:
    checkpoint, images = shared / "reference/csg-authors/RN20_1616-128.t7", shared / "data/cifar10-jpeg"
    code, out, _ = command("evaluate", str(checkpoint), "--dataset", f"parquet:{images}", "--json")
    assert code == 0
    found = json.loads(out)
    assert found["top1"] == pytest.approx(79.86, abs=0.05)
    assert (found["stored_values"], found["images"]) == (176_698, 10_000)


@pytest.mark.slow
def test_a_dry_run_says_what_would_be_done_and_does_nothing(
    command: Command, swept: tuple[Path, list[Record]], tmp_path: Path
) -> None:
    file = tmp_path / "spec.toml"
    file.write_text(spec.write(tiny_spec(["csg", "lowrank"], budgets=["2x"])))
    code, out, _ = command("run", "--spec", str(file), "--out", str(tmp_path / "none"), "--dry-run")
    assert code == 0
    loading, *lines = out.splitlines()
    assert loading == "loading stripes"
    assert [line.split()[0] for line in lines[:3]] == ["dense", "csg", "lowrank"]
    assert "2 epochs, from the dense run's epoch 2" in lines[2]
    assert lines[3].startswith("3 of 3 runs to do, about ")
    assert not (tmp_path / "none").exists()
    _, out, _ = command("run", "--spec", str(file), "--out", str(swept[0]), "--dry-run")
    assert "0 of 3 runs to do" in out


@pytest.mark.whole
def test_bars_on_a_terminal(swept: tuple[Path, list[Record]], tmp_path: Path) -> None:
    """Under a pseudo-terminal the sweep shows bars and, when they are gone, a line for each run."""
    import pty

    file = tmp_path / "spec.toml"
    file.write_text(spec.write(tiny_spec(["halves"])))
    arguments = [sys.executable, "-m", "bench.cli", "run", "--spec", str(file), "--out", str(tmp_path / "out")]
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    process = subprocess.Popen(arguments, stdout=theirs, stderr=theirs, stdin=theirs, env=environment)
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # the other side is closed
            break
        if not piece:
            break
        shown += piece
    assert process.wait() == 0
    text = shown.decode()
    assert "all runs" in text
    assert "epoch 4/4 loss" in text
    assert "halves seed 0: " in text


@pytest.mark.slow
@pytest.mark.parametrize("number", [9, 300], ids=["a table", "plain lines"])
def test_whoever_reads_may_have_had_enough(tmp_path: Path, number: int) -> None:
    """As `head` does."""
    write_store(tmp_path, [record("csg", seed, 80.0, "2x") for seed in range(number)])
    command = [sys.executable, "-P", "-m", "bench.cli", "show", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""


def test_no_help_is_cut_off_at_80_columns() -> None:
    code = (
        "import contextlib, io, typer\n"
        "from bench.cli import main\n"
        "names = [name for name in typer.main.get_command(main.app).commands]\n"
        "for name in names:\n"
        "    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.suppress(SystemExit):\n"
        "        main.app([name, '--help'])\n"
        "    assert 'Usage' in said.getvalue(), name\n"
        "    assert '\u2026' not in said.getvalue(), said.getvalue()\n"
        "print(len(names))\n"
    )
    command = [sys.executable, "-P", "-c", code]
    environment = {**os.environ, "COLUMNS": "80", "TERMINAL_WIDTH": "80"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout) > 10


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"]])
def test_whoever_reads_the_help_may_have_had_enough(arguments: list[str]) -> None:
    command = [sys.executable, "-P", "-m", "bench.cli", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
