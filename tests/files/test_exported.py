"""Exported files opened again: ours, others', broken ones, and ones that would run code."""

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
import torch
from conftest import STRIPES, Command
from onnx import helper, numpy_helper
from torch import nn

from bench.dataset import Data
from bench.errors import InputError
from bench.files.export import ENDINGS, export, export_network, say
from bench.files.exported import is_exported, open_exported
from bench.files.exports.about import About
from bench.plan.dataset_choice import find_dataset
from bench.runs import exported
from bench.store.record import Record
from bench.store.store import Store

# Written once, where pytest has several processes.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("exported files")]
FORMATS = [name for name in ENDINGS if name != "dense"]


@pytest.fixture(scope="module")
def files(swept: tuple[Path, list[Record]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A csg run in every format; do not write to them."""
    record = next(record for record in swept[1] if record["method"] == "csg" and record["status"] == "finished")
    folder = tmp_path_factory.mktemp("exported")
    made = {to: folder / f"network{ENDINGS[to]}" for to in FORMATS}
    for to, path in made.items():
        export(Store(swept[0]).folder_of(record["id"]), to, path)
    return made


@pytest.fixture(scope="module")
def stripes() -> Data:
    return find_dataset("stripes", [STRIPES]).decode(Path("data"), False)


def copied(path: Path, folder: Path) -> Path:
    made = folder / path.name
    made.write_bytes(path.read_bytes())
    return made


@pytest.mark.parametrize("to", FORMATS)
def test_the_accuracy_in_a_file_is_that_of_evaluating_it_to_the_digit(
    files: dict[str, Path], stripes: Data, tmp_path: Path, command: Command, to: str
) -> None:
    path = copied(files[to], tmp_path)
    images = torch.randn(5, 1, 8, 8)
    before = open_exported(path).network(images)
    exported.measure(path, stripes, find_dataset("stripes", [STRIPES]))
    opened = open_exported(path)
    assert torch.equal(opened.network(images), before)
    assert opened.about is not None
    said = opened.about.accuracy
    assert said is not None
    code, out, err = command("evaluate", str(path), "--dataset", "stripes", "--plugin", STRIPES, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["top1"], found["top5"], found["loss"], found["images"]) == (
        *(said.scores[name] for name in ("top1", "top5", "loss")),
        70,
    )
    assert (found["bytes"], found["image_size"]) == (path.stat().st_size, "8x8")
    # And it is what the logits say, standardised as the file says.
    assert opened.about.inputs is not None
    mean, deviation = (torch.tensor(own) for own in (opened.about.inputs.mean, opened.about.inputs.deviation))
    logits = opened.network((stripes.test.images.float() - mean) / deviation)
    assert 100 * (logits.argmax(1) == stripes.test.targets).double().mean().item() == pytest.approx(
        said.scores["top1"], abs=1e-9
    )
    assert nn.functional.cross_entropy(logits, stripes.test.targets).item() == pytest.approx(
        said.scores["loss"], rel=1e-5
    )


def test_files_say_how_to_use_them(files: dict[str, Path], swept: tuple[Path, list[Record]], stripes: Data) -> None:
    about = open_exported(files["onnx"]).about
    assert about is not None
    record = next(record for record in swept[1] if record["method"] == "csg" and record["status"] == "finished")
    assert about.class_names == ("rows", "columns", "diagonal")
    assert (about.network, about.method) == (record["model"], "csg")
    assert (about.channels, about.height, about.width, about.classes) == (1, 8, 8, 3)
    assert (about.stored_values, about.dense_values) == (record["stored_values"], record["dense_values"])
    assert about.deployed_values == record["materialised_values"]
    assert about.mean == pytest.approx([stripes.train.images.float().mean().item()], rel=0.02)
    assert about.accuracy is None
    # As programs without bench read it.
    (prop,) = onnx.load(files["onnx"]).metadata_props
    extra = {"bench.json": ""}
    torch.export.load(files["pt2"], extra_files=extra)
    assert json.loads(prop.value) == {**json.loads(extra["bench.json"])}
    assert {to: open_exported(path).about.precision for to, path in files.items()} == {  # type: ignore[union-attr]
        "onnx": "float32",
        "onnx-half": "float16",
        "onnx-int8": "int8",
        "pt2": "float32",
        "pt2-compact": "float32",
    }


@pytest.mark.slow
def test_an_artifact_alone_gets_the_names_of_classes_with_the_dataset(
    swept: tuple[Path, list[Record]], tmp_path: Path, command: Command
) -> None:
    record = next(record for record in swept[1] if record["method"] == "csg" and record["status"] == "finished")
    folder = Store(swept[0]).folder_of(record["id"])
    assert folder is not None
    alone = tmp_path / "small.safetensors"
    alone.write_bytes((folder / "weights.safetensors").read_bytes())
    asked = ["export", str(alone), "--to", "onnx", "--out", str(tmp_path / "a.onnx"), "--force"]
    for more, said, names in (
        ([], "none; --dataset, or the folder of a run, has them", ()),
        (["--dataset", "stripes", "--plugin", STRIPES], None, ("rows", "columns", "diagonal")),
    ):
        code, out, _ = command(*asked, *more, "--json")
        about = open_exported(tmp_path / "a.onnx").about
        assert code == 0
        assert json.loads(out).get("class_names") == said
        assert about is not None
        assert about.class_names == names


def test_writing_what_a_file_says_leaves_its_graph_as_it_is(files: dict[str, Path], tmp_path: Path) -> None:
    for to in ("onnx", "pt2"):
        path = copied(files[to], tmp_path)
        about = open_exported(path).about
        assert about is not None
        say(path, replace(about, method="another"))
        assert open_exported(path).about == replace(about, method="another")
        if to == "onnx":
            old, new = (onnx.load(own) for own in (files[to], path))
            assert old.graph.SerializeToString() == new.graph.SerializeToString()
        else:
            with zipfile.ZipFile(files[to]) as one, zipfile.ZipFile(path) as two:
                assert one.namelist() == two.namelist()
                changed = [name for name in one.namelist() if one.read(name) != two.read(name)]
            assert [name.rpartition("/")[2] for name in changed] == ["bench.json"]


def test_the_command_writes_the_accuracy(swept: tuple[Path, list[Record]], tmp_path: Path, command: Command) -> None:
    record = next(record for record in swept[1] if record["method"] == "csg" and record["status"] == "finished")
    run, path = str(Store(swept[0]).folder_of(record["id"])), tmp_path / "small.onnx"
    arguments = ["export", run, "--to", "onnx", "--out", str(path), "--dataset", "stripes", "--plugin", STRIPES]
    code, out, err = command(*arguments, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["top1"], found["images"]) == (record["test_top1"], 70)
    about = open_exported(path).about
    assert about is not None
    assert about.accuracy is not None
    assert about.accuracy.scores["loss"] == found["loss"] == pytest.approx(record["test_loss"], rel=1e-5)
    code, _, err = command("export", run, "--to", "dense", "--out", str(tmp_path / "x"), "--dataset", "stripes")
    assert (code, err[:50]) == (2, "bench: --dataset is for files that say their accur")


def others(path: Path, batch: int | str = "n", channels: int = 1, classes: int = 3, **external: str) -> Path:
    """An ONNX file as another program writes it: the mean of each image times 1, 2, 3... With `location`, its weights
    are in another file."""
    weights = numpy_helper.from_array(torch.arange(1.0, classes + 1).view(1, -1).numpy(), "weights")
    if external:
        weights.data_location = onnx.TensorProto.EXTERNAL
        for key, value in external.items():
            weights.external_data.add(key=key, value=value)
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "last"], ["column"]),
        helper.make_node("MatMul", ["column", "weights"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "theirs",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [batch, channels, 8, 8])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [batch, classes])],
        [weights, numpy_helper.from_array(torch.tensor([1]).numpy(), "last")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def evaluate(command: Command, path: Path, *more: str) -> tuple[int, str, str]:
    return command("evaluate", str(path), "--dataset", "stripes", "--plugin", STRIPES, "--json", *more)


def test_files_of_others_are_evaluated_as_the_person_says(tmp_path: Path, command: Command, stripes: Data) -> None:
    path = others(tmp_path / "theirs.onnx", batch=32)  # 70 images are no multiple of it
    assert evaluate(command, path)[:2] == (2, "")
    assert (
        "theirs.onnx doesn't say how images are standardised; give --normalise, which is imagenet"
        in evaluate(command, path)[2]
    )
    code, out, err = evaluate(command, path, "--normalise", "0.4/0.2")
    assert (code, err) == (0, "")
    column = ((stripes.test.images.float() - 102) / 51).mean((1, 2, 3))
    logits = column[:, None] * torch.arange(1.0, 4)
    found = json.loads(out)
    assert found["loss"] == pytest.approx(nn.functional.cross_entropy(logits, stripes.test.targets).item(), rel=1e-5)
    assert found["top1"] == pytest.approx(100 * (logits.argmax(1) == stripes.test.targets).double().mean().item())
    assert (found["bytes"], "method" in found) == (path.stat().st_size, False)
    for text in ("imagenet", "0.1,0.2/0.3,0.4", "1/0", "1", "nan/1", "a/b", "100/50"):
        code, out, err = evaluate(command, path, "--normalise", text)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert f"can't be standardised by {text}" in err or f"--normalise can't be {text!r}" in err


def test_weights_beside_a_file_are_read_from_its_folder_alone(tmp_path: Path, command: Command) -> None:
    values = torch.arange(1.0, 4).numpy().tobytes()
    (tmp_path / "inside").mkdir()
    (tmp_path / "secret.bin").write_bytes(values)
    (tmp_path / "inside" / "theirs.bin").write_bytes(values)
    path = others(tmp_path / "inside" / "theirs.onnx", location="theirs.bin")
    code, out, _ = evaluate(command, path, "--normalise", "dataset")
    assert code == 0
    assert json.loads(out)["bytes"] == path.stat().st_size + len(values)
    (tmp_path / "inside" / "link.bin").symlink_to(tmp_path / "secret.bin")
    for location in ("../secret.bin", str(tmp_path / "secret.bin"), "link.bin"):
        others(path, location=location)
        code, out, err = evaluate(command, path, "--normalise", "dataset")
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert "outside of its folder; it is not opened" in err
    others(path, location="gone.bin")
    assert "which is missing; put it beside the file" in evaluate(command, path, "--normalise", "dataset")[2]


def test_what_does_not_fit_is_one_line(files: dict[str, Path], tmp_path: Path, command: Command) -> None:
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(files["onnx"].read_bytes()[:-1000])
    (tmp_path / "cut.pt2").write_bytes(files["pt2"].read_bytes()[:-1000])
    (tmp_path / "text.onnx").write_text("hello")
    (tmp_path / "text.pt2").write_text("hello")
    (tmp_path / "empty.onnx").write_bytes(b"")
    newer = copied(files["onnx"], tmp_path)
    model = onnx.load(newer)
    model.metadata_props[0].value = '{"format": 99}'
    newer.write_bytes(model.SerializeToString())
    for path, message in [
        (cut, "can't be|is not an ONNX file"),
        (tmp_path / "cut.pt2", "cut.pt2 is not a pt2 file, or is cut short"),
        (tmp_path / "text.onnx", "text.onnx is not an ONNX file, or is cut short|can't be"),
        (tmp_path / "text.pt2", "text.pt2 is not a pt2 file, or is cut short"),
        (tmp_path / "empty.onnx", "empty.onnx"),
        (newer, "it has format 99, of a newer bench"),
        (others(tmp_path / "classes.onnx", classes=5), "classes.onnx tells 5 classes apart; stripes has 3"),
        (others(tmp_path / "colour.onnx", channels=3), "colour.onnx takes images of 3x8x8; those of stripes are 1x8x8"),
    ]:
        code, out, err = evaluate(
            command, path, *(["--normalise", "1/1"] if path.stem in ("classes", "colour") else [])
        )
        assert (code, out, err.count("\n")) == (2, "", 1), path
        assert any(part in err for part in message.split("|")), err
    for arguments, message in [
        (["--normalise", "1/1"], "says itself how images are standardised; leave --normalise out"),
        (["--device", "cuda"], "an exported file is run on the CPU; leave it out"),
        (["--model", "x.py:x"], "holds its network; leave --model and --other-code out"),
    ]:
        code, _, err = evaluate(command, files["onnx"], *arguments)
        assert code == 2
        assert message in err


def test_a_file_that_is_nested_without_end_is_one_line(tmp_path: Path) -> None:
    content = b""
    for _ in range(2000):  # a graph in an attribute of a node in a graph
        for field in (6, 5, 1):
            content = bytes([8 * field + 2]) + _varint(len(content)) + content
    path = tmp_path / "deep.onnx"
    path.write_bytes(b"\x08\x08" + bytes([8 * 7 + 2]) + _varint(len(content)) + content)
    with pytest.raises(InputError, match=r"deep.onnx is not an ONNX file, or is cut short: [^\n]*$"):
        open_exported(path)


def _varint(number: int) -> bytes:
    """As protobuf writes it: seven bits a byte, the lowest first."""
    parts = [number >> shift & 127 for shift in range(0, max(1, number.bit_length()), 7)]
    return bytes([*(part | 128 for part in parts[:-1]), parts[-1]])


def test_they_are_known_by_their_content(files: dict[str, Path], tmp_path: Path, csg_artifact: Path) -> None:
    for to in ("onnx", "pt2"):
        (tmp_path / to).write_bytes(files[to].read_bytes())
        assert open_exported(tmp_path / to).kind == to
    torch.save({"a": torch.ones(1)}, tmp_path / "state.pth")
    assert [is_exported(path) for path in (tmp_path / "state.pth", csg_artifact, tmp_path)] == [False] * 3


class Fixed(nn.Module):
    """A network of one size of images: its classifier has a weight for each place."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.classifier = nn.Linear(4 * 64, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.classifier(self.conv(images).relu().flatten(1))
        return logits


class Pooled(nn.Module):
    """A network that takes any size in torch; ONNX has no pooling to 3x3 for that."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.pool = nn.Conv2d(1, 4, 3, padding=1), nn.AdaptiveAvgPool2d(4)
        self.classifier = nn.Linear(4 * 16, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.classifier(self.pool(self.conv(images)).flatten(1))
        return logits


@pytest.mark.parametrize("to", ["onnx", "pt2"])
@pytest.mark.parametrize("make", [Fixed, Pooled])
def test_the_size_is_free_where_the_network_allows_it(make: type[nn.Module], to: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = make().eval()
    about = About("mine", "dense", 1, 8, 8, 3, 10, 10)
    written = export_network(network, about, to, tmp_path / f"x.{to}")
    opened = open_exported(tmp_path / f"x.{to}")
    assert opened.about == written.about
    assert opened.about is not None
    larger, images = torch.randn(2, 1, 24, 16), torch.randn(7, 1, 8, 8)
    with torch.inference_mode():
        assert torch.allclose(opened.network(images), network(images), atol=1e-5)
        if opened.about.any_size:
            assert torch.allclose(opened.network(larger), network(larger), atol=1e-5)
    assert opened.shape == ((1, None, None) if opened.about.any_size else (1, 8, 8))
    if make is Fixed:
        assert opened.about.free == ("batch",)
    elif to == "pt2":
        assert opened.about.free == ("batch", "height", "width")
