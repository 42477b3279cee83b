"""Bad input of every kind: one clear line on standard error, exit code 2, nothing written, no traceback."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Command
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from bench.cli import app

PLUGIN = "class Nothing: pass\n"


class Malicious:
    """Would write a file if it were unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, csg_artifact: Path) -> Path:
    """A folder with odd files, where the command runs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "binary").write_bytes(bytes(range(128, 256)) * 9)
    (tmp_path / "empty").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "dangling").symlink_to("/nowhere")
    (tmp_path / "deep.toml").write_text("x = " + "[" * 100_000)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "newer.toml").write_text("format = 99")
    (tmp_path / "zero.toml").write_text('model = "a\\u0000b"')
    (tmp_path / "nothing.py").write_text(PLUGIN)
    (tmp_path / "colon.mplstyle").write_text("lines.linewidth 3")
    (tmp_path / "key.mplstyle").write_text("lines.linewidht: 3\n")
    (tmp_path / "value.mplstyle").write_text("lines.linewidth: wide\n")
    (tmp_path / "noseeds.toml").write_text("seeds = []")
    (tmp_path / "trueseeds.toml").write_text("seeds = true")
    (tmp_path / "largeseed.toml").write_text("seeds = [4294967296]")
    (tmp_path / "nofolder.toml").write_text('data_dir = ""')
    (tmp_path / "noweights.toml").write_text('weights = ""')
    (tmp_path / "digits.toml").write_text(f"seeds = {'9' * 5000}")
    save_file({"a": torch.ones(1)}, tmp_path / "listed.safetensors", {"bench": "[]"})
    save_file({"a": torch.ones(1)}, tmp_path / "number.safetensors", {"bench": "99"})
    torch.save({"net": Malicious(tmp_path / "ran")}, tmp_path / "malicious.t7")
    store = tmp_path / "damaged" / "runs"
    for name, content in (("deep-1", "[" * 200_000), ("cut-2", '{"id": '), ("list-3", "[]")):
        (store / name).mkdir(parents=True)
        (store / name / "record.json").write_text(content)
    (tmp_path / "weights.safetensors").write_bytes(csg_artifact.read_bytes())
    return tmp_path


def files(folder: Path) -> set[Path]:
    """All that lies there, but for Python's own cache of what it imported."""
    return {path for path in folder.rglob("*") if "__pycache__" not in path.parts}


