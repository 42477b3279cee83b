"""Files with networks: artifacts of every kind, checkpoints of the CSG authors, and files that are neither."""

import json
import math
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import images, write_artifact
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

import bench
from bench import count, testing
from bench.data.batches import InOrder
from bench.data.normalise import Normalise
from bench.errors import InputError
from bench.files import artifact, network_file
from bench.method import Compressed
from bench.methods.csg.papers_layers import papers_choice
from bench.plan.dataset_choice import find_dataset
from bench.plan.task_choice import find_task
from bench.plugins import networks
from bench.selection import select
from bench.training.evaluate import evaluate

# ----------------------------------------------------------------- artifacts of runs

VARIANTS = [
    {},
    {"tiling": "view", "slice": (12, 12)},
    {"generator": "binary"},
    {"generator": "gaussian", "init": "authors"},
    {"hidden": 6, "code": 4},
    {"code": 5, "half": True},
    {"layers": "*", "kernel": "all", "linear": True, "slice": (8, 4)},
]


@pytest.mark.slow
@pytest.mark.parametrize("options", VARIANTS)
def test_from_artifact_to_network_to_artifact(options: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    network = write_artifact(file, options)
    for path in (file, tmp_path, str(file)):
        loaded = bench.load(path)
        assert not loaded.training
        with torch.inference_mode():
            assert torch.equal(loaded(images()), network(images()))
    saved = network_file.read(file)
    assert artifact.pack(Compressed(loaded), saved.description) == file.read_bytes()
    held = [tensor.numel() for name, tensor in load_file(file).items() if "running_" not in name]
    assert sum(held) == count.stored_values(loaded) == count.stored_values(network)


def test_the_options_are_not_needed_to_load(tmp_path: Path) -> None:
    """The structure says it all, so that what a default means may change without making old files unreadable."""
    network = write_artifact(tmp_path / "weights.safetensors", {"tiling": "view", "slice": (12, 12), "code": 3})
    saved = network_file.read(tmp_path)
    (step,) = saved.description.steps
    bare = replace(saved.description, steps=(replace(step, options={}),))
    built = artifact.build(artifact.Saved(bare, saved.tensors), tmp_path)
    with torch.inference_mode():
        assert torch.equal(built.network(images()), network(images()))


@pytest.mark.slow
def test_a_fresh_process_gives_the_same_outputs(tmp_path: Path) -> None:
    expected = {}
    for number, options in enumerate(VARIANTS):
        file = tmp_path / f"{number}.safetensors"
        with torch.inference_mode():
            expected[str(file)] = write_artifact(file, options)(images())
    save_file({"images": images()}, tmp_path / "images")
    code = (
        "import sys, torch, bench\n"
        "from safetensors.torch import load_file, save_file\n"
        "images = load_file(sys.argv[1])['images']\n"
        "with torch.inference_mode(): save_file({path: bench.load(path)(images) for path in sys.argv[3:]}, sys.argv[2])"
    )
    arguments = [str(tmp_path / "images"), str(tmp_path / "outputs"), *expected]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True)
    for path, outputs in load_file(tmp_path / "outputs").items():
        assert torch.allclose(outputs, expected[path], rtol=1e-5, atol=1e-5), path


# ------------------------------------------------- checkpoints of the authors, made here


def authors_names(model: str, name: str) -> str:
    """What the authors call a value of ours: only their ResNets differ."""
    if model.startswith("resnet"):
        name = name.replace("stage", "stage_").replace("conv1.weight", "conv_a.weight").replace("bn1.", "bn_a.")
        name = name.replace("conv2.", "conv_b.").replace("bn2.", "bn_b.")
        if not name.startswith("stage"):
            name = name.replace("conv_a", "conv_1_3x3").replace("bn_a", "bn_1")
    return "module." + name


