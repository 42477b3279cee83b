"""ONNX files: torch writes them, and onnxruntime runs them on the CPU."""

import importlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from packaging.version import Version
from torch import Tensor, nn

from bench.errors import InputError, first_line
from bench.files.exports import about, pt2_file
from bench.files.exports.about import About
from bench.files.exports.opened import Opened, Runs

_KEY = "bench"
_AXES = ("batch", "channels", "height", "width")
# Before this version, the exporter that traces by dynamo fails with the current onnxscript. Since this version, the
# other exporter warns.
_EXPORTS_BY_DYNAMO = Version("2.9")
# With more threads, sums are added in another order. The accuracy in a file must equal that of `bench evaluate` to the
# digit.
_THREADS = 1
_QUIET = 4  # its exceptions repeat what it would print on standard error


def write(network: nn.Module, images: Tensor, any_size: bool) -> bytes:
    """The file's content, without its description. The batch size is free, and with `any_size` also the image size."""
    need("onnx", "onnxscript", "onnxruntime")
    names: dict[str, Any] = {"input_names": ["images"], "output_names": ["logits"]}
    if Version(torch.__version__) < _EXPORTS_BY_DYNAMO:
        free = {0: "batch", **({2: "height", 3: "width"} if any_size else {})}
        content: Any = io.BytesIO()
        with torch.inference_mode():
            by_pixel = network(images[:2]).ndim == images.ndim
        axes = {"images": free, "logits": free if by_pixel else {0: "batch"}}
        torch.onnx.export(network, (images,), content, dynamo=False, dynamic_axes=axes, **names)
        return _plain(parsed(content.getvalue()))
    program = pt2_file.trace(network, images, any_size)
    made = torch.onnx.export(program, (images,), dynamo=True, verbose=False, **names)
    assert made is not None
    return _plain(made.model_proto)


def _plain(model: Any) -> bytes:
    """The file without the exporter's notes, and with names for the free axes. The notes name files of this machine and
    take a tenth of a small network's bytes."""
    graph = model.graph
    for part in (*graph.node, *graph.input, *graph.output, *graph.initializer, *model.functions, graph, model):
        del part.metadata_props[:]
        part.doc_string = ""
    del graph.value_info[:]
    (images,), (logits,) = graph.input, graph.output
    names = {
        dimension.dim_param: name
        for dimension, name in zip(images.type.tensor_type.shape.dim, _AXES, strict=True)
        if dimension.dim_param
    }
    for value in (images, logits):
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param:
                dimension.dim_param = names.get(dimension.dim_param, dimension.dim_param)
    content: bytes = model.SerializeToString()
    return content


def with_about(content: bytes, says: About) -> bytes:
    """The same file with this description. The graph stays as it is."""
    model = parsed(content)
    kept = [(prop.key, prop.value) for prop in model.metadata_props if prop.key != _KEY]
    del model.metadata_props[:]
    for key, value in (*kept, (_KEY, says.text())):
        model.metadata_props.add(key=key, value=value)
    written: bytes = model.SerializeToString()
    return written


def open_file(path: Path) -> Opened:
    """The network in an ONNX file, from bench or another program. Raises InputError."""
    need("onnx", "onnxruntime")
    content = path.read_bytes()
    try:
        model = parsed(content)
    except Exception as error:  # an error of protobuf
        raise InputError(f"{path} is not an ONNX file, or is cut short: {first_line(error)}") from error
    extra = _external(model, path)
    text = next((prop.value for prop in model.metadata_props if prop.key == _KEY), None)
    try:
        says = None if text is None else about.from_text(text)
    except ValueError as error:
        raise InputError(f"{path} can't be read: {first_line(error)}") from error
    session = _session(path)
    given, gives = session.get_inputs(), session.get_outputs()
    if len(given) != 1 or len(gives) != 1:
        raise InputError(
            f"{path} takes {len(given)} inputs and gives {len(gives)} outputs; bench evaluates only a file that "
            "takes images and gives logits"
        )
    (images,), (logits,) = given, gives
    for what, value, axes in (("takes", images, (4,)), ("gives", logits, (2, 4))):
        if value.type != "tensor(float)" or len(value.shape) not in axes:
            wanted = (
                "logits (batch, classes), by pixel or not" if 2 in axes else "images (batch, channels, height, width)"
            )
            raise InputError(f"{path} {what} {value.name}, {value.type} {value.shape}, not {wanted} in float32")
    batch, *shape = (size if isinstance(size, int) else None for size in images.shape)
    classes = logits.shape[1] if isinstance(logits.shape[1], int) else None
    stored = path.stat().st_size + sum(file.stat().st_size for file in extra)

    def run(standardised: Tensor) -> Tensor:
        try:
            outputs: list[Any] = session.run([logits.name], {images.name: standardised.contiguous().numpy()})
        except Exception as error:  # onnxruntime's exceptions have no common base class
            shape = "x".join(map(str, standardised.shape))
            raise InputError(f"{path} can't be run on images of {shape}: {first_line(error)}") from error
        return torch.from_numpy(outputs[0])

    return Opened("onnx", Runs(_in_batches_of(batch, run)), says, (shape[0], shape[1], shape[2]), classes, stored)


def _session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = _THREADS
    options.log_severity_level = _QUIET
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions have no common base class
        raise InputError(f"{path} can't be run by onnxruntime: {first_line(error)}") from error


def _in_batches_of(batch: int | None, run: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """A function that runs images in batches of the one size that the file takes. The last batch is filled up with its
    last image. If the file takes any batch size, `run` itself."""
    if batch is None:
        return run

    def in_turn(images: Tensor) -> Tensor:
        parts = []
        for part in images.split(batch):
            missing = batch - len(part)
            filled = torch.cat([part, part[-1:].expand(missing, *part.shape[1:])]) if missing else part
            parts.append(run(filled)[: len(part)])
        return torch.cat(parts)

    return in_turn


def _external(model: Any, path: Path) -> list[Path]:
    """The files beside it that hold its weights. Raises InputError if it names a file outside of its folder."""
    files = set()
    folder = path.resolve().parent
    for tensor in _tensors(model):
        if tensor.data_location != tensor.EXTERNAL:
            continue
        location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
        file = (folder / location).resolve()
        if not location or not file.is_relative_to(folder):
            raise InputError(f"{path} has weights in {location[:80]!r}, outside of its folder; it is not opened")
        if not file.is_file():
            raise InputError(f"{path} has weights in {location[:80]!r}, which is missing; put it beside the file")
        files.add(file)
    return sorted(files)


def _tensors(message: Any) -> Iterator[Any]:
    """Every tensor in a file, also in attributes and inner graphs."""
    if message.DESCRIPTOR.name == "TensorProto":
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in value if field.is_repeated else [value]:
                yield from _tensors(part)


def parsed(content: bytes) -> Any:
    """A file's content as onnx parses it, without weights in other files."""
    import onnx

    return onnx.ModelProto.FromString(content)


def need(*packages: str) -> None:
    """Raises InputError if a package that ONNX needs is not installed."""
    for package in packages:
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise InputError(f"ONNX needs the package {package}: pip install 'csg-bench[onnx]'") from error
