"""What no method is asked for, and what none may return: one rule for all, before any of them works."""

import time
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn

from bench import count, testing
from bench.errors import BudgetError
from bench.measure import account
from bench.method import Compressed, Context, Method
from bench.methods.csg.csg import CSG
from bench.methods.dense import Dense
from bench.methods.kmeans import KMeans
from bench.methods.lowrank.lowrank import LowRank
from bench.plan.method_choice import find_methods

DENSE = 75_290  # resnet8


@pytest.mark.slow
@pytest.mark.parametrize("values", [DENSE + 1, 2 * DENSE, 100_000_000])
def test_more_than_the_network_stores_is_refused_before_any_method_works(values: int) -> None:
    reasons = set()
    started = time.perf_counter()
    for choice in find_methods(["all"]):
        if choice.method.sized_by_budget:
            with pytest.raises(BudgetError) as caught:
                testing.compress(choice.method, "resnet8", values, trained=True)
            reasons.add(str(caught.value))
    (reason,) = reasons
    assert reason.startswith(f"{values:,} values were asked for, but the dense network stores only 75,290")
    assert time.perf_counter() - started < 5


def test_as_many_as_the_network_stores_may_be_asked_for() -> None:
    """Whether it can be met is the method's to say."""
    made = testing.compress(find_methods(["width"])[0].method, "resnet8", DENSE)
    assert count.stored_values(made.network) == DENSE


@pytest.mark.parametrize(
    ("method", "stored", "way_out"),
    [
        # 32 slices of 2,304 values, and 1,562 values that are not generated.
        (CSG(code=100_000), "233,601,562", "give code=31 at most"),
        (CSG(code=32), "76,314", "give code=31 at most"),
        (CSG(code=10**9, generator="binary"), "32,000,001,562", "give code=2304 at most"),
        (CSG(code=8, hidden=10**9), "", "give smaller slices or a budget"),
    ],
    ids=str,
)
def test_options_that_make_it_larger_are_refused_before_there_is_memory_for_them(
    method: Method, stored: str, way_out: str
) -> None:
    network = testing.network("resnet8")
    with pytest.raises(BudgetError, match=way_out) as caught:
        account.compress(method, network, None, seed=0, trained=False)
    assert "and the network itself 75,290: nothing is compressed" in str(caught.value)
    assert f"it stores {stored}" in str(caught.value)


def test_the_way_out_is_one() -> None:
    """The longest code that it offers fits, and a longer one does not."""
    with pytest.raises(BudgetError) as caught:
        testing.compress(CSG(code=100_000), "resnet8", None)
    longest = int(str(caught.value).partition("give code=")[2].split()[0])
    assert count.stored_values(testing.compress(CSG(code=longest), "resnet8", None).network) <= DENSE
    with pytest.raises(BudgetError):
        testing.compress(CSG(code=longest + 1), "resnet8", None)


@pytest.mark.parametrize(
    "method", [Dense(), KMeans(), KMeans(clusters=256), LowRank(ranks=10**9), CSG(code=8)], ids=str
)
def test_what_is_no_larger_is_not_refused(method: Method) -> None:
    """Clustered weights are more values, of few bits."""
    assert testing.compress(method, "resnet8", None, trained=True).network


@dataclass(frozen=True)
class Returns(Method):
    """Returns what it is told to."""

    made: Any = None
    finished: Any = None

    sized_by_budget = False

    def compress(self, network: nn.Module, values: int | None, context: Context) -> Compressed:
        if self.finished is not None:
            return Finishes(network, self.finished)
        return self.made


class Finishes(Compressed):
    def __init__(self, network: nn.Module, finished: Any) -> None:
        super().__init__(network)
        self.finished = finished

    def finish(self) -> nn.Module:
        return self.finished[0]


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (None, r"compress\(\) returned NoneType, not a Compressed"),
        (Compressed(None), r"the Compressed that compress\(\) returned has as its network None, which is a NoneType"),
        (Compressed(torch.zeros(3)), "has as its network tensor.*, which is a Tensor, not a torch.nn.Module"),
        (Compressed({"conv": 1}), "has as its network .*, which is a dict, not a torch.nn.Module"),
    ],
)
def test_what_is_no_compressed_network_is_named(made: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        testing.compress(Returns(made), "resnet8", None)


def test_a_finish_that_returns_nothing_is_named() -> None:
    made = testing.compress(Returns(finished=(None,)), "resnet8", None)
    with pytest.raises(TypeError, match=r"finish\(\) returned None, which is a NoneType, not a torch\.nn\.Module"):
        account.deploy(made, (3, 16, 16))


class Larger(Returns):
    def compress(self, network: nn.Module, values: int | None, context: Context) -> Compressed:
        return Compressed(nn.Sequential(network, nn.Linear(10, 10)))


def test_a_method_that_makes_the_network_larger_is_refused() -> None:
    with pytest.raises(BudgetError, match="75,400 values, but the dense network only 75,290, so nothing"):
        testing.compress(Larger(), "resnet8", None)