LOWRANK = "run --methods lowrank"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        # budgets
        (f"{LOWRANK} --budgets 4", "budget '4' asks for 4 values, and no network stores so few; write 4x"),
        (f"{LOWRANK} --budgets 8x,16", "budget '16' asks for 16 values, and no network stores so few; write 16x"),
        (f"{LOWRANK} --budgets 160,450", "is '160,450' one budget or several? write 160450 for that many values, 160x"),
        ("footprint --methods lowrank --budgets 4x,1,234,567", "is '1,234,567' one budget or several? write 1234567"),
        ("footprint --methods lowrank --budgets 4", "budget '4' asks for 4 values"),
        (f"{LOWRANK} --budgets 99999999999999999999", "'99999999999999999999' is not a budget"),
        (f"{LOWRANK} --budgets {'9' * 5000}", f"'{'9' * 40}' is not a budget"),
        (f"{LOWRANK} --budgets 1e400", "'1e400' is not a budget"),
        (f"{LOWRANK} --budgets \u0664x", "'\u0664x' is not a budget"),
        ("footprint --methods lowrank --budgets ,", "--budgets names nothing"),
        ("footprint --methods ,", "--methods names nothing"),
        # numbers
        (
            f"{LOWRANK} --schedule quick:epochs={'9' * 20}",
            "schedule 'quick': option epochs can't be '9999",
        ),
        (f"{LOWRANK} --schedule quick:learning_rate=1e400", "schedule 'quick': option learning_rate can't be '1e400'"),
        (f"{LOWRANK} --schedule quick:learning_rate=nan", "schedule 'quick': option learning_rate can't be 'nan'"),
        (f"{LOWRANK} --schedule quick:milestones=0.5xinf", "schedule 'quick': option milestones can't be '0.5xinf'"),
        (
            f"run --methods csg:code={'9' * 20}",
            "method 'csg': option code can't be '99999999999999999999': whole",
        ),
        (f"run --methods csg:generator={'a' * 5000}", "method 'csg': "),
        (f"{LOWRANK} --seeds 99999999999", "seeds can't be 99999999999"),
        (f"{LOWRANK} --seeds x", "Invalid value for '--seeds'"),
        ("footprint --methods lowrank --image 3x99999999999999999999x3", "--image can't be '3x99999999999999999999x3'"),
        ("footprint --methods lowrank --classes 99999999999", "Invalid value for '--classes'"),
        # what is written twice, or empty, or nowhere heard
        (f"{LOWRANK} --weights backbone=", "--weights can't be 'backbone='; give backbone=FILE, backbone=RUN or back"),
        ("run --methods lowrank --methods csg", "--methods is given twice"),
        (f"{LOWRANK} --out ''", "--out can't be empty"),
        (f"{LOWRANK} --out=", "--out can't be empty"),
        (f"{LOWRANK} --spec ''", "--spec can't be empty"),
        ("export weights.safetensors --to dense --out ''", "--out can't be empty"),
        ("new-method mine --out ''", "--out can't be empty"),
        (f"{LOWRANK} --schedule quick:5", "schedule 'quick' takes no bare value '5'"),
        (f"{LOWRANK} --schedule quick:epochs=1:epochs=2", "'quick:epochs=1:epochs=2' gives epochs twice"),
        (f"{LOWRANK} --dataset parquet:a:directory=b", "dataset 'parquet' is given its directory twice"),
        ("check lowrank --models ,", "--models names nothing"),
        # the parser's own
        ("nonesuch", "No such command 'nonesuch'; bench --help"),
        (f"{LOWRANK} --nonesuch", "No such option: --nonesuch"),
        ("run lowrank", "Got unexpected extra argument"),
        ("footprint", "Missing option '--methods'"),
        ("export weights.safetensors", "Missing option '--to'"),
        # paths
        (f"{LOWRANK} --spec folder", "no such spec file: folder"),
        (f"{LOWRANK} --spec dangling", "no such spec file: dangling"),
        (f"{LOWRANK} --spec binary", "spec file binary is not TOML"),
        (f"{LOWRANK} --spec deep.toml", "spec file deep.toml is not TOML"),
        (f"{LOWRANK} --spec newer.toml", "newer.toml: it has format 99, of a newer bench"),
        (f"{LOWRANK} --spec zero.toml", "zero.toml: model can't be 'a\\x00b': it is not text that a file can hold"),
        (f"{LOWRANK} --schedule deep.toml", "schedule deep.toml is not TOML"),
        (f"{LOWRANK} --schedule binary.toml", "schedule binary.toml is not TOML"),
        (f"{LOWRANK} --schedule folder.toml", "no such schedule file: folder.toml"),
        (f"{LOWRANK} --plugin binary", "no such plugin: "),
        (f"{LOWRANK} --plugin nothing.py", "plugin {here}/nothing.py defines no method, dataset or task"),
        (f"{LOWRANK} --out binary", "can't write to binary: binary is not a folder; give another --out"),
        (f"{LOWRANK} --out binary/x", "can't write to binary/x: binary is not a folder; give another --out"),
        (f"{LOWRANK} --out dangling", "can't write to dangling: dangling is not a folder; give another --out"),
        (f"{LOWRANK} --model \udcff", "model can't be '\\udcff': it is not text that a file can hold"),
        ("new-method mine --out binary", "can't write to binary"),
        (f"new-method {'x' * 500}", "can't call a method 'xxx"),
        ("new-method \x1b[31m", "can't call a method '\\x1b[31m'"),
        # stores
        ("report damaged", "no finished runs in damaged: the record of cut-2 can't be read"),
        ("compare damaged damaged", "no finished runs in damaged, damaged: the record of cut-2 can't be read"),
        ("show damaged zzz", "none of 0 runs is called 'zzz'"),
        # a variable of the shell that is not set
        ("clean '' --keep-weights none", "an argument is empty, and an empty path would be the current folder"),
        ("verify ''", "an argument is empty"),
        ("show ''", "an argument is empty"),
        ("report damaged ''", "an argument is empty"),
        ("compare '' ''", "an argument is empty"),
        ("evaluate '' --dataset glyphs", "an argument is empty"),
        # what one spec says
        (f"{LOWRANK} --spec noseeds.toml", "noseeds.toml: seeds can't be empty"),
        (f"{LOWRANK} --spec trueseeds.toml", "trueseeds.toml: seeds can't be True: it is how many, 1 to 10000, or a"),
        (f"{LOWRANK} --spec largeseed.toml", "largeseed.toml: seeds can't be [4294967296]: it is how many"),
        (f"{LOWRANK} --spec nofolder.toml", "nofolder.toml: data_dir can't be empty; give it a value, or leave it"),
        (f"{LOWRANK} --spec noweights.toml", "noweights.toml: weights can't be empty"),
        (f"{LOWRANK} --spec digits.toml", "spec file digits.toml is not TOML: Exceeds the limit"),
        (f"{LOWRANK} --schedule digits.toml", "schedule digits.toml is not TOML: Exceeds the limit"),
        (f"{LOWRANK} --schedule quick:epochs=0", "schedule 'quick': epochs can't be 0; it is at least 1"),
        ("run --methods all:x=1", "can't read 'all:x=1': all stands for every method at its defaults"),
        ("footprint --methods csg,csg", "methods: 'csg' is there twice; leave one out"),
        ("footprint --methods csg --budgets 2x,2x", "budgets: '2x' is there twice; leave one out"),
        (f"{LOWRANK} --out {'x' * 300}", "xxx"),
        (f"export weights.safetensors --to dense --out {'x' * 300}", "{here}/xxx"),
        (f"{LOWRANK} --model {'x' * 20000}", "unknown model 'xxx"),
        ("new-method conftest", "can't call a method 'conftest': pytest would take its file for its own"),
        ("new-method test_mine", "can't call a method 'test_mine': pytest would"),
        # networks in files
        ("evaluate listed.safetensors --dataset glyphs", "listed.safetensors has a description that can't be read: it"),
        ("evaluate number.safetensors --dataset glyphs", "number.safetensors has a description that can't be read: it"),
        ("export weights.safetensors --to dense --out dangling", "--out can't be dangling: it is a link; give another"),
        (
            "export weights.safetensors --to dense --out x.onnx",
            "--out can't be x.onnx: that ending belongs to --to onnx",
        ),
        (
            "evaluate malicious.t7 --dataset glyphs",
            "malicious.t7 is damaged, or holds more than tensors and numbers",
        ),
        ("export malicious.t7 --to onnx", "malicious.t7 is damaged, or holds more than tensors and numbers"),
        (
            f"{LOWRANK} --weights malicious.t7",
            "{here}/malicious.t7 would run code if it were loaded (",
        ),
        ("evaluate binary --dataset glyphs", "binary is neither an artifact of bench"),
        ("evaluate empty --dataset glyphs", "empty is neither an artifact of bench"),
        ("evaluate folder --dataset glyphs", "no such file: folder/weights.safetensors"),
        ("export weights.safetensors --to dense --out folder", "--out can't be folder"),
        (
            "export weights.safetensors --to dense --out /dev/null --force",
            "--out can't be /dev/null: it exists and is not",
        ),
    ],
)
def test_it_is_one_line_and_nothing_is_written(command: Command, there: Path, arguments: str, message: str) -> None:
    before = files(there)
    code, out, err = command(*[given.strip("'") for given in arguments.split(" ")])
    assert (code, out) == (2, "")
    assert err.startswith(f"bench: {message.format(here=there)}")
    assert err.count("\n") == 1
    assert len(err) < 1000
    assert "weights_only" not in err
    assert files(there) == before


