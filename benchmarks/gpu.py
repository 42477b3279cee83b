"""Checks a GPU in nine minutes: tests, the conformance kit, and the speed of training.

Run it by hand, by gpu.sh beside it or as `python benchmarks/gpu.py --out FOLDER`. Each stage is a process with its own
time limit. A stage that fails or takes too long gives a line with its last output, and the other stages continue.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

_HERE = Path(__file__).resolve().parent
_ROOT = _HERE.parent
# The number of characters that are kept of a stage's output.
_TAIL = 4000


@dataclass(frozen=True)
class Stage:
    """A command, in which {out} is the folder for its files, and the most seconds that it may run. `read` makes figures
    from the folder and the output. `aims` has the target of each figure, at least (`>=`) or at most (`<=`)."""

    command: Sequence[str]
    seconds: int
    read: Callable[[Path, str], dict[str, Any]] = lambda out, printed: {}
    aims: dict[str, tuple[str, float]] = field(default_factory=dict)


@dataclass
class Result:
    stage: str
    outcome: str
    seconds: float
    figures: dict[str, Any] = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)
    last_words: str = ""


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        import torch
    except ImportError:
        print(f"{sys.executable} has no torch; PYTHON=path/to/python benchmarks/gpu.sh takes another")
        return 2
    if not torch.cuda.is_available():
        print("there is no CUDA device here; benchmarks/step.py and the others measure processors")
        return 2
    card = torch.cuda.get_device_name()
    stages = {name: own for name, own in STAGES.items() if options.only is None or name in options.only.split(",")}
    results = []
    for name, stage in stages.items():
        print(f"{name} (at most {stage.seconds} s)", flush=True)
        results.append(carry_out(name, stage, options.out))
        about = {"card": card, "torch": torch.__version__, "made": datetime.now(UTC).isoformat(timespec="seconds")}
        whole = {"about": about, "stages": [asdict(result) for result in results]}
        (options.out / "gpu.json").write_text(json.dumps(whole, indent=1), encoding="utf-8")
    shown = f"{table(results)}\n\n{card}, torch {torch.__version__}\n"
    (options.out / "gpu.md").write_text(shown, encoding="utf-8")
    print(f"\n{shown}")
    return int(any(result.outcome != "done" or result.missed for result in results))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--out", type=Path, default=Path("results-gpu"), help="folder for gpu.json, gpu.md and files of stages"
    )
    parser.add_argument("--only", help=f"some of {','.join(STAGES)}")
    return parser.parse_args(arguments)


def carry_out(name: str, stage: Stage, out: Path) -> Result:
    """Run a stage and read its results."""
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, *(part.format(out=folder, here=_HERE, root=_ROOT) for part in stage.command)]
    started = time.monotonic()
    try:
        run = subprocess.run(
            command,
            timeout=stage.seconds,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=_ROOT,
            # Otherwise its output before an error would come after the error, or not at all.
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        printed, outcome = run.stdout, "done" if run.returncode == 0 else f"exit code {run.returncode}"
    except subprocess.TimeoutExpired as error:
        said = error.stdout or b""
        printed, outcome = said.decode(errors="replace") if isinstance(said, bytes) else said, "too slow"
    result = Result(name, outcome, time.monotonic() - started, last_words=printed[-_TAIL:])
    try:
        result.figures = stage.read(folder, printed)
    except (ValueError, KeyError, IndexError, OSError) as error:
        if outcome == "done":
            result.outcome = f"unreadable: {error}"
    result.missed = [
        f"{figure} {value:.3g}, not {sign} {asked:g}"
        for figure, (sign, asked) in stage.aims.items()
        for value in [result.figures.get(figure)]
        if value is not None and not (value >= asked if sign == ">=" else value <= asked)
    ]
    return result


def table(results: Sequence[Result]) -> str:
    lines = ["| stage | outcome | seconds | figures | missed |", "| --- | --- | --: | --- | --- |"]
    for result in results:
        figures = "; ".join(
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in result.figures.items()
        )
        lines.append(
            f"| {result.stage} | {result.outcome} | {result.seconds:.0f} | {figures} | {'; '.join(result.missed)} |"
        )
    return "\n".join(lines)


def tests(out: Path, printed: str) -> dict[str, Any]:
    """pytest's last line: 12 passed, 1 skipped in 34 s."""
    words = printed.strip().splitlines()[-1].strip("= ").replace(",", "").split()
    return {what: int(number) for number, what in pairwise(words) if number.isdigit()}


