"""Masks: attached, counted, enforced, taken away."""

import copy

import pytest
import torch
from torch import nn

from bench import count, masks
from bench.method import Compressed


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.Sequential(nn.Linear(4, 5)))


def mask_of(shape: tuple[int, ...], kept: int) -> torch.Tensor:
    mask = torch.zeros(shape, dtype=torch.bool)
    mask.view(-1)[:kept] = True
    return mask


def test_what_a_mask_leaves_out_is_zero_and_does_not_count() -> None:
    made = network()
    before = made[0].weight.clone()
    mask = mask_of((3, 2, 3, 3), 7)
    masks.attach(made, {"0.weight": mask})
    assert torch.equal(made[0].weight, before * mask)
    assert count.stored_values(made) == 7 + 3 + 20 + 5
    assert count.trained_values(made) == 7 + 3 + 20 + 5
    assert count.values_by_tensor(made) == {"0.weight": 7, "0.bias": 3, "1.0.weight": 20, "1.0.bias": 5}


def test_a_frozen_parameter_is_stored_and_not_trained() -> None:
    made = network()
    made[0].weight.requires_grad_(False)
    masks.attach(made, {"0.weight": mask_of((3, 2, 3, 3), 7)})
    assert count.stored_values(made) - count.trained_values(made) == 7


def test_a_second_mask_replaces_the_first_and_changes_in_place_count_at_once() -> None:
    made = network()
    masks.attach(made, {"1.0.weight": mask_of((5, 4), 3)})
    masks.attach(made, {"1.0.weight": mask_of((5, 4), 9)})
    (mask,) = masks.of(made).values()
    assert int(mask.sum()) == 9
    mask[:] = False
    masks.enforce(masks.pairs(made))
    assert not made[1][0].weight.any()
    assert count.stored_values(made) == 54 + 3 + 5


def test_a_method_that_looks_after_a_step_sees_zeros_where_its_masks_leave_out() -> None:
    """The optimiser has changed these values, too."""
    made = network()
    masks.attach(made, {"0.weight": mask_of((3, 2, 3, 3), 7)})
    seen: list[int] = []

    class Looks(Compressed):
        def after_step(self, progress: float) -> bool:
            seen.append(int(self.network.get_parameter("0.weight").count_nonzero()))
            masks.of(self.network)["0.weight"].view(-1)[3:] = False
            return False

    with torch.no_grad():
        made[0].weight.fill_(100.0)
    Looks(made).step_done(0.5)
    assert seen == [7]
    assert int(made[0].weight.count_nonzero()) == 3


def test_they_go_with_copies_and_come_off() -> None:
    made = network()
    masks.attach(made, {"0.weight": mask_of((3, 2, 3, 3), 7)})
    assert {*made.state_dict()} == {*network().state_dict(), "0.mask_of_weight"}
    copied = copy.deepcopy(made)
    masks.detach(made)
    assert list(made.state_dict()) == list(network().state_dict())
    assert (masks.of(made), list(masks.of(copied))) == ({}, ["0.weight"])
    assert count.stored_values(made) == 54 + 3 + 20 + 5
    assert int(made[0].weight.count_nonzero()) == 7


@pytest.mark.parametrize("mask", [torch.ones(3, 2, 3, 3), torch.ones(3, 2, 3, dtype=torch.bool)])
def test_what_is_no_mask_is_named(mask: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"the mask of 0\.weight is torch"):
        masks.attach(network(), {"0.weight": mask})


def test_a_buffer_that_is_called_like_a_mask_is_none_unless_it_fits_a_parameter() -> None:
    """A method could hide values under such a name."""
    made = network()
    made[0].register_buffer("mask_of_weight", torch.ones(3, 2, 3, 3))
    made[0].register_buffer("mask_of_bias", torch.ones(7, dtype=torch.bool))
    made[1].register_buffer("mask_of_nothing", torch.ones(2, dtype=torch.bool))
    assert (masks.of(made), masks.names(made)) == ({}, set())
    assert count.stored_values(made) == 54 + 3 + 20 + 5 + 54 + 7 + 2
    masks.detach(made)
    assert count.stored_values(made) == 54 + 3 + 20 + 5 + 54 + 7 + 2