def code_name(model: str, layer: str) -> str:
    path, dot, name = layer.rpartition(".")
    path, number = path.replace("stage", "stage_"), name.removeprefix("conv")
    # Only the first of a ResNet's block goes without its number.
    number = "" if model.startswith("resnet") and number == "1" else number
    return f"module.{path}{dot}code{number}"


def checkpoint(model: str, side: int | None, code: int, half: bool, generator: str) -> tuple[dict[str, Any], nn.Module]:
    """A checkpoint as the authors save it, and the plain network that it stands for.

    Written from the description of their files, and apart from how we read them: the kernels come layer by layer from
    their formula. `side` of a slice; None: a dense network.
    """
    random = torch.Generator().manual_seed(4)
    network = testing.network(model, seed=2)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.copy_(0.1 * torch.randn(module.num_features, generator=random))
            module.running_var.copy_(1 + 0.1 * torch.rand(module.num_features, generator=random))
    if half:
        network.half().float()
    net = {authors_names(model, name): tensor.clone() for name, tensor in network.state_dict().items()}
    if side is not None:
        layers = select(network, papers_choice(network, networks.find(model).model.family))
        taps = math.prod(next(iter(layers.values())).weight.shape[2:])
        matrix = 0.1 * torch.randn(side * side * taps, code, generator=random)
        for name, layer in layers.items():
            out_channels, in_channels, height, width = layer.weight.shape
            rows, columns = math.ceil(out_channels / side), math.ceil(in_channels / side)
            codes = 0.1 * torch.randn(rows * columns, code, generator=random)
            if half:
                codes, matrix = codes.half().float(), matrix.half().float()
            padded = (codes @ matrix.T).view(rows * side, columns * side, height, width)
            layer.weight.data.copy_(padded[:out_channels, :in_channels])
            del net[authors_names(model, f"{name}.weight")]
            net[code_name(model, name)] = codes
            block = code_name(model, name).rpartition(".")[0]
            net[f"{block}.{generator}.weight"] = matrix
        net[f"module.{generator}.weight"] = matrix
    if half:
        net = {name: value.half() if value.is_floating_point() else value for name, value in net.items()}
    return {"net": net, "acc": 91.5, "epoch": 160}, network.eval()


FAMILIES = [
    ("resnet20", 16, 72, False, "CLG"),
    ("resnet20", 12, 5, True, "CSG"),
    ("resnet56", 16, 128, True, "CSG"),
    ("resnet56", None, 0, False, ""),
    ("densenet-bc-40-36", 12, 72, False, "CSG"),
    ("densenet-bc-40-48", 12, 72, True, "CSG"),
    ("densenet-bc-40-12", None, 0, False, ""),
    ("mobilenetv2-cifar", 16, 16, False, "CSG"),
    ("mobilenetv2-cifar", None, 0, True, ""),
    ("shufflenetv2-x0.5-cifar", 16, 16, False, "CSG"),
    ("shufflenetv2-x0.5-cifar", None, 0, False, ""),
    ("shufflenetv2-x1-cifar", 16, 16, True, "CLG"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("model", "side", "code", "half", "generator"), FAMILIES)
@pytest.mark.parametrize("zipped", [False, True])
def test_checkpoints_of_every_family(
    model: str, side: int | None, code: int, half: bool, generator: str, zipped: bool, tmp_path: Path
) -> None:
    content, plain = checkpoint(model, side, code, half, generator)
    path = tmp_path / "ckpt (1).t7"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    network = bench.load(path)
    with torch.inference_mode():
        expected, outputs = plain(images()), network(images())
    assert outputs.dtype == torch.float32
    assert torch.allclose(outputs, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))
    values = {name: value.numel() for name, value in content["net"].items() if _is_stored(name)}
    copies = [name for name in values if name.endswith(("CSG.weight", "CLG.weight"))]
    assert count.stored_values(network) == sum(values.values()) - sum(values[name] for name in copies[1:])
    description = network_file.read(path).description
    assert (description.model.text, description.epochs, description.model.classes) == (model, 161, 10)


