"""Commands on saved networks."""

import math
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.app import FAILED_RUNS, app, print_error, print_row
from bench.errors import unknown

_MODEL = "path/to/mynet.py:mynet, where the network is one of a file."
_OTHER_CODE = "Take a network or method whose code is not what the file was made with."


@app.command()
def evaluate(
    path: Annotated[Path, typer.Argument(help="A run's folder, its weights.safetensors, or a .t7 of the CSG authors.")],
    dataset: Annotated[str, typer.Option(help="Dataset, for example parquet:DIR.")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    data_dir: Annotated[Path, typer.Option(help="Where datasets that are fetched lie.")] = Path("data"),
    download: Annotated[bool, typer.Option("--download", help="Fetch the dataset if it is not there.")] = False,
    plugin: Annotated[
        list[str] | None, typer.Option(help="A Python file with a method or dataset of your own.")
    ] = None,
    model: Annotated[str | None, typer.Option(help=_MODEL)] = None,
    other_code: Annotated[bool, typer.Option("--other-code", help=_OTHER_CODE)] = False,
) -> None:
    """Accuracy of a saved network on a dataset's test split, and what it stores."""
    from bench.cli.evaluate_saved import evaluate_saved
    from bench.files.artifact import Given
    from bench.runs.environment import find_device

    given = Given(plugin or [], model, other_code)
    found = evaluate_saved(path, dataset, data_dir, download, find_device(device), given)
    print_row(found, json)
    if not math.isfinite(found["loss"]):
        print_error(f"the loss of {path} is {found['loss']}: its outputs are no numbers, so its accuracy says nothing")
        raise typer.Exit(FAILED_RUNS)


@app.command()
def export(
    path: Annotated[Path, typer.Argument(help="A run's folder, its weights.safetensors, or a .t7 of the CSG authors.")],
    to: Annotated[str, typer.Option(help="dense (safetensors), onnx or pt2 (torch.export).")],
    out: Annotated[
        Path | None, typer.Option(help="The file to write. Default: named after the run, in this folder.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    plugin: Annotated[list[str] | None, typer.Option(help="A Python file with a method of your own.")] = None,
    model: Annotated[str | None, typer.Option(help=_MODEL)] = None,
    other_code: Annotated[bool, typer.Option("--other-code", help=_OTHER_CODE)] = False,
) -> None:
    """Write the deployed network, its kernels computed, and check that the file gives the same outputs."""
    from bench.files import export as exports
    from bench.files.artifact import Given

    if to not in exports.FORMATS:
        raise unknown("format", to, exports.FORMATS)
    given = Given(plugin or [], model, other_code)
    print_row(exports.export(path, to, out, given, force), json)