@pytest.mark.parametrize(
    ("budgets", "asked"), [("160, 450", ["160", "450"]), ("160450,4x", ["160450", "4x"]), ("2,400x", None)]
)
def test_several_budgets(command: Command, budgets: str, asked: list[str] | None) -> None:
    code, out, err = command("footprint", "--methods", "lowrank", "--model", "resnet8", "--budgets", budgets, "--json")
    assert code == (0 if asked else 2)
    assert (err == "") == bool(asked)
    if asked:
        assert [row["budget"] for row in json.loads(out)] == [None, *asked]


def test_a_traceback_is_printed_on_demand_wherever_that_is_written(command: Command) -> None:
    for arguments in (["--traceback", "list", "x"], ["list", "x", "--traceback"]):
        code, _, err = command(*arguments)
        assert code == 2
        assert "Traceback" in err
        assert err.splitlines()[-1].startswith("bench: unknown list 'x'")


def test_an_error_that_nobody_foresaw_is_one_line(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise KeyError("no\nsuch\x1b[31m")

    monkeypatch.setattr("bench.cli.listing.listing", fails)
    code, out, err = command("list", "methods")
    assert (code, out) == (2, "")
    assert err.startswith("bench: KeyError: ")
    assert "test_bad_input.py, line" in err
    assert err.count("\n") == 1
    assert "\x1b" not in err


def test_an_interrupt_is_130(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bench.cli.listing.listing", interrupted)
    assert command("list", "methods") == (130, "", "interrupted\n")


def test_no_arguments_are_a_call_for_help(command: Command) -> None:
    _, out, err = command()
    assert "Usage" in out + err
    assert "bench: " not in err


def test_a_loss_that_is_no_number_is_a_failure(command: Command, there: Path) -> None:
    file = there / "weights.safetensors"
    with safe_open(file, "pt") as opened:
        header = opened.metadata()
    tensors = load_file(file)
    spoilt = {name: tensor * float("nan") for name, tensor in tensors.items() if tensor.is_floating_point()}
    save_file(tensors | spoilt, "nan.safetensors", header)
    dataset = ["--dataset", "tens", "--plugin", str(tens(there))]
    code, out, err = command("evaluate", "nan.safetensors", *dataset)
    assert (code, err.count("\n")) == (1, 1)
    assert err.startswith("bench: the loss of nan.safetensors is nan")
    assert "loss           nan" in out
    code, out, err = command("evaluate", "nan.safetensors", *dataset, "--json")
    assert code == 1
    assert json.loads(out, parse_constant=pytest.fail)["loss"] is None


def tens(folder: Path) -> Path:
    """A plugin with a dataset of ten classes."""
    file = folder / "tens.py"
    file.write_text(
        "from dataclasses import dataclass\nimport torch\nfrom bench.dataset import Data, Dataset, Split\n"
        "@dataclass(frozen=True)\nclass Tens(Dataset):\n    def load(self, data_dir, download):\n"
        "        images = torch.arange(20 * 3 * 64).view(20, 3, 8, 8).remainder(251).to(torch.uint8)\n"
        "        split = Split(images, torch.arange(20) % 10)\n"
        "        return Data(split, split, tuple('abcdefghij'))\n"
    )
    return file


def test_json_has_no_numbers_that_are_none(capsys: pytest.CaptureFixture[str]) -> None:
    app.print_json([{"a": float("nan"), "b": (float("inf"), 1.5, [-float("inf")]), "c": True}])
    found = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert found == [{"a": None, "b": [None, 1.5, [None]], "c": True}]


def test_a_spec_with_a_byte_order_mark_counts_paths_from_its_folder(command: Command, there: Path) -> None:
    folder = there / "specs"
    folder.mkdir()
    tens(folder)
    (folder / "mine.toml").write_text('epochs = 1\nbatch_size = "x"\n', encoding="utf-8-sig")
    text = 'methods = ["dense"]\ndataset = "tens"\nplugins = ["tens.py"]\nschedule = "mine.toml"\n'
    (folder / "spec.toml").write_text(text, encoding="utf-8-sig")
    code, _, err = command("run", "--spec", "specs/spec.toml", "--dry-run")
    assert code == 2
    assert err.startswith("bench: schedule 'mine': option batch_size can't be 'x'")  # the last that is looked at
    (folder / "spec.toml").write_text(text.replace('"tens.py"', '"other.py"'), encoding="utf-8")
    code, _, err = command("run", "--spec", "specs/spec.toml", "--dry-run")
    assert (code, err[:27]) == (2, "bench: no such plugin: " + str(there)[:4])


def test_windows_is_refused(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "win32")
    code, out, err = command("list", "methods")
    assert (code, out) == (2, "")
    assert err == "bench: it does not run on Windows; use WSL, or the container that Containerfile makes\n"
