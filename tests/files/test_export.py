"""Exported networks: read back they give the same outputs, and they hold what is said."""

import ast
import errno
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import onnx
import pytest
import torch
from conftest import HALVES, images, write_artifact
from onnx import numpy_helper
from safetensors.torch import save_file

import bench
from bench import count, testing
from bench.errors import BudgetError, InputError
from bench.files import artifact, network_file
from bench.files.artifact import Given
from bench.files.description import Description, Step
from bench.files.export import ENDINGS, FORMATS, export
from bench.generated import GeneratedNetwork
from bench.method import Compressed
from bench.methods.csg.generator import SliceNetwork
from bench.plan.method_choice import find_methods
from bench.plugins import discovery, networks
from bench.store.store import WEIGHTS

CSG = {"tiling": "view", "slice": (12, 12), "code": 5}
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "exported-files.md"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a csg run."""
    folder = tmp_path / "csg-2x-seed0-abc"
    folder.mkdir()
    write_artifact(folder / WEIGHTS, CSG)
    return folder


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the same network as artifact, onnx and pt2, each called `network`. Do not write to it."""
    folder = tmp_path_factory.mktemp("exported")
    write_artifact(folder / WEIGHTS, CSG)
    for to in ("onnx", "pt2"):
        export(folder / WEIGHTS, to, folder / f"network.{to}")
    return folder


def write(path: Path, compressed: Compressed, model: str, method: str) -> None:
    """An artifact of this network."""
    step = Step(method, {}, compressed.structure())
    description = Description(artifact.describe_model(networks.find(model), 3, 10), (step,))
    path.write_bytes(artifact.pack(compressed, description))


def outputs(run: Path) -> torch.Tensor:
    with torch.inference_mode():
        logits: torch.Tensor = bench.load(run)(images())
    return logits


