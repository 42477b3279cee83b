"""`bench export`: writes the deployed network in a format for other programs, and checks the file before it gets its
name."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from bench import count
from bench.errors import MALFORMED, InputError, first_line
from bench.files import artifact, network_file
from bench.files.artifact import NOTHING, Given, Saved
from bench.files.description import Step
from bench.files.exports import onnx_file, onnx_reduced, pt2_compact, pt2_file
from bench.files.exports.about import About
from bench.files.exports.opened import Opened
from bench.measure.main_output import MainOutput, main_output
from bench.measure.same_outputs import LARGEST_DIFFERENCE, relative_difference
from bench.method import Compressed
from bench.models._build import build_network
from bench.plugins import options
from bench.plugins.networks import ModelChoice
from bench.store.predictions import decode_predictions
from bench.store.store import PREDICTIONS, WEIGHTS, Damaged, Store

# At least two: torch.export takes a batch of one for a constant.
_CHECKED_IMAGES = 8
_DEFAULT_SIZE = 32  # for an artifact that doesn't name the size of its training images
# A file for any image size is checked on images that are larger by this height and width.
_LARGER = (32, 64)
ARTIFACT = "dense"
# A compact file with more than this many times the artifact's bytes gives a note. The places of values in hashing
# follow no pattern, those of csg's tiling do.
_NOT_COMPACT = 1.5


@dataclass(frozen=True)
class Format:
    """One format. `write(network, images, any_size)` gives the content of the file, `says` adds a description to it,
    and `open` reads it.

    `reduce`, if there is one, is a further step that changes outputs and leaves weights in `precision`. A `compact`
    file holds the network as stored; the others hold the network as deployed.
    """

    ending: str
    write: Callable[[nn.Module, Tensor, bool], bytes]
    says: Callable[[bytes, About], bytes]
    open: Callable[[Path], Opened]
    reduce: Callable[[bytes], bytes] | None = None
    precision: Literal["float32", "float16", "int8"] = "float32"
    compact: bool = False


_ONNX = Format(".onnx", onnx_file.write, onnx_file.with_about, onnx_file.open_file)
_PT2 = Format(".pt2", pt2_file.write, pt2_file.with_about, pt2_file.open_file)
FORMATS = {
    "onnx": _ONNX,
    "onnx-half": replace(_ONNX, ending="-half.onnx", reduce=onnx_reduced.half, precision="float16"),
    "onnx-int8": replace(_ONNX, ending="-int8.onnx", reduce=onnx_reduced.int8, precision="int8"),
    "pt2": _PT2,
    "pt2-compact": replace(_PT2, ending="-compact.pt2", write=pt2_compact.write, compact=True),
}
ENDINGS = {ARTIFACT: "-dense.safetensors", **{name: form.ending for name, form in FORMATS.items()}}


@dataclass(frozen=True)
class Written:
    """An exported file. `difference` is the largest difference of a logit between file and network, relative to the
    largest logit. It is measured over several batches, and over several image sizes if the file takes any size."""

    path: Path
    format: str
    bytes: int
    difference: float
    about: About

    def notes(self, stored_bytes: int | None = None) -> list[str]:
        """Notes for people on common wrong expectations about the file. `stored_bytes` is the size of the artifact."""
        notes = []
        form = FORMATS[self.format]
        if not form.compact and form.reduce is None and (larger := self.about.not_smaller(stored_bytes, self.bytes)):
            notes.append(larger)
        if form.compact and stored_bytes is not None and self.bytes > _NOT_COMPACT * stored_bytes:
            notes.append(
                f"a kernel's values lie in places without a pattern, which can't be compressed: the file has "
                f"{self.bytes:,} bytes, the artifact {stored_bytes:,}"
            )
        if self.about.precision != "float32":
            notes.append(
                f"weights in {self.about.precision} are a further step after {self.about.method}: outputs differ by "
                f"up to {100 * self.difference:.2g} % of the largest; bench evaluate tells how much accuracy this costs"
            )
        return notes


def export(
    path: Path,
    to: str,
    out: Path | None = None,
    given: Given = NOTHING,
    force: bool = False,
) -> dict[str, Any]:
    """Write the deployed network in the format `to` and check that the file gives the same outputs.

    `out` is by default the name of the run or checkpoint in the current folder. Returns the path, the number of stored
    values, the bytes of the file and of `path`, and the largest difference of a logit relative to the largest logit. If
    the check fails, no file is left. An existing file is only replaced with `force`. Raises InputError.
    """
    path = network_file.locate(path)
    saved = network_file.read(path)
    chosen = artifact.find_model(saved.description.model, path, given)
    compressed = artifact.build(saved, path, given)
    compact_values = count.stored_values(compressed.network)
    out = out or Path(network_file.name(path).removesuffix(path.suffix) + ENDINGS[to])
    check_target(out, to, force, path)
    if to == ARTIFACT:
        row = _export_artifact(saved, chosen, compressed, out, given)
    else:
        deployed = _deployed(artifact.build(saved, path, given))
        about = _about(saved, chosen, path, given, compact_values, count.stored_values(deployed))
        written = export_network(deployed, about, to, out, force, compressed.network)
        notes = written.notes(path.stat().st_size)
        row = {
            "stored_values": compact_values if FORMATS[to].compact else about.deployed_values,
            "bytes": written.bytes,
            "free": ", ".join(written.about.free),
            **({} if about.class_names else {"class_names": "none; --dataset, or the folder of a run, has them"}),
            "difference": written.difference,
            **({"note": "; ".join(notes)} if notes else {}),
        }
    compact_row = {"compact_values": compact_values, "compact_bytes": path.stat().st_size}
    return {"path": str(out), "format": to, **row, **compact_row}


def export_network(
    deployed: nn.Module, about: About, to: str, out: Path, force: bool = False, stored: nn.Module | None = None
) -> Written:
    """Write a network, in eval mode on the CPU, to the file `out` in one of FORMATS.

    `about` is the description for the file; this function fills in `free` and `precision`. `stored` is the network
    before it was finished. A compact file holds it, and the outputs of every file are compared with its outputs. If
    they differ, no file is left. Raises InputError.
    """
    form = FORMATS[to]
    check_target(out, to, force)
    stored = deployed if stored is None else stored
    network = stored if form.compact else deployed
    images = _images(about.channels, about.height, about.width)
    checked = list(_checked(stored, images))
    if not form.compact:
        network = _with_one_output(network, images)
    for any_size in (True, False) if len(checked) > 2 else (False,):
        free: tuple[Literal["batch", "height", "width"], ...] = ("batch", "height", "width") if any_size else ("batch",)
        says = replace(about, free=free, precision=form.precision, accuracy=None)
        cases = checked if any_size else checked[:2]
        try:
            with _written_beside(out) as unchecked:
                content = form.write(network, images, any_size)
                unchecked.write_bytes(form.says(content, says))
                difference = _difference(form.open(unchecked), cases)
                if not difference <= LARGEST_DIFFERENCE:
                    raise InputError(f"{out} is not written: the {to} file's outputs are off by {difference:.2g}")
                if form.reduce is not None:
                    unchecked.write_bytes(form.says(form.reduce(content), says))
                    difference = _difference(form.open(unchecked), cases)
                    if not difference < torch.inf:
                        raise InputError(f"{out} is not written: outputs in {form.precision} are not finite")
            return Written(out, to, out.stat().st_size, difference, says)
        except (*MALFORMED, InputError) as error:
            if any_size:
                continue  # next try: only the size of the training images, since some layers take no other
            if isinstance(error, InputError):
                raise
            raise InputError(f"{about.network} can't be exported to {to}: {first_line(error)}") from error
    raise AssertionError("the last try returns or raises")


def say(path: Path, about: About) -> None:
    """Replace the description in an exported file; its graph stays as it is. Raises InputError."""
    form = _PT2 if path.read_bytes()[:2] == b"PK" else _ONNX
    content = form.says(path.read_bytes(), about)
    with _written_beside(path) as unchecked:
        unchecked.write_bytes(content)


def check_target(out: Path, to: str, force: bool, source: Path | None = None) -> None:
    """Raises InputError if a file can't be written there or would replace another that it should not replace."""
    target = out.absolute()
    if target.is_dir() or not target.parent.is_dir():
        raise InputError(f"--out can't be {out}; give a file in a folder that is there")
    others: dict[str, str] = {}
    for name, ending in ENDINGS.items():
        others.setdefault(Path(f"x{ending}").suffix, name)
    if target.suffix in others and target.suffix != Path(f"x{ENDINGS[to]}").suffix:
        raise InputError(f"--out can't be {out}: that ending belongs to --to {others[target.suffix]}, not to {to}")
    if target.is_symlink() and not force:
        raise InputError(f"--out can't be {out}: it is a link; give another --out, or --force to replace it")
    if target.exists() and not target.is_file():
        raise InputError(f"--out can't be {out}: it exists and is not a file")
    if target.exists() and (not force or (source is not None and target.samefile(source))):
        raise InputError(f"{target} exists already; give another --out, or --force")


