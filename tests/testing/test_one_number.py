"""Numbers that hold several values fail the kit, whatever they hide them in; numbers that hold one pass."""

import pytest
import torch
from conftest import PLUGINS

from bench import count, testing
from bench.plan.method_choice import find_methods
from bench.plan.task_choice import find_task
from bench.testing.one_number import several_in_one
from bench.testing.tiny_problem import TinyProblem

PACKED = str(PLUGINS / "packed.py")
CHECK = "stores_one_value_a_number"


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("bits", "generator.codes changes different weights by different bits of a number: it holds several values"),
        ("gray", "generator.codes changes different weights by different bits of a number"),
        ("layers", r"stage\d\.0\.conv\d\.codes changes different weights by different bits of a number"),
        ("mantissas", r"generator\.values changes (the network as much by its lowest bits|different weights)"),
    ],
)
def test_several_values_in_a_number_fail(how: str, message: str) -> None:
    with pytest.raises(testing.CheckFailed, match=message):
        testing.run(CHECK, f"packed:how={how}", plugins=[PACKED])


@pytest.mark.slow
@pytest.mark.parametrize("how", ["bytes", "table", "places", "rectified", "plain"])
def test_one_value_in_a_number_passes(how: str) -> None:
    testing.run(CHECK, f"packed:how={how}", plugins=[PACKED])


def test_what_would_be_won_by_it() -> None:
    """A mask of a random network, 31 bits to a number, would be 19 times smaller than it is."""
    dense = count.stored_values(testing.network("resnet8"))
    (packed,) = find_methods(["packed:how=bits"], [PACKED])
    stored = count.stored_values(testing.compress(packed.method, "resnet8", None).network)
    assert 19 < dense / stored < 20


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("method", ["csg:code=4:hidden=8", "lego:split=1", "kmeans:clusters=256", "hyper"])
def test_other_numbers_of_honest_methods_pass_too(method: str, seed: int) -> None:
    """Rectifiers switch, and indices choose: whichever numbers are tried."""
    (choice,) = find_methods([method])
    values = count.stored_values(testing.network("resnet8")) // 4 if choice.method.sized_by_budget else None
    compressed = testing.compress(choice.method, "resnet8", values, trained=True)
    before = {name: tensor.clone() for name, tensor in count.stored_tensors(compressed.network).items()}
    random = torch.Generator().manual_seed(seed)
    assert (
        several_in_one(compressed.network, TinyProblem(find_task("classification").task).images()[0][:1], random) == ""
    )
    after = count.stored_tensors(compressed.network)
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