def _is_stored(name: str) -> bool:
    return not name.endswith(("running_mean", "running_var", "num_batches_tracked"))


def test_a_checkpoint_may_be_the_state_dict_alone(tmp_path: Path) -> None:
    content, plain = checkpoint("resnet20", 16, 8, False, "CSG")
    bare = {name.removeprefix("module."): value for name, value in content["net"].items()}
    torch.save(bare, tmp_path / "bare.t7")
    with torch.inference_mode():
        assert torch.allclose(bench.load(tmp_path / "bare.t7")(images()), plain(images()), atol=1e-5)


# --------------------------------------------------------------- files that are neither


class Unsafe:
    """What `torch.load` must not make."""

    def __reduce__(self) -> Any:
        return (exec, ("import pathlib; pathlib.Path('ran').touch()",))


def test_nothing_in_a_checkpoint_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"net": {"conv_1_3x3.weight": torch.zeros(1)}, "acc": Unsafe()}, "zip.t7")
    torch.save({"net": Unsafe()}, "legacy.t7", _use_new_zipfile_serialization=False)
    Path("pickle.t7").write_bytes(pickle.dumps(Unsafe(), protocol=2))
    for name in ("zip.t7", "legacy.t7", "pickle.t7"):
        with pytest.raises(
            InputError,
            match="is damaged, or holds more than tensors and numbers; bench reads only these and runs no code of",
        ):
            bench.load(name)
    assert not Path("ran").exists()


@pytest.mark.parametrize("header", ["format 1", "format 0"])
def test_nothing_that_an_artifact_names_is_run(header: str, tmp_path: Path) -> None:
    """Only what a person names is: not what lies beside the file that they were given."""
    evil = tmp_path / "evil.py"
    evil.write_text(f"import pathlib\npathlib.Path({str(tmp_path / 'ran')!r}).touch()\ndef net(): pass\n")
    file = tmp_path / "weights.safetensors"
    write_artifact(file, {"code": 2})
    if header == "format 1":
        _edit(file, lambda described: described["model"].update(text=f"{evil}:net"))
    else:
        described = {"model": f"{evil}:net", "channels": 3, "num_classes": 10, "method": "dense", "options": {}}
        described |= {"budget_values": None, "trained": False, "seed": 0}
        save_file({"a": torch.zeros(2)}, file, metadata={"bench": json.dumps(described)})
    with pytest.raises(InputError):
        bench.load(file)
    assert not (tmp_path / "ran").exists()


