"""Runs as tasks of Ray: the same bits, with nothing on the nodes but what travels to them."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import PLUGINS, run_sweep, tiny_spec
from PIL import Image
from records import TIMES

from bench.executors.ray.ray import Ray
from bench.models._build import build_network
from bench.plugins import networks
from bench.runs.executor import Crew, Job
from bench.runs.progress import Progress
from bench.store.apart.corruptions import CORRUPTIONS
from bench.store.record import FAILED, FINISHED
from bench.store.rows import decode_rows
from bench.store.store import HISTORY, RECORD, SEALED, Store

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the package ray")
SHORT = {"name": "short", "epochs": 2, "batch_size": 16, "learning_rate": 0.05, "validation": 0.2}


class Elsewhere(Ray):
    """A Ray whose nodes don't have a folder of the sweep's."""

    def __init__(self, hidden: Path, **options: Any) -> None:
        super().__init__(**options)
        self.hidden = hidden

    @contextmanager
    def open(self, job: Job, progress: Progress) -> Iterator[Crew]:
        with super().open(job, progress) as crew:
            away = self.hidden.rename(self.hidden.with_name("away"))
            try:
                yield crew
            finally:
                away.rename(self.hidden)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder of a person's: images, two plugins of which one imports a file beside it, and a network's weights."""
    folder = tmp_path / "own"
    random = np.random.default_rng(0)
    for split, count in (("train", 30), ("test", 10)):
        for place, name in enumerate(("cat", "dog")):
            (folder / "photos" / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 128, (8, 8, 3), dtype=np.uint8)
                pixels[..., place] += 100
                Image.fromarray(pixels).save(folder / "photos" / split / name / f"{number}.png")
    (folder / "halves.py").write_text((PLUGINS / "halves.py").read_text())
    (folder / "blocks.py").write_text((PLUGINS / "mynet.py").read_text())
    (folder / "mynet.py").write_text(
        "from .blocks import mynet\n\n"
        "def net(channels, num_classes):\n    return mynet(channels, num_classes, width=8)\n"
    )
    network = build_network(networks.find(f"{folder / 'mynet.py'}:net").model, 3, 2, seed=3)
    torch.save(network.state_dict(), folder / "weights.pt")
    return folder


def contents(store: Path) -> dict[str, Any]:
    """All that runs hold, but for times and for what a traceback says of places."""
    found: dict[str, Any] = {}
    for folder in Store(store).folders().values():
        names = {*SEALED, CORRUPTIONS.name} - {RECORD, HISTORY, "traceback.txt"}
        found |= {f"{folder.name}/{name}": (folder / name).read_bytes() for name in names if (folder / name).exists()}
        record = Store(store).read(folder)
        found[folder.name] = {name: value for name, value in record.items() if name not in TIMES}
        found[f"{folder.name}/{HISTORY}"] = [
            {**row, "seconds": ""} for row in decode_rows((folder / HISTORY).read_bytes())
        ]
    return found


@needs_ray
@pytest.mark.slow
def test_all_that_runs_need_travels_and_they_have_the_bits_of_one_machine(own: Path, tmp_path: Path) -> None:
    asked = tiny_spec(
        ["lowrank", "halves", "bad=halves:fail=compress"],
        dataset=f"folder:{own / 'photos'}",
        model=f"{own / 'mynet.py'}:net",
        weights=str(own / "weights.pt"),
        normalise="dataset",
        schedule=SHORT,
        plugins=[str(own / "halves.py")],
        corruptions="computed",
    )
    run_sweep(asked, tmp_path / "here")
    records, printed = run_sweep(asked, tmp_path / "ray", executor=Elsewhere(own))
    assert [record["method"] for record in records] == ["given", "dense", "lowrank", "halves", "bad"]
    assert [record["status"] for record in records] == [FINISHED] * 4 + [FAILED]
    assert records[4]["reason"] == "RuntimeError: this method is broken"
    assert contents(tmp_path / "ray") == contents(tmp_path / "here")
    assert f"lowrank-4x-seed0-{records[2]['id']}/{CORRUPTIONS.name}" in contents(tmp_path / "ray")
    assert "lowrank 4x seed 0: epoch 2/2" in printed
    prefixes = [{path.name for path in (tmp_path / name / "prefixes").iterdir()} for name in ("here", "ray")]
    assert prefixes[0] == prefixes[1] != set()
    assert not [*(tmp_path / "ray" / "runs").glob(".*")]
    assert not [*(tmp_path / "ray").glob("unfinished/*")]