def kit(out: Path, printed: str) -> dict[str, Any]:
    outcomes = json.loads((out / "kit.json").read_text(encoding="utf-8"))
    failed = {method: said for method, said in outcomes.items() if said not in ("passed", "skipped")}
    return {"methods": len(outcomes), "failed": len(failed), **failed}


def step(out: Path, printed: str) -> dict[str, Any]:
    rows = json.loads((out / "step.json").read_text(encoding="utf-8"))["rows"]
    names = ("share", "harness", "compiled", "images_per_second")
    return {f"{row['network']} {row['precision']} {name}": row[name] for row in rows for name in names if name in row}


def overhead(out: Path, printed: str) -> dict[str, Any]:
    """The highest ratio of csg's step time to dense's, and each ratio."""
    rows = json.loads((out / "overhead.json").read_text(encoding="utf-8"))["rows"]
    found = {
        f"{row['network']} {row['precision']}": row["ratio_to_dense_median"]
        for row in rows
        if (row["measure"], row["variant"]) == ("train_step", "csg") and row["ratio_to_dense_median"] is not None
    }
    return {"csg / dense": max(found.values()), **found}


def throughput(out: Path, printed: str) -> dict[str, Any]:
    """The ratio in the table's last row, in the column before the target."""
    cells = _rows(printed)[-1]
    return {"times": float(cells[-2].split()[0]), "plain, images/s": cells[2], "sweep, images/s": cells[3]}


def packing(out: Path, printed: str) -> dict[str, Any]:
    """The speed of all runs in the table's last row, relative to one run."""
    rows = _rows(printed)
    return {"times": float(rows[-1][-1]), **{f"{row[0]} at once, images/s": row[1] for row in rows}}


def _rows(printed: str) -> list[list[str]]:
    """The rows of a Markdown table, without its head."""
    rows = [line for line in printed.splitlines() if line.startswith("| ")][2:]
    return [[cell.strip() for cell in row.strip("| ").split("|")] for row in rows]


def tests_of_gpus() -> list[str]:
    """The test files that need a GPU: others need packages that are not installed here."""
    files = sorted((_ROOT / "tests").rglob("test_*.py"))
    return [str(path) for path in files if "pytest.mark.gpu" in path.read_text(encoding="utf-8")]


STAGES = {
    "tests": Stage(
        ["-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", *tests_of_gpus()],
        100,
        tests,
        {"failed": ("<=", 0)},
    ),
    "kit": Stage(["{here}/gpu_kit.py", "{out}/kit.json"], 100, kit, {"failed": ("<=", 0)}),
    "step": Stage(
        [
            *("{here}/step.py", "--device", "cuda", "--networks", "resnet20", "--precisions", "float32,bfloat16"),
            *("--compiled", "--rounds", "7", "--steps", "20", "--json", "{out}/step.json"),
        ],
        80,
        step,
    ),
    "overhead": Stage(
        [
            *("{here}/csg_overhead.py", "--device", "cuda", "--networks", "resnet20,resnet56", "--modes", "eager"),
            *("--rounds", "5", "--seconds", "2", "--json", "{out}/overhead.json", "--table", "{out}/overhead.md"),
        ],
        60,
        overhead,
        {"csg / dense": ("<=", 1.05)},
    ),
    "throughput": Stage(
        [
            *("{here}/throughput.py", "--device", "cuda", "--networks", "resnet20", "--beside", "alone"),
            *("--rounds", "1", "--images", "20000"),
        ],
        60,
        throughput,
        {"times": (">=", 10)},
    ),
    "packing": Stage(["{here}/packing.py", "--jobs", "1,16", "--images", "20000"], 60, packing, {"times": (">=", 3)}),
    "default": Stage(["-m", "bench.cli", "run", "--methods", "csg,lowrank", "--out", "{out}/store"], 60),
}


if __name__ == "__main__":
    sys.exit(main())
