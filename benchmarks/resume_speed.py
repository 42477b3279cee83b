"""Measures the time in which `bench run` finds that all runs of a large sweep exist, without the import of torch.

python benchmarks/resume_speed.py --runs 10000 [--keep DIR]
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bench
from bench.plan import plan as plans
from bench.plan import spec as specs
from bench.plan.plan import Plan
from bench.store import seal
from bench.store.store import RECORD, SEAL, Store, encode

_BUDGETS = ["2x", "4x", "8x"]


def settings(seeds: int) -> dict[str, Any]:
    """The options of a sweep over this many seeds, with ten runs each."""
    return {
        "methods": ["csg", "lowrank", "hashing"],
        "budgets": _BUDGETS,
        "seeds": seeds,
        "dataset": "glyphs:train=200:test=50",
        "schedule": "quick:epochs=1",
        "keep_weights": "none",
    }


def plan_of(seeds: int) -> Plan:
    return plans.from_spec(specs.check(settings(seeds)))


def write_store(folder: Path, seeds: int) -> None:
    """Make the runs of one seed. The runs of the other seeds are copies with another seed in their records."""
    bench.run(folder, jobs=1, **settings(1))
    store, whole = Store(folder), plan_of(seeds)
    folders = store.folders()
    of = {(one.choice.text, str(one.budget)): folders[one.id] for one in plan_of(1).runs}
    for one in whole.runs:
        if one.id in folders:
            continue
        source = of[one.choice.text, str(one.budget)]
        record = store.read(source) | {"id": one.id, "seed": one.seed}
        copy = folder / "runs" / f"{source.name.rpartition('-')[0]}-{one.id}"
        shutil.copytree(source, copy)
        (copy / RECORD).write_bytes(encode({name: record[name] for name in json.loads((source / RECORD).read_bytes())}))
        kept = sorted(path.name for path in copy.iterdir() if path.name not in (SEAL, "latency.json"))
        (copy / "latency.json").unlink(missing_ok=True)
        (copy / SEAL).write_bytes(seal.of(copy, kept).encode())


_CHILD = """
import json, sys, time
import torch
cpu, wall = time.process_time(), time.perf_counter()
sys.path.insert(0, sys.argv[3])
from pathlib import Path
from bench.runs.sweep.inventory import inventory_of
from bench.store.store import Store
from resume_speed import plan_of
planned = plan_of(int(sys.argv[1]))
middle = time.process_time()
found = inventory_of(planned, Store(Path(sys.argv[2])))
assert len(found.records) == len(planned.runs) and not found.missing, len(found.missing)
end = time.process_time()
print(json.dumps({"runs": len(planned.runs), "plan_cpu_seconds": middle - cpu, "look_cpu_seconds": end - middle,
    "cpu_seconds": end - cpu, "seconds": time.perf_counter() - wall}))
"""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--keep", type=Path, help="write the store here and keep it")
    options = parser.parse_args(arguments)
    seeds = -(-options.runs // 10)
    with tempfile.TemporaryDirectory() as temporary:
        store = options.keep or Path(temporary)
        if not (store / "runs").is_dir():
            write_store(store, seeds)
        command = [sys.executable, "-c", _CHILD, str(seeds), str(store), str(Path(__file__).parent)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        print(json.dumps({name: round(value, 2) for name, value in json.loads(done.stdout).items()}))


if __name__ == "__main__":
    main()
