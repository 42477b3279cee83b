"""`bench export`: the network as it is deployed, with its kernels computed, in a format that others read."""

import importlib
import io
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from packaging.version import Version
from torch import Tensor, nn

from bench import count
from bench.errors import MALFORMED, InputError, first_line
from bench.files import artifact, network_file
from bench.files.artifact import NOTHING, Given
from bench.files.description import Description, Step
from bench.measure.same_outputs import LARGEST_DIFFERENCE, relative_difference
from bench.method import Compressed
from bench.models._build import build_network
from bench.plugins.networks import ModelChoice

# Two at least: torch.export takes a batch of one for a constant.
_CHECKED_IMAGES = 8
# Before, the exporter that traces through dynamo fails with onnxscript as it is now; since then, the other warns.
_EXPORTS_BY_DYNAMO = Version("2.9")
_DEFAULT_SIZE = 32  # where an artifact doesn't say what images it was trained on


@dataclass(frozen=True)
class Format:
    """`write(network, example, path, description, chosen)` writes the file; `run(path, images, given)` gives its
    outputs."""

    ending: str
    write: Callable[[nn.Module, Tensor, Path, Description, ModelChoice], None]
    run: Callable[[Path, Tensor, Given], Tensor]


def export(
    path: Path,
    to: str,
    out: Path | None = None,
    given: Given = NOTHING,
    force: bool = False,
) -> dict[str, Any]:
    """Write the deployed network in the format `to` and check the file: read back, it must give the same outputs.

    `out` is by default the name of the run or checkpoint in the current folder. Returns what was written: its path, the
    values that it stores, its bytes, those of `path`, and the largest difference of a logit relative to the largest
    logit. Nothing is left behind where the check fails; a file that is there already is replaced with `force` alone.
    Raises InputError.
    """
    path = network_file.locate(path)
    saved = network_file.read(path)
    chosen = artifact.find_model(saved.description.model, path, given)
    compressed = artifact.build(saved, path, given)
    images = _images(saved.description)
    with torch.inference_mode():
        expected = compressed.network(images)
    compact_values = count.stored_values(compressed.network)
    deployed = compressed.finish().eval()
    deployed = deployed.to(memory_format=torch.contiguous_format)  # what other programs expect
    *before, last = saved.description.steps
    description = replace(saved.description, steps=(*before, replace(last, structure=compressed.structure())))
    form = FORMATS[to]
    target = (out or Path(network_file.name(path).removesuffix(path.suffix) + form.ending)).absolute()
    if target.is_dir() or not target.parent.is_dir():
        raise InputError(f"--out can't be {out}; give a file in a folder that is there")
    others = {other.ending: name for name, other in FORMATS.items() if name != to}
    if target.suffix in others and target.suffix != form.ending:
        raise InputError(
            f"--out can't be {out}: that is the ending of --to {others[target.suffix]}, and {to} was asked for"
        )
    if target.is_symlink() and not force:
        raise InputError(f"--out can't be {out}: it is a link, which would be replaced; give another --out, or --force")
    if target.exists() and not target.is_file():
        raise InputError(f"--out can't be {out}: it is there and is no file")
    if target.exists() and (target.samefile(path) or not force):
        raise InputError(f"{target} is there already; give another --out, or --force")

    try:
        with tempfile.TemporaryDirectory(prefix=".export-", dir=target.parent) as folder:
            unchecked = Path(folder) / target.name
            form.write(deployed, images, unchecked, description, chosen)
            difference = relative_difference(form.run(unchecked, images, given), expected)
            if not difference <= LARGEST_DIFFERENCE:
                raise InputError(f"{target} is not written: the {to} file's outputs are off by {difference:.2g}")
            unchecked.replace(target)
    except InputError:
        raise
    except MALFORMED as error:
        raise InputError(f"{path} can't be exported to {to}: {first_line(error)}") from error
    except OSError as error:
        raise InputError(f"can't write {target}: {error.strerror or error}; give another --out") from error
    return {
        "path": str(out or target.name),
        "format": to,
        "stored_values": count.stored_values(deployed),
        "bytes": target.stat().st_size,
        "compact_values": compact_values,
        "compact_bytes": path.stat().st_size,
        "difference": difference,
    }


def _images(description: Description) -> Tensor:
    """Standardised images, or what looks like them."""
    inputs = description.model.inputs
    height, width = (inputs.height, inputs.width) if inputs is not None else (_DEFAULT_SIZE, _DEFAULT_SIZE)
    shape = (_CHECKED_IMAGES, description.model.channels, height, width)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def _write_dense(network: nn.Module, images: Tensor, path: Path, description: Description, chosen: ModelChoice) -> None:
    """As an artifact again: of the plain network where it is one, else of the method that changed its layers, with the
    structure that these have once deployed."""
    plain = build_network(chosen.model, description.model.channels, description.model.classes, seed=0)
    if _shapes(network) == _shapes(plain):
        description = replace(description, steps=(Step("dense", {}, {}),))
    path.write_bytes(artifact.pack(Compressed(network), description))


def _run_dense(path: Path, images: Tensor, given: Given) -> Tensor:
    with torch.inference_mode():
        outputs: Tensor = artifact.load(path, given).network(images)
    return outputs


def _write_onnx(network: nn.Module, images: Tensor, path: Path, description: Description, chosen: ModelChoice) -> None:
    _need("onnx", "onnxscript", "onnxruntime")
    names: dict[str, Any] = {"input_names": ["images"], "output_names": ["logits"]}
    if Version(torch.__version__) < _EXPORTS_BY_DYNAMO:
        axes = {"images": {0: "batch"}, "logits": {0: "batch"}}
        content: Any = io.BytesIO()
        torch.onnx.export(network, (images,), content, dynamo=False, dynamic_axes=axes, **names)
        path.write_bytes(content.getvalue())
        return
    shapes = ({0: torch.export.Dim("batch", min=1)},)
    program = torch.onnx.export(network, (images,), dynamo=True, dynamic_shapes=shapes, verbose=False, **names)
    assert program is not None
    path.write_bytes(program.model_proto.SerializeToString())


def _run_onnx(path: Path, images: Tensor, given: Given) -> Tensor:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"images": images.numpy()})
    return torch.from_numpy(logits)


def _write_pt2(network: nn.Module, images: Tensor, path: Path, description: Description, chosen: ModelChoice) -> None:
    with torch.no_grad():
        program = torch.export.export(network, (images,), dynamic_shapes=({0: torch.export.Dim("batch", min=1)},))
    # By way of memory: torch's own writer ends the process where the disk is full.
    content = io.BytesIO()
    torch.export.save(program, content)
    path.write_bytes(content.getvalue())


def _run_pt2(path: Path, images: Tensor, given: Given) -> Tensor:
    # From a stream: of a path torch wants a certain ending.
    with torch.inference_mode(), path.open("rb") as file:
        outputs: Tensor = torch.export.load(file).module()(images)
    return outputs


FORMATS = {
    "dense": Format("-dense.safetensors", _write_dense, _run_dense),
    "onnx": Format(".onnx", _write_onnx, _run_onnx),
    "pt2": Format(".pt2", _write_pt2, _run_pt2),
}


def _shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    # What is stored, so that layers that share a weight are not taken for plain ones.
    return {name: tuple(tensor.shape) for name, tensor in count.stored_tensors(network).items()}


def _need(*packages: str) -> None:
    for package in packages:
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise InputError(f"--to onnx needs the package {package}: pip install 'csg-bench[onnx]'") from error
