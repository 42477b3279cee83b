"""Layers that share a parameter: a method keeps them tied, or refuses with a reason, and never unties them in
silence."""

from pathlib import Path

import pytest
import torch
from conftest import PLUGINS
from torch import nn

from bench import count
from bench.errors import BudgetError
from bench.measure import account
from bench.method import Compressed, Method
from bench.methods.crelu.crelu import halve
from bench.methods.csg.csg import CSG
from bench.methods.gcnn.gcnn import require_layers_without_directions
from bench.methods.hashing.hashing import Hashing
from bench.methods.kmeans import KMeans
from bench.methods.lowrank.lowrank import LowRank
from bench.methods.pruning.pruning import Pruning
from bench.methods.sparse import Sparse
from bench.plugins import by_path
from bench.selection import Rule, select
from bench.surgery import changed_channels, channels_of, give_channels, replace

sharing = by_path.import_path(Path(PLUGINS) / "sharing.py")

# Keep the layers and say what their weights are; and put other layers in their place.
METHODS = [CSG(), Hashing(), KMeans(), Sparse(), LowRank(), LowRank(ranks=2), LowRank(kind="cp"), Pruning()]


def compressed(method: Method, tie: str) -> Compressed:
    network = sharing.build(tie=tie)
    values = count.stored_values(network) // 2 if method.sized_by_budget else None
    return account.compress(method, network, values, seed=0, trained=True)


@pytest.mark.slow
@pytest.mark.parametrize("tie", sharing.TIES)
@pytest.mark.parametrize("method", METHODS, ids=str)
def test_what_is_tied_stays_tied(method: Method, tie: str) -> None:
    made = compressed(method, tie)
    network = made.finish()
    one, two = network.get_submodule("one"), network.get_submodule("two")
    match tie:
        case "weights":
            assert one.weight is two.weight
        case "biases":
            assert one.bias is two.bias
        case "modules":
            assert one is two
        case "norms":
            assert network.get_submodule("norm_one") is network.get_submodule("norm_two")
        case "scales":
            assert network.get_submodule("norm_one").weight is network.get_submodule("norm_two").weight
    assert network(torch.randn(2, 3, 16, 16)).shape == (2, 10)


@pytest.mark.slow
@pytest.mark.parametrize("tie", sharing.TIES)
@pytest.mark.parametrize("method", METHODS, ids=str)
def test_it_is_tied_again_when_it_is_rebuilt(method: Method, tie: str) -> None:
    made = compressed(method, tie)
    again = account.rebuild(method, sharing.build(tie=tie), made.structure())
    shapes = {name: tensor.shape for name, tensor in count.stored_tensors(made.network).items()}
    assert {name: tensor.shape for name, tensor in count.stored_tensors(again.network).items()} == shapes


def test_layers_that_share_are_left_alone_where_layers_are_replaced() -> None:
    network = sharing.build(tie="weights")
    assert list(select(network, Rule())) == ["one", "wide", "last"]
    assert list(select(network, Rule(), shared=False)) == ["wide", "last"]
    assert list(select(sharing.build(tie="biases"), Rule(), shared=False)) == ["wide", "last"]
    # One module in two places is one layer, and is replaced in both.
    assert list(select(sharing.build(tie="modules"), Rule(), shared=False)) == ["one", "wide", "last"]


def test_pruning_says_what_it_leaves_alone() -> None:
    made = compressed(Pruning(), "weights")
    assert "one shares a parameter with another layer" in made.solved["left_alone"]


def test_gcnn_refuses_convolutions_that_share_a_weight() -> None:
    with pytest.raises(BudgetError, match="its layers one and two share a weight"):
        require_layers_without_directions(sharing.build(tie="weights"))


def test_a_module_in_two_places_is_replaced_in_both() -> None:
    network = sharing.build(tie="modules")
    layer = nn.Sequential(network.get_submodule("one"))
    replace(network, "one", layer)
    assert network.get_submodule("one") is layer
    assert network.get_submodule("two") is layer
    halved = halve(sharing.build(tie="modules"), ["one"])
    assert halved.get_submodule("one") is halved.get_submodule("two")


@pytest.mark.parametrize("tie", ["weights", "biases", "scales"])
def test_other_channels_are_shared_too(tie: str) -> None:
    network = sharing.build(tie=tie)
    before = channels_of(network)
    give_channels(
        network,
        {"first": [8, 3, 1], "one": [8, 8, 1], "two": [8, 8, 1], "norm_one": [8], "norm_two": [8], "wide": [32, 8, 1]},
    )
    assert set(changed_channels(network, before)) == {"first", "one", "two", "norm_one", "norm_two", "wide"}
    one, two = network.get_submodule("one"), network.get_submodule("two")
    assert (one.weight is two.weight, one.bias is two.bias) == (tie == "weights", tie == "biases")
    norms = network.get_submodule("norm_one"), network.get_submodule("norm_two")
    assert (norms[0].weight is norms[1].weight) == (tie == "scales")
    assert network(torch.randn(2, 3, 8, 8)).shape == (2, 10)
