"""Soft sharing: sums of templates, what a bank stores, networks that get narrower where one template is too much."""

import pytest
import torch
from inside import groups_of, kernels_of
from torch import nn

from bench import budget, count, testing
from bench.errors import BudgetError
from bench.kernels.combinations import SliceGroup
from bench.method import Compressed, Context
from bench.methods.sharing import Sharing

LAYERS = {"1": (6, 6), "2": (6, 6), "3": (6, 6), "4": (8, 6), "5": (8, 8), "6": (8, 8)}
# Convolutions 0 and 4 have kernels that no other has.
OWN = 6 * 3 * 9 + 8 * 6 * 9


def network() -> nn.Module:
    torch.manual_seed(1)
    layers = [nn.Conv2d(inputs, outputs, 3, bias=False) for outputs, inputs in LAYERS.values()]
    return nn.Sequential(nn.Conv2d(3, 6, 3, bias=False), *layers)


def compressed(model: nn.Module, asked: int) -> Compressed:
    """At its own width alone."""
    return Sharing().compress(model, asked, Context(torch.Generator().manual_seed(0), trained=False))


def banks(made: Compressed) -> dict[str, SliceGroup]:
    return groups_of(made, SliceGroup)


def test_kernels_are_sums_of_templates_of_their_shape() -> None:
    """Two banks: two templates of 324 values for 3 layers, one of 576 for 2. The layer of its own stays as it is."""
    model = network()
    own = model[4].weight.detach().clone()  # type: ignore[index, union-attr]
    made = compressed(model, OWN + 2 * (324 + 3) + (576 + 2))
    found = banks(made)
    assert {name: tuple(group.codes.shape) for name, group in found.items()} == {"6x6x3x3": (3, 2), "8x8x3x3": (2, 1)}
    kernels = kernels_of(made)
    assert kernels.keys() == {"1.weight", "2.weight", "3.weight", "5.weight", "6.weight"}
    for name, layers in {"6x6x3x3": ["1", "2", "3"], "8x8x3x3": ["5", "6"]}.items():
        group = found[name]
        for row, layer in enumerate(layers):
            outputs, inputs = LAYERS[layer]
            templates = group.slices.view(-1, outputs, inputs, 3, 3)
            total = sum(alpha * template for alpha, template in zip(group.codes[row], templates, strict=True))
            assert torch.allclose(kernels[f"{layer}.weight"], total, atol=1e-6)  # type: ignore[arg-type]
    assert torch.equal(made.network.get_parameter("network.4.weight"), own)


@pytest.mark.parametrize("more", [0, 1, 2, 50, 326])
def test_what_is_stored_follows_the_formula_and_the_rest_is_a_template_in_part(more: int) -> None:
    asked = OWN + (324 + 3) + (576 + 2) + more
    made = compressed(network(), asked)
    total = OWN
    for group in banks(made).values():
        layers, values = group.codes.shape[0], group.slices.shape[1]
        total += group.length.whole * (values + layers) + group.length.partial_values + group.length.partial_codes
    assert count.stored_values(made.network) == total
    assert asked - total in (0, 1)


def test_layers_start_apart_and_at_their_scale() -> None:
    """Coefficients are orthogonal between layers where there are as many templates, but for the scale of each layer."""
    model = testing.network("resnet56")
    sizes = {name: value.square().mean().sqrt().item() for name, value in model.named_parameters()}
    made = compressed(model, 400_000)
    for name, kernel in kernels_of(made).items():
        assert kernel.square().mean().sqrt().item() == pytest.approx(sizes[name], rel=1e-3)
    for group in banks(made).values():
        columns = group.codes / group.codes.norm(dim=1, keepdim=True)
        # K columns of L rows: independent ones would all point anywhere, these span K directions evenly.
        spread = torch.linalg.svdvals(columns)
        assert spread[-1] > 0.5 * spread[0]


@pytest.mark.slow
@pytest.mark.parametrize(("model", "ratio"), [("resnet8", 16), ("resnet20", 4), ("resnet20", 32)])
def test_networks_get_narrower_where_one_template_a_bank_is_too_much(model: str, ratio: int) -> None:
    asked = round(count.stored_values(testing.network(model)) / ratio)
    with pytest.raises(BudgetError, match=f"which is the least, it stores [0-9,]+ values; {asked:,} were asked for"):
        compressed(testing.network(model), asked)
    made = testing.compress(Sharing(), model, asked)
    assert budget.met(asked, count.stored_values(made.network))
    # What is left when no channel more fits buys templates of the smallest shape.
    largest = max(banks(made).values(), key=lambda group: group.slices[0].numel())
    assert largest.length.whole == 1
    assert made.solved["most_channels"] < 64


def test_the_width_is_kept_as_long_as_templates_fit() -> None:
    made = testing.compress(Sharing(), "resnet20", 80_000)
    assert made.solved == {
        "banks": 3,
        "templates": "3+1+1",
        "sharing_layers": 16,
        "most_channels": 64,
    }


def test_where_nothing_has_the_shape_of_another() -> None:
    with pytest.raises(BudgetError, match="no two layers have kernels of one shape to share; 300 values were asked"):
        compressed(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3), nn.Conv2d(5, 6, 3)), 300)
