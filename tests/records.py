"""Records and stores that tests of reports make up."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.measure.code_space import encode as encode_codes
from bench.method import CodeSpace
from bench.metric import Metric
from bench.roles import NARROWER, REFERENCE
from bench.store import by_class, seal
from bench.store.apart.latency import LATENCY
from bench.store.examples import encode_examples
from bench.store.record import COLUMNS, FAILED, FINISHED, MISSED, Record, complete
from bench.store.rows import encode_rows
from bench.store.store import CODES, EXAMPLES, HISTORY, LAYERS, RECORD, SEAL, WEIGHTS, Store

# What differs between two runs that did the same.
TIMES = {name for name in COLUMNS if name.endswith("_seconds") or name.startswith("latency_")}
TIMES |= {"started", "peak_memory_bytes"}

# As classification has it.
TOP1 = Metric("top1", "top-1", "%", higher=True, counts_images=True)
# As segmentation has them, of all classes and by class.
MEAN_IOU, IOU = Metric("miou", "mean IoU", "%"), Metric("iou", "IoU", "%")


def record(method: str, seed: int, top1: float | None, budget: str | None = None, **values: Any) -> Record:
    stored = {None: 1000, "2x": 500, "4x": 250, "8x": 125}.get(budget, 250)
    known = {
        "id": re.sub(r"\W", "_", f"{method}{budget}{seed}{values.get('dataset', '')}"),
        "status": FINISHED,
        "method": method,
        "method_name": method,
        "method_text": method,
        "role": {"dense": REFERENCE, "width": NARROWER}.get(method),
        "budget": budget,
        "seed": seed,
        "model": "net",
        "dataset": "data",
        "schedule": "quick",
        "learning_rate_factor": 1.0,
        "data": "d",
        "task": "classification",
        **TOP1.columns(),
        "schedule.epochs": 4,
        "requested_values": None if budget is None else stored,
        "stored_values": stored,
        "dense_values": 1000,
        "compression": 1000 / stored,
        "stored_bytes": 4 * stored,
        "macs": 2_000_000,
        "generation_macs": 0,
        "test_top1": top1,
        "validation_top1": top1,
        "test_top5": 100.0,
        "test_loss": 0.5,
        "compress_epoch": 0,
        "train_images": 9,
        "validation_images": 1,
        "test_images": 10_000,
        "train_seconds": 1.0,
        "device_name": "cpu",
        "precision": "float32",
        "torch_version": "2",
        "bench_version": "0",
        "git_commit": "",
    }
    return complete({**known, **values})


def segmented(
    method: str, seed: int, figures: Mapping[str, float | None], budget: str | None = None, **values: Any
) -> Record:
    """A record of segmentation with these figures by class, and their mean."""
    known = [figure for figure in figures.values() if figure is not None]
    score = sum(known) / len(known)
    of_task = {"task": "segmentation", **MEAN_IOU.columns(), "test_miou": score, "validation_miou": score}
    own = by_class.columns(IOU, list(figures), list(figures.values()))
    made = record(method, seed, None, budget, **{"model": "segnet", "dataset": "street", **of_task, **own, **values})
    return {name: value for name, value in made.items() if not name.endswith(("_top1", "_top5"))}


RECORDS = [
    record("dense", 0, 90.0),
    record("dense", 1, 92.0),
    record("csg", 0, 88.0, "2x"),
    record("csg", 1, 92.0, "2x"),
    record("csg", 0, 80.0, "4x"),
    record("lowrank", 0, 70.0, "4x"),
    record("lowrank", 1, None, "4x", status=FAILED, reason="NonFiniteLoss: nan", stored_values=None),
    record("csg", 0, None, "9x", status=MISSED, reason="too small"),
    record("csg", 1, None, "9x", status=MISSED, reason="too small"),
]


def write_store(folder: Path, records: Sequence[Record], epochs: int = 4) -> Path:
    """A store that holds these records; the finished ones with a history, layers and, of csg, a code space."""
    store = Store(folder).open()
    for made in records:
        with store.new_run(f"run-{made['id']}") as run:
            (run / RECORD).write_text(json.dumps(made))
            if made["status"] == FINISHED:
                write_tables(run, made, epochs)
    return folder


def write_examples(
    run: Path, predicted: Any, image: Any, mask: Any, classes: Sequence[str], number: Any = None
) -> None:
    """Have a run keep these pictures (`bench.store.examples`), under a seal that fits."""
    arrays = {
        "number": np.arange(len(image)) if number is None else np.array(number),
        **{name: np.array(own, np.uint8) for name, own in (("image", image), ("mask", mask), ("predicted", predicted))},
    }
    (run / EXAMPLES).write_bytes(encode_examples(arrays, classes, 255))
    seal_anew(run)


def write_tables(run: Path, made: Record, epochs: int) -> None:
    metric = Metric.of(made)
    score = made[metric.test]
    history = [
        {
            "epoch": epoch,
            "train_loss": 1 / epoch,
            f"train_{metric.name}": score - 10 / epoch,
            "validation_loss": 2 / epoch,
            f"validation_{metric.name}": score - 20 / epoch,
            "learning_rate": 0.1,
            "seconds": 1.0,
        }
        for epoch in range(1, epochs + 1)
    ]
    (run / HISTORY).write_bytes(encode_rows(history))
    (run / LAYERS).write_bytes(encode_rows(layers(made)))
    if made["method_name"] == "csg":
        space = CodeSpace(torch.randn(5, 6, 6), {"conv1": torch.randn(3, 5), "conv2": torch.randn(4, 5)})
        (run / CODES).write_bytes(encode_codes({"3x3": space}))


def seal_anew(run: Path) -> None:
    """After a test has changed a run by hand as if it had been written so."""
    names = [path.name for path in run.iterdir() if path.name not in (SEAL, LATENCY.name)]
    (run / SEAL).write_bytes(seal.of(run, names).encode())


def layers(made: Record) -> list[dict[str, Any]]:
    """What `made` stores in which layer: a tenth in the classifier, the rest shared, or in convolutions."""
    stored = made["stored_values"]
    spent = {"conv1": 0.3, "conv2": 0.6} if made["method_name"] != "csg" else {"generator": 0.9}
    rows = {**spent, "classifier": 0.1}
    return [{"layer": name, "stored_values": round(share * stored)} for name, share in rows.items()]


def results(folder: Path) -> dict[str, tuple[dict[str, Any], bytes, list[dict[str, str]]]]:
    """Of every run: its record without times, its weights, its history without times."""
    found = {}
    store = Store(folder)
    for record in store.records()[0]:
        run = store.folder_of(record["id"])
        assert run is not None
        weights = (run / WEIGHTS).read_bytes() if (run / WEIGHTS).is_file() else b""
        rows = [{key: cell for key, cell in row.items() if key != "seconds"} for row in store.rows(run, HISTORY)]
        found[record["id"]] = ({key: cell for key, cell in record.items() if key not in TIMES}, weights, rows)
    return found