def wrong(kind: str, path: Path) -> None:
    content, _ = checkpoint("resnet20", 16, 8, False, "CSG")
    net = content["net"]
    match kind:
        case "text":
            path.write_text("not a network")
        case "empty":
            path.write_bytes(b"")
        case "cut short":
            torch.save(content, path)
            path.write_bytes(path.read_bytes()[:5000])
        case "other network":
            torch.save({"net": {"layer9.weight": torch.zeros(2)}}, path)
        case "number":
            torch.save(3, path)
        case "other depth":
            for name in [name for name in net if ".2." in name]:
                del net[name]
            torch.save(content, path)
        case "two generators":
            net["module.stage_1.0.CSG.weight"] = net["module.CSG.weight"] + 1
            torch.save(content, path)
        case "no generator":
            torch.save({"net": {name: value for name, value in net.items() if "CSG" not in name}}, path)
        case "other shape":
            net["module.stage_1.0.code"] = torch.zeros(3, 8)
            torch.save(content, path)
        case "no classifier":
            del net["module.classifier.weight"]
            torch.save(content, path)
        case "one value":
            torch.save({"net": {"module.conv_1_3x3.weight": torch.zeros(2, 2, 2, 2)}}, path)
        case "odd generator":
            for name in [name for name in net if "CSG" in name]:
                net[name] = torch.zeros(5)
            torch.save(content, path)
        case "stop":
            path.write_bytes(b"\x80\x02.")
        case "odd tiling":
            write_artifact(path, {"code": 2})
            _edit(path, lambda described: described["steps"][0]["structure"].update(tiling="spiral"))
        case "odd slice":
            write_artifact(path, {"code": 2})
            _edit(path, lambda described: described["steps"][0]["structure"].update(slice=[0, 0]))
        case "odd images":
            write_artifact(path, {"code": 2})
            odd = {"height": "a", "width": 2, "mean": "x", "deviation": None}
            _edit(path, lambda described: described["model"].update(inputs=odd))
        case "no deviation" | "large images" | "negative images" | "no number":
            write_artifact(path, {"code": 2})
            odd = {"height": 8, "width": 8, "mean": [1.0], "deviation": [1.0]}
            odd |= {"no deviation": {"deviation": [0.0]}, "large images": {"width": 10**9}}.get(kind, {})
            odd |= {"negative images": {"height": -8}, "no number": {"mean": [math.nan]}}.get(kind, {})
            _edit(path, lambda described: described["model"].update(inputs=odd))
        case "many channels":
            write_artifact(path, {"code": 2})
            _edit(path, lambda described: described["model"].update(channels=10**9))
        case "no classes":
            write_artifact(path, {"code": 2})
            _edit(path, lambda described: described["model"].update(classes=0))
        case "nothing but zeros":
            write_artifact(path, {"code": 2})
            layout = {"network.conv1.weight": {"shape": [10**6, 10**6], "mask": "gaps", "bits": 1}}
            _edit(path, lambda described: described.update(layout=layout))
        case "missing value":
            del net["module.bn_1.weight"]
            torch.save(content, path)
        case "other safetensors":
            save_file({"a": torch.zeros(2)}, path)
        case "odd description":
            save_file({"a": torch.zeros(2)}, path, metadata={"bench": "[1]"})
        case "odd structure":
            write_artifact(path, {"code": 2})
            _edit(path, lambda described: described["steps"][0].update(structure={"layers": []}))
        case "unknown method":
            write_artifact(path, {"code": 2})
            _edit(path, lambda described: described["steps"][0].update(method="gone"))
        case "other file":
            write_artifact(path, {"code": 2})
            _edit(path, lambda described: described["steps"][0].update(options={"generator": str(path)}))
        case "unknown network":
            write_artifact(path, {"code": 2})
            _edit(path, lambda described: described["model"].update(text="resnet9"))
        case "unknown kind":
            write_artifact(path, {"code": 2})
            _edit(path, lambda described: described["model"].update(kind="odd"))
        case "no steps":
            write_artifact(path, {"code": 2})
            _edit(path, lambda described: described.update(steps=[]))