def test_dense_is_an_artifact_of_the_plain_network(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    written = export(run, "dense", out)
    network = bench.load(out)
    plain = testing.network("resnet8")
    assert network.state_dict().keys() == plain.state_dict().keys()
    assert type(network) is type(plain)
    with torch.inference_mode():
        assert torch.allclose(network(images()), outputs(run), atol=1e-5)
    assert written["stored_values"] == count.stored_values(plain) == 75_290
    assert written["compact_values"] == count.stored_values(bench.load(run))
    assert written["bytes"] == out.stat().st_size
    again = export(out, "dense", tmp_path / "again.safetensors")
    assert again["stored_values"] == 75_290


@pytest.mark.slow
def test_onnx_gives_the_same_outputs_for_any_batch(run: Path, tmp_path: Path) -> None:
    """From the artifact to dense to ONNX; every value of the network is inside the one file."""
    import onnxruntime

    export(run, "dense", tmp_path / "dense.safetensors")
    export(tmp_path / "dense.safetensors", "onnx", tmp_path / "network.onnx")
    assert {path.name for path in tmp_path.iterdir()} == {run.name, "dense.safetensors", "network.onnx"}
    onnx.checker.check_model(str(tmp_path / "network.onnx"))
    session = onnxruntime.InferenceSession(tmp_path / "network.onnx")
    assert session.get_inputs()[0].shape == ["batch", 3, "height", "width"]
    larger = torch.randn(2, 3, 40, 56)
    with torch.inference_mode():
        cases = [(images()[:1], outputs(run)[:1]), (images()[:3], outputs(run)[:3]), (larger, bench.load(run)(larger))]
    for given, expected in cases:
        (logits,) = session.run(None, {"images": given.numpy()})
        assert (torch.from_numpy(logits) - expected).abs().max() < 1e-4


@pytest.mark.slow
@pytest.mark.xdist_group("exports of a run")
def test_pt2_gives_the_same_outputs_for_any_batch(exported: Path) -> None:
    network = torch.export.load(exported / "network.pt2").module()
    for batch in (1, 3):
        assert torch.allclose(network(images()[:batch]), outputs(exported)[:batch], atol=1e-5)
    larger = torch.randn(2, 3, 40, 56)
    with torch.inference_mode():
        assert torch.allclose(network(larger), bench.load(exported)(larger), atol=1e-5)


@pytest.mark.parametrize("to", ["onnx", "onnx-int8", "pt2", "pt2-compact"])
def test_of_several_outputs_the_main_one_is_exported(to: str, tmp_path: Path) -> None:
    write_artifact(tmp_path / WEIGHTS, {"code": 4}, "deeplabv3-resnet8")
    written = export(tmp_path, to, tmp_path / "exported")
    assert written["free"] == "batch, height, width"
    network, images = bench.load(tmp_path / WEIGHTS), torch.randn(3, 3, 48, 40)
    opened = FORMATS[to].open(tmp_path / "exported")
    with torch.inference_mode():
        expected, found = network(images)["out"], opened.network(images)
    assert found.shape == (3, 10, 48, 40)
    assert (found - expected).abs().max() < (0.1 if to == "onnx-int8" else 1e-4) * expected.abs().max()


@pytest.mark.whole
@pytest.mark.parametrize("model", testing.FAMILIES)
@pytest.mark.parametrize("to", ["onnx", "pt2", "pt2-compact"])
def test_every_family_is_exported(model: str, to: str, tmp_path: Path) -> None:
    write_artifact(tmp_path / WEIGHTS, {"code": 4}, model)
    written = export(tmp_path, to, tmp_path / "exported")
    assert written["difference"] < 1e-4
    assert written["free"] == "batch, height, width"


# Those that leave layers as they are give the graph of the dense network; these two change it most.
@pytest.mark.slow
@pytest.mark.parametrize(("method", "to"), [("gcnn", "pt2-compact"), ("lowrank", "onnx-half"), ("separable", "pt2")])
def test_a_method_s_network_is_exported(method: str, to: str, tmp_path: Path) -> None:
    _exported(method, "resnet8", to, tmp_path)


@pytest.mark.whole
@pytest.mark.parametrize("model", testing.FAMILIES)
@pytest.mark.parametrize("method", discovery.available("methods"))
@pytest.mark.parametrize("to", [name for name in ENDINGS if name != "dense"])
def test_every_method_s_network_is_exported(method: str, model: str, to: str, tmp_path: Path) -> None:
    _exported(method, model, to, tmp_path)


def _exported(method: str, model: str, to: str, folder: Path) -> None:
    """Compressed, written as an artifact, and exported, which checks its outputs."""
    (choice,) = find_methods([method])
    values = count.stored_values(testing.network(model)) // 4 if choice.method.sized_by_budget else None
    try:
        compressed = testing.compress(choice.method, model, values)
    except BudgetError as error:
        pytest.skip(str(error))
    write(folder / WEIGHTS, compressed, model, method)
    is_generated = isinstance(compressed.network, GeneratedNetwork)
    if to == "pt2-compact" and not is_generated:
        with pytest.raises(InputError, match="--to pt2-compact is for networks whose kernels are computed from"):
            export(folder, to, folder / "exported")
        return
    written = export(folder, to, folder / "exported")
    assert written["difference"] < (0.5 if to == "onnx-int8" else 0.01 if to == "onnx-half" else 1e-4)
    assert written["bytes"] == (folder / "exported").stat().st_size


@pytest.mark.slow
def test_kernels_of_a_compact_file_are_computed_by_torch_alone(tmp_path: Path) -> None:
    """By the lines in docs/exported-files.md, in a process that can't import bench: the same outputs as the artifact's,
    nearly its size, and once loaded the dense network's values and no others."""
    method = discovery.find(discovery.METHODS, "csg").build(None, {})
    compressed = testing.compress(method, "resnet20", count.stored_values(testing.network("resnet20")) // 8)
    compressed.network(images())  # statistics of batch norm
    write(tmp_path / WEIGHTS, compressed, "resnet20", "csg")
    written = export(tmp_path, "pt2-compact", tmp_path / "small.pt2")
    assert written["bytes"] < 1.1 * (tmp_path / WEIGHTS).stat().st_size
    assert written["bytes"] < 0.16 * 4 * count.stored_values(testing.network("resnet20"))
    save_file({"images": images(), "logits": outputs(tmp_path)}, tmp_path / "expected.safetensors")
    (lines,) = re.findall(r"```python\n(from operator .*?)```", DOCUMENT.read_text(), flags=re.DOTALL)
    check = """
import sys
sys.modules["bench"] = None
from safetensors.torch import load_file
network, expected = load("small.pt2"), load_file("expected.safetensors")
with torch.inference_mode():
    assert torch.allclose(network(expected["images"]), expected["logits"], atol=1e-5)
    network(expected["images"][:1])
print(sum(value.numel() for value in [*network.parameters(), *network.buffers()]))
print({node.target.__name__.split(".")[0] for node in network.graph.nodes if node.op == "call_function"})
"""
    arguments = [sys.executable, "-P", "-c", lines + check]
    ended = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, check=True)
    values, operators = ended.stdout.splitlines()
    plain = bench.load(tmp_path).materialise()
    assert isinstance(plain, torch.nn.Module)
    stored = {**count.stored_tensors(plain), **count.statistics(plain)}
    assert int(values) == sum(value.numel() for value in stored.values())
    assert {"conv2d", "batch_norm", "linear"} <= ast.literal_eval(operators)
    assert not {"matmul", "index_select", "cumsum", "permute", "split_with_sizes"} & ast.literal_eval(operators)


@pytest.mark.slow
@pytest.mark.xdist_group("exports of a run")
def test_int8_weights_are_the_network_s_to_half_a_step(exported: Path, tmp_path: Path) -> None:
    """A step is a 127th of the largest weight of an output. What the file takes and gives stays float32."""
    written = export(exported, "onnx-int8", tmp_path / "int8.onnx")
    plain, model = (onnx.load(path) for path in (exported / "network.onnx", tmp_path / "int8.onnx"))
    weights, parts = (
        {own.name: numpy_helper.to_array(own) for own in each.graph.initializer} for each in (plain, model)
    )
    layers = [node.input[1] for node in plain.graph.node if node.op_type in ("Conv", "Gemm")]
    assert len(layers) == 8  # seven convolutions and the classifier
    for name in layers:
        weight, whole, scale = weights[name], parts[f"{name}.int8"], parts[f"{name}.scale"]
        rows = weight.reshape(len(weight), -1)
        assert whole.dtype == "int8"
        assert scale == pytest.approx(abs(rows).max(1) / 127, rel=1e-6)
        restored = whole.reshape(rows.shape) * scale[:, None]
        assert (abs(restored - rows) <= 0.5001 * scale[:, None]).all()
    assert "weights in int8 are a further step after csg:" in written["note"]
    assert 0 < written["difference"] < 0.2
    assert written["bytes"] < (exported / "network.onnx").stat().st_size / 3


@pytest.mark.slow
@pytest.mark.xdist_group("exports of a run")
def test_no_file_names_folders_of_this_machine(exported: Path) -> None:
    names = [str(Path(package.__file__).parent).encode() for package in (bench, torch) if package.__file__]
    for to in ("onnx", "pt2"):
        path = exported / f"network.{to}"
        content = path.read_bytes()
        if to == "pt2":
            with zipfile.ZipFile(path) as file:
                content = b"".join(map(file.read, file.namelist()))
        assert b"stage1" in content  # or nothing was looked at
        assert not [name for name in names if name in content]
        assert b".py" not in content


def test_a_network_of_changed_layers_keeps_its_method(tmp_path: Path) -> None:
    method = discovery.find(discovery.METHODS, "lowrank").build(None, {})
    compressed = testing.compress(method, "resnet8", 30_000, trained=True)
    write(tmp_path / WEIGHTS, compressed, "resnet8", "lowrank")
    written = export(tmp_path, "dense", tmp_path / "out.safetensors")
    assert written["stored_values"] == count.stored_values(compressed.network)
    assert network_file.read(tmp_path / "out.safetensors").description.methods == "lowrank"


@pytest.mark.slow
def test_by_default_it_is_named_after_the_run_in_the_current_folder(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run.parent)
    assert export(run, "dense")["path"] == "csg-2x-seed0-abc-dense.safetensors"
    assert export(Path("csg-2x-seed0-abc-dense.safetensors"), "pt2")["path"] == "csg-2x-seed0-abc-dense.pt2"


def test_what_does_not_match_is_not_written(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out.safetensors"
    out.write_text("what was there before")
    monkeypatch.setattr(SliceNetwork, "finish", _broken)
    with pytest.raises(InputError, match="is not written: the dense file's outputs are off by"):
        export(run, "dense", out, force=True)
    assert out.read_text() == "what was there before"
    assert {path.name for path in tmp_path.iterdir()} == {run.name, "out.safetensors"}


def _broken(compressed: Compressed) -> torch.nn.Module:
    deployed = Compressed.finish(compressed)
    with torch.no_grad():
        deployed.get_parameter("classifier.bias").add_(1)
    return deployed


def test_bad_targets_are_named(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    precious = tmp_path / "precious.txt"
    precious.write_text("precious")
    for out, message in [
        (run / WEIGHTS, "weights.safetensors exists already; give another --out, or --force"),
        (precious, "precious.txt exists already; give another --out, or --force"),
        (tmp_path / "none" / "out", "--out can't be .*none/out; give a file in a folder that is there"),
        (run, "--out can't be .*; give a file in a folder that is there"),
        (Path(), r"--out can't be \.; give a file"),
    ]:
        with pytest.raises(InputError, match=message):
            export(run, "dense", out)
    with pytest.raises(InputError, match="exists already"):
        export(run, "dense", run / WEIGHTS, force=True)  # its own input never
    assert precious.read_text() == "precious"
    assert export(run, "dense", precious, force=True)["bytes"] == precious.stat().st_size
    assert {path.name for path in tmp_path.iterdir()} == {run.name, "precious.txt"}


@pytest.mark.slow
def test_a_plugin_that_changes_layers_is_exported(tmp_path: Path) -> None:
    method = discovery.find(discovery.METHODS, "halves", [HALVES]).build(None, {})
    write(tmp_path / WEIGHTS, testing.compress(method, "resnet20", None), "resnet20", "halves")
    for to in ("dense", "pt2"):
        assert export(tmp_path, to, tmp_path / to, Given([HALVES]))["difference"] < 1e-5


def test_a_missing_package_is_named(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    with pytest.raises(InputError, match=r"needs the package onnxscript: pip install 'csg-bench\[onnx\]'"):
        export(run, "onnx", tmp_path / "out.onnx")
    assert json.dumps([path.name for path in tmp_path.iterdir()]) == json.dumps([run.name])


@pytest.mark.slow
@pytest.mark.parametrize("to", ["dense", "onnx", "pt2"])
def test_a_full_disk_is_one_line_and_leaves_the_old_file(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str
) -> None:
    target = tmp_path / "target"
    target.write_text("old")

    def full(self: Path, content: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InputError, match=r"can't write .*target: No space left on device; give another --out"):
        export(run, to, target, force=True)
    assert target.read_text() == "old"
    assert {path.name for path in tmp_path.iterdir()} == {run.name, "target"}


@pytest.mark.whole
@pytest.mark.parametrize("to", ["dense", "onnx", "pt2"])
def test_a_really_full_disk(run: Path, tmp_path: Path, to: str) -> None:
    """The C++ of torch ended the process there, so in one of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("can't mount a small disk here")
    try:
        arguments = [sys.executable, "-m", "bench.cli", "export", run, "--to", to, "--out", disk / "target.pt2"]
        ended = subprocess.run(arguments, capture_output=True, text=True)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert ended.stderr.startswith(f"bench: can't write {disk}/target.pt2: No space left on device")
        assert ended.stderr.count("\n") == 1
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.slow
def test_any_ending_will_do(run: Path, tmp_path: Path) -> None:
    found = export(run, "pt2", tmp_path / "mine.net")
    assert found["bytes"] == (tmp_path / "mine.net").stat().st_size


@pytest.mark.slow
@pytest.mark.parametrize(
    "method", ["gcnn", "gcnn:group=p4", "sharing", "separable", "crelu", "width", "hyper", "sparse"]
)
def test_every_method_s_network_is_exported_as_an_artifact(method: str, tmp_path: Path) -> None:
    """Also where it is narrower, as sharing's at 16x, and where its layers are others, as those of gcnn."""
    plain = testing.network("resnet8")
    (choice,) = find_methods([method])
    compressed = testing.compress(choice.method, "resnet8", count.stored_values(plain) // 16)
    path, out = tmp_path / "run.safetensors", tmp_path / "dense.safetensors"
    description = Description(artifact.describe_model(networks.find("resnet8"), 3, 10), (choice.step(compressed),))
    path.write_bytes(artifact.pack(compressed, description))
    expected = outputs(path)
    written = export(path, "dense", out)
    assert torch.allclose(outputs(out), expected, atol=1e-5)
    deployed = count.stored_values(compressed.finish())
    assert written["stored_values"] == count.stored_values(bench.load(out)) == deployed
    # It can be exported again.
    assert export(out, "dense", tmp_path / "again.safetensors")["stored_values"] == deployed
