"""Networks at other widths, and the baseline that uses them."""

import pytest
import torch
from torch import nn

from bench import budget, count, testing
from bench.allocation import at_budget
from bench.errors import BudgetError
from bench.measure.resizable import Resizing
from bench.method import Resizable
from bench.plugins import networks

FAMILIES = ("resnet8", "densenet-bc-40-12", "mobilenetv2-cifar", "shufflenetv2-x0.5-cifar", "resnet18", "resnet50")


def resizable(model: str) -> Resizable:
    return Resizing(networks.find(model).model, 3, 10).of(seed=0)


def build(model: str, factor: float) -> nn.Module:
    """At widths times this; at least a channel everywhere."""
    family = resizable(model)
    return family.build([max(1, round(factor * number)) for number in family.widths])


@pytest.mark.parametrize("model", FAMILIES)
@pytest.mark.slow
def test_at_its_own_widths_it_is_the_network(model: str) -> None:
    own, network = build(model, 1.0).state_dict(), testing.network(model).state_dict()
    assert list(own) == list(network)
    assert all(torch.equal(tensor, network[name]) for name, tensor in own.items())


@pytest.mark.slow
@pytest.mark.parametrize("model", FAMILIES)
@pytest.mark.parametrize("factor", [0.0, 0.3, 1.4])
def test_it_runs_at_any_width(model: str, factor: float) -> None:
    network = build(model, factor).eval()
    with torch.inference_mode():
        logits = network(torch.randn(2, 3, 32, 32))
    assert logits.shape == (2, 10)
    assert logits.isfinite().all()


@pytest.mark.slow
@pytest.mark.parametrize("model", FAMILIES)
def test_fresh_weights_have_the_scale_of_the_layer_they_are_in(model: str) -> None:
    """He's: a variance of two over the fan-out, whatever the width."""
    convolutions = {name: own for name, own in build(model, 1.4).named_modules() if isinstance(own, nn.Conv2d)}
    large = {name: own for name, own in convolutions.items() if own.weight.numel() > 2000}
    assert large
    for name, layer in large.items():
        fan_out = layer.out_channels * layer.kernel_size[0] * layer.kernel_size[1]
        assert layer.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.15), name


def test_every_width_of_every_group_counts() -> None:
    """resnet8 by hand: 9 in out for each convolution, 2 out for its batch norm, and the classifier."""
    a, b, c, x, y, z = 3, 5, 8, 2, 7, 4
    by_hand = (
        9 * (3 * a + a * x + x * a + a * y + y * b + b * z + z * c) + 2 * (a + x + a + y + b + z + c) + 10 * c + 10
    )
    family = resizable("resnet8")
    # The shortcut adds channels of zeros: a stage has those of the one before it, and its own behind them.
    widths = [a, x, y, b - a, z, c - b]
    assert count.stored_values(family.build(widths)) == family.stored_values(widths) == by_hand


@pytest.mark.parametrize("model", ["resnet8", "resnet20", "densenet-bc-40-12", "shufflenetv2-x0.5-cifar"])
@pytest.mark.parametrize("ratio", [0.5, 2, 32])
@pytest.mark.slow
def test_budgets_are_met_in_proportion(model: str, ratio: float) -> None:
    family = resizable(model)
    asked = round(count.stored_values(testing.network(model)) / ratio)
    network = at_budget(family, asked)
    assert budget.met(asked, count.stored_values(network))
    first, own = next(network.parameters()).shape[0], family.widths[0]
    assert first / own == pytest.approx(ratio**-0.5, rel=0.5)


def test_what_a_method_changes_is_in_the_budget() -> None:
    def change(network: nn.Module) -> nn.Module:
        network.extra = nn.Parameter(torch.zeros(5_000))
        return network

    network = at_budget(resizable("resnet8"), 20_000, lambda plain: count.stored_values(change(plain)))
    changed = change(network)
    assert budget.met(20_000, count.stored_values(changed))
    assert sum(value.numel() for value in changed.parameters()) == count.stored_values(changed)


def test_refusals_have_the_numbers_and_the_reason() -> None:
    with pytest.raises(BudgetError, match=r"with one channel in every group it stores \d+ values; 50 were asked for"):
        at_budget(resizable("resnet8"), 50)
