"""Slices that csg makes smaller where 16x16 can't meet a budget, and leaves alone where they can or were given."""

import math

import pytest
import torch
from conftest import tiny_spec
from torch import nn

from bench import budget, count, testing
from bench.errors import BudgetError
from bench.methods.csg.csg import CSG
from bench.plan import plan


def dense_values(model: str) -> int:
    return count.stored_values(testing.network(model))


# Whole slices, and the values and codes of the one in part, as they were when no slice was ever made smaller.
BEFORE = [
    ("resnet8", 4, {"3x3": [7, 876, 32]}),
    ("resnet8", 16, {"3x3": [1, 776, 32]}),
    ("resnet20", 32, {"3x3": [2, 1015, 116]}),
    ("densenet-bc-40-12", 16, {"1x1": [3, 216, 216], "3x3": [1, 0, 0]}),
    ("mobilenetv2-cifar", 16, {"1x1": [3, 256, 3904]}),
]


@pytest.mark.parametrize(("model", "ratio", "lengths"), BEFORE)
def test_where_the_budget_was_met_nothing_changes(model: str, ratio: int, lengths: dict[str, list[int]]) -> None:
    values = round(dense_values(model) / ratio)
    made = testing.compress(CSG(), model, values)
    given = testing.compress(CSG(slice=(16, 16)), model, values)
    assert made.structure()["lengths"] == lengths
    assert made.structure() == given.structure()
    assert not any(name.startswith("slice.") or name == "slice" for name in made.solved)
    others = given.network.state_dict()
    for name, tensor in made.network.state_dict().items():
        assert torch.equal(tensor, others[name]), name


@pytest.mark.parametrize(("model", "ratio"), [("resnet8", 24), ("resnet8", 32), ("resnet20", 64)])
def test_beyond_that_slices_are_those_that_cost_least(model: str, ratio: int) -> None:
    """D + N counted here for every square, from the shapes of the kernels alone."""
    values = round(dense_values(model) / ratio)
    with pytest.raises(BudgetError, match=r"a code length of 1 with its generator .* meets it"):
        testing.compress(CSG(slice=(16, 16)), model, values)
    made = testing.compress(CSG(), model, values)
    convolutions = [module for module in testing.network(model).modules() if isinstance(module, nn.Conv2d)]
    shapes = [conv.weight.shape for conv in convolutions if conv.kernel_size == (3, 3)][1:]

    def cost(side: int) -> int:
        return 9 * side**2 + sum(math.ceil(shape[0] / side) * math.ceil(shape[1] / side) for shape in shapes)

    best = min(range(1, 17), key=cost)
    assert made.solved["slice"] == f"{best}x{best}"
    assert made.solved["code"] == (values - left_alone(model, len(shapes))) // cost(best)
    assert values - count.stored_values(made.network) in (0, 1)


def left_alone(model: str, generated: int) -> int:
    """What all but the 3x3 kernels behind the first store."""
    network = testing.network(model)
    spatial = [module for module in network.modules() if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3)]
    assert len(spatial) == generated + 1
    return count.stored_values(network) - sum(conv.weight.numel() for conv in spatial[1:])


def test_kernel_sizes_have_slices_of_their_own() -> None:
    values = round(dense_values("densenet-bc-40-12") / 24)
    made = testing.compress(CSG(), "densenet-bc-40-12", values)
    assert made.structure()["slices"] == {"1x1": [16, 16], "3x3": [6, 6]}
    assert (made.solved["slice.1x1"], made.solved["slice.3x3"]) == ("16x16", "6x6")
    assert budget.met(values, count.stored_values(made.network))


def test_with_the_code_given_slices_stay() -> None:
    assert testing.compress(CSG(code=2), "resnet8", None).structure()["slice"] == [16, 16]


def test_what_no_slice_can_meet_says_the_least_that_can_be_had() -> None:
    """583 and 51 values for K = 1, counted as above; with 16x16 slices it was 2,500."""
    with pytest.raises(BudgetError, match="a code length of 1 with its generator 634; 1,000 were asked for"):
        testing.compress(CSG(), "resnet8", 1_000)


def test_a_slice_that_is_given_makes_another_run() -> None:
    plain, given = (plan.from_spec(tiny_spec([text])).runs[1] for text in ("csg", "csg:slice=16x16"))
    assert (plain.choice.text, given.choice.text) == ("csg", "csg:slice=16x16")
    assert plain.id != given.id
