"""Factors on a parameter's learning rate and weight decay, and how gradients are."""

from typing import Any

import pytest
import torch
from torch import nn

from bench.method import Compressed


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rates": {"weight": -1.0}}, r"rates of weight can't be -1\.0; a factor is a number, and not negative"),
        ({"decay": {"weight": float("nan")}}, "decay of weight can't be nan"),
        ({"rates": {"weight": "2"}}, "rates of weight can't be '2'"),
        ({"gradients": "wrong"}, "gradients can't be 'wrong'; it is one of exact, scaled, straight-through"),
    ],
)
def test_what_is_no_factor_is_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Compressed(nn.Linear(2, 3), **given)


@pytest.mark.parametrize("what", ["rates", "decay"])
def test_a_factor_for_no_parameter_is_named_when_training_begins(what: str) -> None:
    made = Compressed(nn.Linear(2, 3), **{what: {"wait": 2.0}})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=f"{what} names wait, which is not a parameter of the compressed network"):
        made.parameter_groups(1e-4, 0.1)


def test_factors_reach_the_optimiser() -> None:
    made = Compressed(nn.Linear(2, 3), rates={"weight": 0.5}, decay={"bias": 0})
    groups = {tuple(own["params"][0].shape): own for own in made.parameter_groups(1e-4, 0.1)}
    assert (groups[3, 2]["lr"], groups[3, 2]["weight_decay"]) == (0.05, 1e-4)
    assert (groups[3,]["lr"], groups[3,]["weight_decay"]) == (0.1, 0.0)
    torch.optim.SGD([*groups.values()], lr=0.1)
