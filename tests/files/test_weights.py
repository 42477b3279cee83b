"""Starting from finished weights: dense and methods alike, marked in records, part of ids."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import run_sweep, tiny_spec

import bench
from bench import testing
from bench.errors import InputError
from bench.files import network_file
from bench.files.start_weights import PRETRAINED, find
from bench.files.weights.fit import content_hash
from bench.plan import plan
from bench.plugins import networks
from bench.plugins.networks import ModelChoice
from bench.store.record import FINISHED, Record
from bench.store.store import WEIGHTS, Store

RESNET8 = networks.find("resnet8")


def weights_of(store: Path, record: Record) -> Path:
    folder = Store(store).folder_of(record["id"])
    assert folder is not None
    return folder / WEIGHTS


@pytest.mark.slow
def test_every_run_starts_there_and_says_so(swept: tuple[Path, list[Record]], tmp_path: Path) -> None:
    dense = swept[1][0]
    file = weights_of(swept[0], dense)
    asked = tiny_spec(["csg:init=svd:compress_at=0"], budgets=["2x"], weights=str(file))
    records, _ = run_sweep(asked, tmp_path)
    assert [record["method"] for record in records] == ["given", "dense", "csg:init=svd:compress_at=0.0"]
    assert {record["status"] for record in records} == {FINISHED}
    given, trained, *_ = records
    for record in records:
        assert (record["weights"], record["weights_epochs"]) == (file.parent.name, 4)
        assert record["weights_code"]
        assert record["compress_epoch"] == 0
        assert network_file.read(weights_of(tmp_path, record)).description.epochs == (4 if record is given else 8)
    # Trained on, the dense network is better than one that was begun anew with the same epochs.
    assert trained["train_loss"] < dense["train_loss"]
    runs = plan.from_spec(asked).runs
    assert len(set(runs)) == len(runs)  # what images they were trained on comes from the file, and is hashed
    ids = {run.id for run in runs}
    assert ids.isdisjoint(run.id for run in plan.from_spec(tiny_spec(["csg", "csg:init=svd"])).runs)


def test_without_an_epoch_of_training_the_dense_network_is_that_of_the_file(swept: tuple[Path, list[Record]]) -> None:
    file = weights_of(swept[0], swept[1][0])
    network = testing.network("resnet8", 1, 3, seed=9)
    loaded = find(str(file), RESNET8).open(1, 3)(network, 9)
    images = torch.randn(2, 1, 8, 8)
    assert torch.equal(loaded.eval()(images), bench.load(file)(images))


def test_a_compressed_network_gives_its_kernels(swept: tuple[Path, list[Record]]) -> None:
    csg = next(record for record in swept[1] if record["method"] == "csg" and record["status"] == FINISHED)
    file = weights_of(swept[0], csg)
    loaded = find(str(file), RESNET8).open(1, 3)(testing.network("resnet8", 1, 3), 0)
    images = torch.randn(2, 1, 8, 8)
    assert torch.allclose(loaded.eval()(images), bench.load(file)(images), atol=1e-6)


def test_weights_that_do_not_fit_are_refused(swept: tuple[Path, list[Record]], tmp_path: Path) -> None:
    dense, lowrank = swept[1][0], next(record for record in swept[1] if record["method"] == "lowrank")
    file = weights_of(swept[0], dense)
    with pytest.raises(InputError, match="holds weights of resnet8, not of resnet20; give --model resnet8"):
        plan.from_spec(tiny_spec(["csg"], model="resnet20", weights=str(file)))
    with pytest.raises(InputError, match="no such file: nowhere"):
        plan.from_spec(tiny_spec(["csg"], weights="nowhere"))
    with pytest.raises(InputError, match="there are no pretrained weights for resnet8"):
        plan.from_spec(tiny_spec(["csg"], weights=PRETRAINED))
    with pytest.raises(InputError, match="has 1 channels and 3 classes; the dataset has 3 and 10"):
        find(str(file), RESNET8).open(3, 10)(testing.network("resnet8"), 0)
    changed = str(weights_of(swept[0], lowrank))
    with pytest.raises(InputError, match="holds a network whose layers lowrank changed"):
        plan.from_spec(tiny_spec(["csg"], weights=changed))  # so before anything is read or written


def test_pretrained_weights_are_the_networks_own(tmp_path: Path) -> None:
    """Nothing is fetched here: what stands in for torchvision's network is a resnet8."""
    stand_in = testing.network("resnet8", seed=4)
    model = replace(RESNET8.model, pretrained=lambda channels, classes: stand_in, pretrained_for=(3, 10))
    weights = find(PRETRAINED, ModelChoice("built-in", "resnet18", "resnet18", model, "code"))
    assert weights.columns() == {
        "weights": "pretrained",
        "weights_code": content_hash(stand_in.state_dict()),
        "weights_epochs": None,
    }
    started = weights.open(3, 10)(testing.network("resnet8"), 0)
    assert all(torch.equal(started.state_dict()[name], tensor) for name, tensor in stand_in.state_dict().items())
    # The same in a file have the same identity.
    torch.save({"model": stand_in.state_dict()}, tmp_path / "fetched.pth")
    assert find(str(tmp_path / "fetched.pth"), RESNET8).identity == weights.identity
