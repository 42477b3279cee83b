"""Commands on saved networks."""

import math
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.app import FAILED_RUNS, app, print_error, print_row
from bench.errors import InputError, unknown

_SAVED = "A run's folder, its weights.safetensors, what bench compress wrote (small.safetensors), or a .t7 of CSG."
_MODEL = "path/to/mynet.py:mynet, where the network is one of a file."
_NORMALISE = "Where an .onnx or .pt2 doesn't say: imagenet, dataset or MEAN/DEVIATION (of pixels, 0 to 1)."
_TO = "dense (safetensors), onnx, onnx-half, onnx-int8, pt2 (torch.export), or pt2-compact (codes and generator)."
_SCALES = "Scales of each image, over which pixels are averaged, as 0.5x0.75x1. Default: as the run was tested."
_FLIP = "See each image mirrored too, at all of these scales."
_OTHER_CODE = "Accept a network or method whose code changed since the file was made."


@app.command()
def evaluate(
    path: Annotated[Path, typer.Argument(help="A run's folder, its weights.safetensors, a .t7 of CSG, .onnx or .pt2.")],
    dataset: Annotated[str, typer.Option(help="Dataset, for example parquet:DIR.")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    data_dir: Annotated[Path, typer.Option(help="The folder of fetched datasets.")] = Path("data"),
    download: Annotated[bool, typer.Option("--download", help="Fetch the dataset if it is not there.")] = False,
    plugin: Annotated[
        list[str] | None, typer.Option(help="A Python file with a method, dataset or task of your own.")
    ] = None,
    model: Annotated[str | None, typer.Option(help=_MODEL)] = None,
    other_code: Annotated[bool, typer.Option("--other-code", help=_OTHER_CODE)] = False,
    normalise: Annotated[str | None, typer.Option(help=_NORMALISE)] = None,
    test_scales: Annotated[str | None, typer.Option(help=_SCALES)] = None,
    test_flip: Annotated[bool, typer.Option("--test-flip", help=_FLIP)] = False,
) -> None:
    """Accuracy of a saved or exported network on a dataset's test split, and what it stores."""
    from bench.cli.evaluate_saved import evaluate_exported, evaluate_saved, views_of
    from bench.files.artifact import Given
    from bench.files.exported import is_exported
    from bench.runs.environment import find_device

    asked = views_of(test_scales, test_flip)
    if is_exported(path):
        if device not in ("auto", "cpu"):
            raise InputError(f"--device can't be {device}: an exported file is run on the CPU; leave it out")
        if model is not None or other_code:
            raise InputError(f"{path} holds its network; leave --model and --other-code out")
        found = evaluate_exported(path, dataset, data_dir, download, normalise, plugin or [], asked)
    elif normalise is not None:
        raise InputError("--normalise is for exported files that don't say how images are standardised; leave it out")
    else:
        given = Given(plugin or [], model, other_code)
        found = evaluate_saved(path, dataset, data_dir, download, find_device(device), given, asked)
    print_row(found, json)
    if not math.isfinite(found["loss"]):
        print_error(f"the loss of {path} is {found['loss']}: its outputs are no numbers, so its accuracy says nothing")
        raise typer.Exit(FAILED_RUNS)


@app.command()
def export(
    path: Annotated[Path, typer.Argument(help=_SAVED)],
    to: Annotated[str, typer.Option(help=_TO)],
    out: Annotated[
        Path | None, typer.Option(help="The file to write. Default: named after the run, in this folder.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    plugin: Annotated[list[str] | None, typer.Option(help="A Python file with a method of your own.")] = None,
    model: Annotated[str | None, typer.Option(help=_MODEL)] = None,
    other_code: Annotated[bool, typer.Option("--other-code", help=_OTHER_CODE)] = False,
    dataset: Annotated[
        str | None, typer.Option(help="Also evaluate the written file on this test split, and say so in it.")
    ] = None,
    data_dir: Annotated[Path, typer.Option(help="The folder of fetched datasets.")] = Path("data"),
    download: Annotated[bool, typer.Option("--download", help="Fetch the dataset if it is not there.")] = False,
) -> None:
    """Write the deployed network, its kernels computed, and check that the file gives the same outputs."""
    from bench.cli.evaluate_saved import measure_exported
    from bench.files import export as exports
    from bench.files.artifact import Given

    if to not in exports.ENDINGS:
        raise unknown("format", to, exports.ENDINGS)
    if dataset is not None and to == exports.ARTIFACT:
        raise InputError("--dataset is for files that say their accuracy, onnx and pt2; bench evaluate takes this one")
    given = Given(plugin or [], model, other_code)
    written = exports.export(path, to, out, given, force)
    if dataset is not None:
        written.pop("class_names", None)  # the file has those of the dataset now
        written |= measure_exported(Path(written["path"]), dataset, data_dir, download, plugin or [])
        written["bytes"] = Path(written["path"]).stat().st_size
    print_row(written, json)
