"""pt2 files: torch.export writes them. They are only opened after they were checked part by part (`pt2_vetted`)."""

import io
import logging
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from bench.errors import MALFORMED, InputError, first_line, typed_line
from bench.files.exports import about, pt2_vetted
from bench.files.exports.about import About
from bench.files.exports.opened import Opened, Runs

_ABOUT = "bench.json"
# One date for all files, so that the same network gives the same bytes.
_DATE = (1980, 1, 1, 0, 0, 0)


def trace(network: nn.Module, images: Tensor, any_size: bool) -> ExportedProgram:
    """The network as a graph. The batch size is free, and with `any_size` also the image size if the layers allow it.
    Notes on the source code of each step are removed: they name files of this machine."""
    shapes: dict[int, Any] = {0: Dim("batch", min=1)}
    if any_size:
        shapes |= {2: Dim.AUTO, 3: Dim.AUTO}
    with torch.no_grad():
        program = torch.export.export(network, (images,), dynamic_shapes=(shapes,), strict=False)
    for module in program.graph_module.modules():
        if isinstance(module, torch.fx.GraphModule):
            for node in module.graph.nodes:
                node.meta.pop("stack_trace", None)
    return program


def write(network: nn.Module, images: Tensor, any_size: bool) -> bytes:
    """The file's content, without its description."""
    return save(trace(network, images, any_size))


def save(program: ExportedProgram) -> bytes:
    """The file of a program, without the images with which it was traced. Its entries are compressed, and torch can
    read them: the text of a graph is larger than the weights of a small network."""
    program._example_inputs = None  # the attribute: torch 2.6 refuses to set the property
    # Written to memory first: torch's own writer kills the process if the disk is full.
    content = io.BytesIO()
    torch.export.save(program, content, extra_files={_ABOUT: "{}"})
    return _written_again(content.getvalue(), {})


def with_about(content: bytes, says: About) -> bytes:
    """The same file with this description. Everything else stays as it is."""
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        names = [name for name in file.namelist() if _is_about(name)]
        # A file of another program gets it in the folder of its other entries.
        names = names or [f"{file.namelist()[0].partition('/')[0]}/extra/{_ABOUT}"]
    return _written_again(content, {names[0]: says.text().encode()})


def _written_again(content: bytes, others: Mapping[str, bytes]) -> bytes:
    """The same zip file, compressed. `others` replace its entries of these names."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(made, "w") as new:
        for name in dict.fromkeys([*old.namelist(), *others]):
            own = others[name] if name in others else old.read(name)
            new.writestr(zipfile.ZipInfo(name, _DATE), own, zipfile.ZIP_DEFLATED)
    return made.getvalue()


def _is_about(name: str) -> bool:
    return name.rpartition("/")[2] == _ABOUT and "extra" in name


def is_pt2(path: Path) -> bool:
    """Whether torch.export wrote a zip file, and not another part of torch."""
    try:
        with zipfile.ZipFile(path) as file:
            names = {name.partition("/")[2] or name for name in file.namelist()}
    except (zipfile.BadZipFile, OSError):
        return False
    return bool(names & {"archive_format", "serialized_exported_program.json"})


class _Said(logging.Filter):
    """Keeps the error that torch logs before it raises another error that only points to the log. Nothing is
    printed."""

    error: BaseException | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        self.error = record.exc_info[1] if record.exc_info else self.error
        return False


def open_file(path: Path) -> Opened:
    """The network in a pt2 file, from bench or another program. Only the operators of its graph are run. Raises
    InputError."""
    content = pt2_vetted.vetted(path)
    extra: dict[str, Any] = {_ABOUT: ""}
    said = _Said()
    log = logging.getLogger("torch.export")
    log.addFilter(said)
    try:
        program = torch.export.load(io.BytesIO(content), extra_files=extra)
        run = program.module()
        (given,) = (node for node in program.graph.nodes if node.name in program.graph_signature.user_inputs)
        (gives,) = program.graph_signature.user_outputs
        (logits,) = (node for node in program.graph.nodes if node.name == gives)
        _, *shape = (size if isinstance(size, int) else None for size in given.meta["val"].shape)
        if len(shape) != 3 or logits.meta["val"].dim() not in (2, 4):
            raise ValueError(
                "it doesn't take images (batch, channels, height, width) and give logits, (batch, classes) or "
                "(batch, classes, height, width)"
            )
        classes = logits.meta["val"].shape[1]
    except MALFORMED as error:
        first = said.error or error
        reason = first_line(first) if isinstance(first, ValueError) else typed_line(first)
        raise InputError(f"{path} can't be opened by torch {torch.__version__}: {reason}") from error
    finally:
        log.removeFilter(said)
    try:
        says = about.from_text(extra[_ABOUT]) if extra[_ABOUT] not in ("", "{}") else None
    except ValueError as error:
        raise InputError(f"{path} can't be read: {first_line(error)}") from error
    classes = classes if isinstance(classes, int) else None
    return Opened("pt2", Runs(run), says, (shape[0], shape[1], shape[2]), classes, path.stat().st_size)
