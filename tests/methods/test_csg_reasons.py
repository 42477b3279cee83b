"""Why csg can't meet a budget: what binds is said, and a way out is one that meets it."""

import pytest
from torch import nn

from bench import budget, count, testing
from bench.errors import BudgetError
from bench.generated import GeneratedNetwork
from bench.measure import account
from bench.method import Compressed
from bench.methods.csg.csg import CSG
from bench.plan.method_choice import find_methods

SIXTEEN = CSG(slice=(16, 16))


def reason(method: CSG, model: str, values: int) -> str:
    with pytest.raises(BudgetError) as caught:
        testing.compress(method, model, values)
    return str(caught.value)


def generated(compressed: Compressed) -> list[str]:
    assert isinstance(compressed.network, GeneratedNetwork)
    return [name.removesuffix(".weight") for name in compressed.network._places]


def test_linear_layers_are_generated_where_all_else_is_not_enough() -> None:
    """As in other methods: here the classifier has nine tenths of the values."""
    pool = nn.AdaptiveAvgPool2d(4)
    network = nn.Sequential(nn.Conv2d(3, 16, 3), nn.Conv2d(16, 16, 3), pool, nn.Flatten(), nn.Linear(256, 100))
    values = count.stored_values(network) // 8
    made = account.compress(CSG(), network, values, seed=0, trained=False)
    assert budget.met(values, count.stored_values(made.network))
    assert generated(made) == ["1", "4"]
    # And no sooner than that.
    assert "classifier" not in generated(testing.compress(CSG(), "resnet8", 75_290 // 8))


@pytest.mark.parametrize(
    ("method", "model", "values", "binds"),
    [
        (CSG(), "mobilenetv2-cifar", 50_000, "what is not generated stores 100,186 values by itself"),
        (
            SIXTEEN,
            "resnet8",
            3_000,
            "what is not generated stores 922 values, and a code length of 1 with its generator",
        ),
        (CSG(hidden=64, slice=(16, 16)), "resnet8", 40_000, "and a code length of 1 with its generator"),
        (CSG(layers="stage1.0.conv1"), "resnet8", 20_000, "what is not generated stores 72,986 values by itself"),
    ],
    ids=str,
)
def test_the_way_out_meets_the_budget(method: CSG, model: str, values: int, binds: str) -> None:
    said = reason(method, model, values)
    assert binds in said
    head, _, way_out = said.rpartition("; ")
    assert way_out.endswith(" meets it")
    options = way_out.removesuffix(" meets it")
    written = find_methods([f"csg:{options}"])[0].method
    if method.layers != "paper":
        assert options == "layers=paper"
    assert budget.met(values, count.stored_values(testing.compress(written, model, values).network))
    assert f"{values:,} were asked for" in head


def test_no_way_out_is_offered_where_there_is_none() -> None:
    said = reason(CSG(), "resnet8", 300)
    assert said.endswith("300 were asked for")
    assert "smaller slices" not in said
