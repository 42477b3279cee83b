"""docs/compress-your-network.md, walked through from its files and commands alone."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Command
from PIL import Image
from torch import nn
from torch.nn import functional

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "compress-your-network.md").read_text()
BLOCKS = re.findall(r"```(\S+)\n(.*?)```", TEXT, flags=re.DOTALL)
COMMANDS = [line for kind, block in BLOCKS if kind == "sh" for line in block.splitlines()]
FILES = {kind: block for kind, block in BLOCKS if kind.endswith(".py")}
CLASSES = ("blue", "green", "red")


def write_photos(folder: Path) -> None:
    """Noise with more of one colour."""
    random = np.random.default_rng(0)
    for split, number in (("train", 60), ("test", 20)):
        for label, name in enumerate(CLASSES):
            (folder / split / name).mkdir(parents=True)
            for index in range(number):
                pixels = random.integers(0, 200, (16, 16, 3))
                pixels[..., 2 - label] += 40
                Image.fromarray(pixels.astype(np.uint8)).save(folder / split / name / f"{index}.png")


def train(folder: Path) -> None:
    """As anybody would, and nothing of bench in it."""
    names: dict[str, object] = {}
    exec(FILES["net.py"], names)
    torch.manual_seed(0)
    network: nn.Module = names["build"](len(CLASSES))  # type: ignore[operator]
    files = sorted((folder / "photos" / "train").glob("*/*.png"))
    images = torch.stack([torch.from_numpy(np.asarray(Image.open(file)).copy()).permute(2, 0, 1) for file in files])
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    images = (images / 255 - mean) / torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    labels = torch.tensor([CLASSES.index(file.parent.name) for file in files])
    optimizer = torch.optim.SGD(network.parameters(), lr=0.02, momentum=0.9)
    for _ in range(8):
        for index in torch.randperm(len(files)).split(30):
            optimizer.zero_grad()
            functional.cross_entropy(network(images[index]), labels[index]).backward()
            optimizer.step()
    torch.save(network.state_dict(), folder / "net.pth")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of torch's exporters
def test_every_command_works_and_the_file_stands_alone(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, content in FILES.items():
        (tmp_path / name).write_text(content)
    write_photos(tmp_path / "photos")
    train(tmp_path)
    printed = []
    for line in COMMANDS:
        program, *arguments = line.split()
        found = [[str(path.relative_to(tmp_path)) for path in sorted(tmp_path.glob(given))] for given in arguments]
        files = [name for given, names in zip(arguments, found, strict=True) for name in names or [given]]
        if program == "bench":
            code, out, err = command(*files)
        else:  # the script of a person who has no bench: it fails where it is imported
            ended = subprocess.run([sys.executable, "-c", ALONE, *files], capture_output=True, text=True)
            code, out, err = ended.returncode, ended.stdout, ended.stderr
        assert code == 0, f"{line}\n{out}{err}"
        printed.append(out)
    compressed, evaluated, searched, classified = printed
    (row,) = re.findall(r"top-1 % on test +│ +(\S+) │ +(\S+)", compressed)
    assert float(row[0]) > 90
    assert re.search(rf"^top1 +{re.escape(row[1])}$", evaluated, flags=re.MULTILINE)
    assert "is chosen: the smallest that loses 20 points" in searched

    import onnxruntime

    session = onnxruntime.InferenceSession(tmp_path / "small.onnx", providers=["CPUExecutionProvider"])
    about = json.loads(session.get_modelmeta().custom_metadata_map["bench"])
    assert about["class_names"] == list(CLASSES)
    assert f"{about['accuracy']['scores']['top1']:.6g}" == row[1]
    assert about["mean"] == pytest.approx([123.675, 116.28, 103.53])
    said = [line.split() for line in classified.splitlines()]
    assert len(said) == len(CLASSES)
    assert [name for path, name in said] == [Path(path).parent.name for path, _ in said]


ALONE = """
import runpy, sys
for name in ("bench", "torch"):
    sys.modules[name] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_no_command_is_out_of_the_tests_sight() -> None:
    """But for the installation."""
    assert {kind for kind, _ in BLOCKS} == {"sh", "net.py", "classify.py"}
    assert re.findall(
        r"^    ((?:bench|python|pip) .*)", re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL), flags=re.M
    ) == ["pip install 'csg-bench[onnx]'"]


def test_what_it_says_is_tried_is_tried() -> None:
    from bench.plan import defaults
    from bench.training import schedule

    (tried,) = re.findall(r"It tries (.*?), or", TEXT, flags=re.DOTALL)
    assert re.findall(r"`(.*?)`", tried) == list(defaults.TRIED_METHODS)
    (epochs,) = re.findall(r"the same epochs, (\d+) unless", TEXT)
    found = schedule.find(defaults.FINE_TUNING)[1]
    assert found.epochs == int(epochs)
    assert found.learning_rate == pytest.approx(schedule.find("quick")[1].learning_rate / 20)