@contextmanager
def _written_beside(out: Path) -> Iterator[Path]:
    """A path to write to, which is renamed to `out` at the end unless the block raises. Raises InputError if the disk
    refuses."""
    target = out.absolute()
    try:
        with tempfile.TemporaryDirectory(prefix=".export-", dir=target.parent) as folder:
            unchecked = Path(folder) / target.name
            yield unchecked
            unchecked.replace(target)
    except OSError as error:
        raise InputError(f"can't write {target}: {error.strerror or error}; give another --out") from error


def _checked(network: nn.Module, images: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Images to check a file with, and the network's outputs: two batches, and a batch of larger images if the network
    takes them."""
    with torch.inference_mode():
        whole = main_output(network(images))
        yield images, whole
        yield images[:1], main_output(network(images[:1]))
        (height, width), (more_height, more_width) = images.shape[2:], _LARGER
        larger = _images(images.shape[1], height + more_height, width + more_width)[:3]
        try:
            outputs = main_output(network(larger))
        except MALFORMED:
            return
        if outputs.shape[:2] == (len(larger), whole.shape[1]) and outputs.ndim == whole.ndim:
            yield larger, outputs


def _with_one_output(network: nn.Module, images: Tensor) -> nn.Module:
    """The network, wrapped if it gives more than one tensor."""
    with torch.inference_mode():
        return network if isinstance(network(images[:1]), Tensor) else MainOutput(network).eval()


def _difference(opened: Opened, cases: list[tuple[Tensor, Tensor]]) -> float:
    with torch.inference_mode():
        found = [relative_difference(opened.network(images), expected) for images, expected in cases]
    # Not max() alone: it may skip NaN.
    return max(found) if all(number == number for number in found) else torch.nan


def _images(channels: int, height: int, width: int) -> Tensor:
    """Random images, which look like standardised ones in shape and range."""
    return torch.randn((_CHECKED_IMAGES, channels, height, width), generator=torch.Generator().manual_seed(0))


def _deployed(compressed: Compressed) -> nn.Module:
    # other programs expect this memory format
    return compressed.finish().eval().to(memory_format=torch.contiguous_format)


def _about(
    saved: Saved, chosen: ModelChoice, path: Path, given: Given, stored_values: int, deployed_values: int
) -> About:
    """The description for the file of a network from an artifact."""
    model = saved.description.model
    inputs = model.inputs
    height, width = _size(saved)
    steps = (options.write(step.method, artifact.find_method(step, path, given)) for step in saved.description.steps)
    return About(
        network=model.text,
        method="+".join(steps),
        channels=model.channels,
        height=height,
        width=width,
        classes=model.classes,
        stored_values=stored_values,
        deployed_values=deployed_values,
        dense_values=count.stored_values(build_network(chosen.model, model.channels, model.classes, seed=0)),
        mean=None if inputs is None else tuple(inputs.mean),
        deviation=None if inputs is None else tuple(inputs.deviation),
        class_names=_class_names(path, model.classes),
    )


def _size(saved: Saved) -> tuple[int, int]:
    """Height and width of the network's training images."""
    inputs = saved.description.model.inputs
    return (_DEFAULT_SIZE, _DEFAULT_SIZE) if inputs is None else (inputs.height, inputs.width)


def _class_names(path: Path, classes: int) -> tuple[str, ...]:
    """The class names that the run kept beside its network; none if the file lies alone. An artifact has no names,
    since its bytes are compared between methods. Raises InputError."""
    if path.name != WEIGHTS:
        return ()
    try:
        content = Store.content(path.parent, PREDICTIONS)
        names = () if content is None else decode_predictions(content).classes
    except (Damaged, ValueError) as error:
        raise InputError(f"the names of classes can't be read: {first_line(error)}; give the file alone") from error
    return names if len(names) == classes else ()


def _export_artifact(
    saved: Saved, chosen: ModelChoice, compressed: Compressed, out: Path, given: Given
) -> dict[str, Any]:
    """Write the deployed network as an artifact. A network without changed layers is written as a dense one. Any other
    keeps its method, with the structure of its layers as deployed."""
    model = saved.description.model
    images = _images(model.channels, *_size(saved))
    with torch.inference_mode():
        expected = compressed.network(images)
    deployed = _deployed(compressed)
    *before, last = saved.description.steps
    description = replace(saved.description, steps=(*before, replace(last, structure=compressed.structure())))
    plain = build_network(chosen.model, model.channels, model.classes, seed=0)
    if _shapes(deployed) == _shapes(plain):
        description = replace(description, steps=(Step("dense", {}, {}),))
    try:
        with _written_beside(out) as unchecked:
            unchecked.write_bytes(artifact.pack(Compressed(deployed), description))
            with torch.inference_mode():
                difference = relative_difference(artifact.load(unchecked, given).network(images), expected)
            if not difference <= LARGEST_DIFFERENCE:
                raise InputError(f"{out} is not written: the dense file's outputs are off by {difference:.2g}")
    except InputError:
        raise
    except MALFORMED as error:
        raise InputError(f"{model.text} can't be exported to dense: {first_line(error)}") from error
    return {
        "stored_values": count.stored_values(deployed),
        "bytes": out.stat().st_size,
        "difference": difference,
    }


def _shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    # Only stored tensors: layers that share a weight must not count as plain ones.
    return {name: tuple(tensor.shape) for name, tensor in count.stored_tensors(network).items()}
