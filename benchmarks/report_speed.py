"""Measures the time of `bench show` and of a report, and the size of the page, for a store of many made-up records.

python benchmarks/report_speed.py --runs 10000 [--settings 12] [--epochs 30] [--keep DIR]
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from bench.metric import Metric
from bench.store import seal
from bench.store.record import FINISHED, complete
from bench.store.rows import encode_rows
from bench.store.store import HISTORY, LAYERS, RECORD, SEAL, encode

_METHODS, _RATIOS, _DENSE, _LAYERS = 16, (2, 4, 8, 16, 32, 64), 270_000, 40
_TOP1 = Metric("top1", "top-1", "%", higher=True, counts_images=True)


def write_store(folder: Path, runs: int, settings: int, epochs: int) -> None:
    """Write `runs` records, spread evenly over settings, methods, budgets, and as many seeds as needed."""
    random = np.random.default_rng(0)
    cells = settings * (1 + _METHODS * len(_RATIOS))
    made = 0
    for seed in range(-(-runs // cells)):
        for setting in range(settings):
            for method, ratio in [("dense", None), *((f"method{m}", r) for m in range(_METHODS) for r in _RATIOS)]:
                if made == runs:
                    return
                _write_run(folder, f"{made:012x}", setting, method, ratio, seed, epochs, random)
                made += 1


def _write_run(
    folder: Path,
    run_id: str,
    setting: int,
    method: str,
    ratio: int | None,
    seed: int,
    epochs: int,
    random: np.random.Generator,
) -> None:
    stored = _DENSE // (ratio or 1)
    top1 = float(90 - 3 * np.log2(ratio or 1) + random.normal())
    record = complete(
        {
            "id": run_id,
            "status": FINISHED,
            "method": method,
            "method_name": method,
            "method_text": method,
            "budget": None if ratio is None else f"{ratio}x",
            "seed": seed,
            "model": f"net{setting}",
            "dataset": "data",
            "schedule": "quick",
            "data": "d",
            **_TOP1.columns(),
            "requested_values": None if ratio is None else stored,
            "stored_values": stored,
            "dense_values": _DENSE,
            "compression": float(ratio or 1),
            "stored_bytes": 4 * stored + 500,
            "macs": 40_000_000,
            "generation_macs": 0,
            "latency_ms": float(random.uniform(1, 2)),
            "test_top1": top1,
            "test_top5": 99.0,
            "test_loss": 0.5,
            "compress_epoch": 0,
            "compress_seconds": 0.1,
            "train_seconds": 100.0,
            "train_images": 45_000,
            "validation_images": 5_000,
            "test_images": 10_000,
            "started": "2026-01-01T00:00:00+00:00",
            "schedule.epochs": epochs,
            **{f"option.{name}": name for name in ("kind", "scope", "block", "share")},
        }
    )
    run = folder / "runs" / f"{method}-{ratio}x-seed{seed}-{run_id}"
    run.mkdir(parents=True)
    (run / RECORD).write_bytes(encode(record))
    accuracy = top1 * (1 - np.exp(-np.arange(1, epochs + 1) / epochs * 4))
    history = [
        {"epoch": epoch + 1, "train_loss": 1 / (epoch + 1), "train_top1": value, "validation_loss": 1.0,
         "validation_top1": value - 1, "learning_rate": 0.1, "seconds": 1.0}
        for epoch, value in enumerate(accuracy.round(4).tolist())
    ]  # fmt: skip
    (run / HISTORY).write_bytes(encode_rows(history))
    layers = [{"layer": f"layer{at}.conv", "stored_values": stored // _LAYERS} for at in range(_LAYERS)]
    (run / LAYERS).write_bytes(encode_rows(layers))
    (run / SEAL).write_bytes(seal.of(run, [RECORD, HISTORY, LAYERS]).encode())


# The kernel's own record of this program's peak. `resource` would also count the parent's memory.
_CHILD = r"""
import re, sys
from bench.cli.main import main
sys.argv = ["bench", "report", sys.argv[1]]
try:
    main()
except SystemExit as end:  # every command ends in this way
    assert not end.code, end.code
with open("/proc/self/status") as status:
    print("PEAK", re.search(r"VmHWM:\s+(\d+) kB", status.read())[1])
"""


def measure(store: Path) -> dict[str, float]:
    """Seconds of `bench show`; seconds and gigabytes of a process that writes the report; and megabytes of its page.
    Only on Linux."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "bench.cli", "show", str(store)], check=True, stdout=subprocess.DEVNULL)
    show = time.perf_counter() - started
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", _CHILD, str(store)], check=True, stdout=subprocess.PIPE, text=True)
    peak = int(done.stdout.split("PEAK ")[1]) / 1e6
    page = (store / "report" / "index.html").stat().st_size / 1e6
    seconds = time.perf_counter() - started
    return {
        "show_seconds": round(show, 1),
        "seconds": round(seconds, 1),
        "peak_gb": round(peak, 2),
        "page_mb": round(page, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--settings", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--keep", type=Path, help="write the store here and keep it")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        store = arguments.keep or Path(temporary)
        if not (store / "runs").is_dir():
            write_store(store, arguments.runs, arguments.settings, arguments.epochs)
        print(json.dumps({"runs": arguments.runs, "settings": arguments.settings, **measure(store)}))


if __name__ == "__main__":
    main()