def _edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change something in the description that an artifact's header holds."""
    with safe_open(path, framework="pt") as file:
        described = json.loads(file.metadata()["bench"])
    change(described)
    save_file(load_file(path), path, metadata={"bench": json.dumps(described)})


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("text", "is neither an artifact of bench .* nor a checkpoint"),
        ("empty", "is neither an artifact of bench .* nor a checkpoint"),
        ("cut short", "can't be read as a checkpoint: it is cut short or damaged"),
        (
            "other network",
            r"neither a file of bench nor a checkpoint of the CSG authors \(it has none of conv_1_3x3.weight",
        ),
        ("number", "it holds no state dict under 'net'"),
        ("other depth", "holds a network that is not among ours: resnet14"),
        ("two generators", "has 10 different generators or none; it needs one"),
        ("no generator", "has 0 different generators"),
        ("no classifier", "lacks a part of checkpoints by the CSG authors"),
        ("one value", "lacks a part of checkpoints by the CSG authors"),
        ("odd generator", "lacks a part of checkpoints by the CSG authors"),
        ("stop", "can't be read as a checkpoint: it is cut short or damaged"),
        ("odd tiling", "can't be built again: tiling can't be 'spiral'; it is block or view"),
        ("odd slice", "can't be built again: slice can't be"),
        ("odd images", "has a description that can't be read"),
        ("no deviation", r"model.inputs: .*the deviation of pixel values can't be 0.0; it is above 0"),
        ("large images", r"model.inputs: .*the width of images can't be 1000000000"),
        ("negative images", r"model.inputs: .*the height of images can't be -8"),
        ("no number", r"model.inputs: .*the mean of pixel values can't be nan"),
        ("many channels", r"model: .*a network can't have 1000000000 channels; it has from 1 to 4,096"),
        ("no classes", r"model: .*a network can't have 0 classes"),
        ("nothing but zeros", r"network.conv1.weight declares 1,000,000,000,000 values and holds \d+"),
        ("other shape", r"codes has shape \(118, 8\), not \(116, 8\)"),
        ("missing value", "doesn't fit csg: tensors missing or left over: network.bn1.weight"),
        ("other safetensors", "is a safetensors file, but not an artifact of bench"),
        ("odd description", "has a description that can't be read"),
        ("odd structure", "can't be built again: what it says of its structure is incomplete"),
        ("unknown method", "unknown method 'gone'"),
        ("other file", "has a description that names other files: generator of csg"),
        ("unknown network", "unknown model 'resnet9'; did you mean 'resnet"),
        ("unknown kind", "holds a network of the unknown kind 'odd'"),
        ("no steps", "has a description that can't be read: it has no steps"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_clear_line(kind: str, message: str, tmp_path: Path) -> None:
    wrong(kind, tmp_path / "file")
    with pytest.raises(InputError, match=message) as caught:
        bench.load(tmp_path / "file")
    assert str(tmp_path / "file") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(InputError, match="no such file: nowhere"):
        bench.load("nowhere")


# ----------------------------------------------------------------- the real checkpoints

REAL = ["RN20_1616-128", "RN56_1212-72", "RN56_ORG", "SHUFFLENETV2_CSG"]


@pytest.mark.whole
@pytest.mark.shared
def test_the_authors_checkpoints_reach_the_accuracy_of_the_authors_code(shared: Path) -> None:
    """All of them, so that the images are decoded once; `bench evaluate` is tested with one."""
    facts = json.loads((shared / "reference/csg-authors/checkpoints.json").read_text())
    data = find_dataset(f"parquet:{shared / 'data/cifar10-jpeg'}").decode(Path(), download=False)
    assert facts.keys() == set(REAL)
    for name in REAL:
        path = shared / "reference/csg-authors" / f"{name}.t7"
        inputs = network_file.read(path).description.model.inputs
        assert inputs is not None
        batches = InOrder(data.test, Normalise.from_inputs(inputs))
        scores = evaluate(bench.load(path), batches, find_task("classification").task, 10)
        assert scores["top1"] == pytest.approx(facts[name]["top1_percent_on_cifar10_jpeg_test"], abs=0.05), name


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize("name", REAL)
def test_the_authors_checkpoints_give_the_authors_logits(name: str, shared: Path) -> None:
    folder = shared / "reference" / "csg-authors"
    expected = load_file(folder / "logits.safetensors")
    facts = json.loads((folder / "checkpoints.json").read_text())[name]
    path = folder / f"{name}.t7"
    network = bench.load(path)
    description = network_file.read(path).description
    assert description.model.inputs is not None
    normalise = Normalise.from_inputs(description.model.inputs)
    with torch.inference_mode():
        logits = network(normalise(expected["images_uint8"]))
        again = artifact.build(network_file.read(path), path).finish()(normalise(expected["images_uint8"]))
    assert (logits - expected[f"logits.{name}"]).abs().max() < 1e-4
    assert (again - expected[f"logits.{name}"]).abs().max() < 1e-4
    assert count.stored_values(network) == facts["stored_parameters"]
    assert description.epochs == facts["epoch"] + 1
