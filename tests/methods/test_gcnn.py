"""Group convolutions: equivariant layer by layer, invariant as networks, and stored as the formula says."""

import copy
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from bench import budget, count, testing
from bench.errors import BudgetError
from bench.generated import GeneratedNetwork
from bench.measure import account
from bench.measure.resizable import Resizing
from bench.method import Compressed, Context, Resizable
from bench.methods.gcnn.gcnn import GCNN, equivariant, linear_layers
from bench.methods.gcnn.group_convolution import (
    ORDERS,
    FieldConv2d,
    FilterBanks,
    act,
    inverse,
    kernel_of,
    permutation,
    places,
    product,
)
from bench.plugins import networks

GROUPS = list(ORDERS)


def turned(element: int, x: Tensor, order: int) -> Tensor:
    """Fields, `(images |G|, fields, size, size)`, as they are when the element has acted on the image."""
    moved = x.unflatten(0, (-1, order))[:, permutation(element, order)]
    return act(element, moved).flatten(0, 1)


def test_products_act_one_after_the_other(generator: torch.Generator) -> None:
    image = torch.randn(3, 3, generator=generator)
    for left in range(8):
        for right in range(8):
            assert torch.equal(act(product(left, right), image), act(left, act(right, image)))
        assert product(inverse(left), left) == product(left, inverse(left)) == 0
    assert len({tuple(act(element, image).flatten().tolist()) for element in range(8)}) == 8


def test_the_turns_are_a_group_of_their_own() -> None:
    assert {product(left, right) for left in range(4) for right in range(4)} == set(range(4))


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("size", [8, 9])
@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(2, 3, 3, padding=1),
        nn.Conv2d(2, 3, 3, stride=2, padding=1, bias=False),
        nn.Conv2d(2, 3, 1),
        nn.Conv2d(2, 2, 4, stride=2),
        nn.Conv2d(2, 3, 3, padding=2, dilation=2),
        nn.Conv2d(3, 3, 3, stride=2, padding=1, groups=3),
        nn.Conv2d(4, 6, 5, padding=2, groups=2),
    ],
    ids=["3x3", "stride", "1x1", "even", "dilation", "depthwise", "groups"],
)
def test_a_convolution_is_equivariant(conv: nn.Conv2d, size: int, group: str, generator: torch.Generator) -> None:
    order = ORDERS[group]
    for maps in (1, order):
        layer = FieldConv2d(conv, order, maps).double()
        bank = torch.randn(
            conv.out_channels, conv.weight.shape[1], maps, *conv.kernel_size, generator=generator, dtype=torch.float64
        )
        index = places(order, maps, conv.kernel_size[0]).flatten()
        layer.weight = nn.Parameter(kernel_of(bank, index, conv.groups, order))
        x = torch.randn(2 * maps, conv.in_channels, size, size, generator=generator, dtype=torch.float64)
        y = layer(x)
        for element in range(order):
            after = layer(act(element, x) if maps == 1 else turned(element, x, order))
            assert torch.allclose(after, turned(element, y, order))
            # Nothing is so by being alike in all directions.
            assert element == 0 or not torch.allclose(after, y)


@pytest.mark.parametrize("group", GROUPS)
def test_the_first_map_is_the_convolution_with_the_stored_filters(group: str, generator: torch.Generator) -> None:
    order = ORDERS[group]
    bank = torch.randn(3, 2, order, 3, 3, generator=generator)
    kernel = kernel_of(bank, places(order, order, 3).flatten(), groups=1, order=order)
    assert kernel.shape == (order * 3, order * 2, 3, 3)
    assert torch.equal(kernel[:3], bank.transpose(1, 2).reshape(3, order * 2, 3, 3))
    # Turned once, map 1 of a field is what map 0 was.
    assert torch.equal(kernel[3:6].view(3, order, 2, 3, 3)[:, 1], bank[:, :, 0].rot90(1, (-2, -1)))


def tiny() -> nn.Sequential:
    """A network with 5, 3 and 6 channels; the convolution in the middle is depthwise."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 5, 3, padding=1, bias=False),
        nn.BatchNorm2d(5),
        nn.ReLU(),
        nn.Conv2d(5, 5, 3, stride=2, padding=1, groups=5),
        nn.MaxPool2d(3, 2, 1),
        nn.Conv2d(5, 6, 1, bias=False),
        nn.BatchNorm2d(6),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 4),
    )


@pytest.mark.parametrize(("group", "order"), [("p4", 4), ("p4m", 8)])
def test_it_stores_what_the_formula_says(group: str, order: int) -> None:
    network = equivariant(tiny(), FilterBanks, ORDERS[group], ["9"])
    lifting, depthwise, pointwise = 5 * 2 * 9, 5 * 1 * order * 9 + 5, 6 * 5 * order
    assert count.stored_values(network) == lifting + 2 * 5 + depthwise + pointwise + 2 * 6 + (6 * 4 + 4)
    assert sum(tensor.numel() for tensor in count.statistics(network).values()) == 2 * 5 + 2 * 6


def drawn(network: nn.Module, group: str) -> GeneratedNetwork:
    """The equivariant network with initial filters."""
    return equivariant(network, FilterBanks.drawn, ORDERS[group], linear_layers(network)[:1])


@pytest.mark.parametrize("group", GROUPS)
def test_shapes_of_kernels_are_known_before_they_are_made(group: str) -> None:
    generator = drawn(tiny(), group).generator
    assert generator.kernel_shapes() == {name: tuple(kernel.shape) for name, kernel in generator().items()}


@pytest.mark.parametrize("group", GROUPS)
def test_kernels_start_at_the_scale_of_he(group: str) -> None:
    network = drawn(nn.Sequential(nn.Conv2d(3, 32, 3), nn.Conv2d(32, 64, 3)), group)
    for name, kernel in network.generator().items():
        outputs = kernel.shape[0] * 9
        assert kernel.std().item() == pytest.approx((2 / outputs) ** 0.5, rel=0.1), name


def after_some_training(network: nn.Module) -> nn.Module:
    """In eval mode, with statistics and factors of batch norm that are no longer those of the start."""
    random = torch.Generator().manual_seed(1)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0  # the last batch's, so that what comes out in eval mode is not tiny
    for _ in range(2):
        images = 1 + torch.randn(4, 3, 32, 32, generator=random)
        optimizer.zero_grad()
        functional.cross_entropy(network.train()(images), torch.arange(4)).backward()
        optimizer.step()
    return network.eval()


def off(network: nn.Module, elements: Sequence[int], size: int) -> float:
    """By how much, of their largest difference between two images, these elements change the logits."""
    images = 1 + torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        expected = network(images)
        changes = [float((network(act(element, images)) - expected).abs().max()) for element in elements]
    return max(changes) / float((expected[0] - expected[1]).abs().max())


@pytest.mark.parametrize(("model", "group"), [*((model, "p4m") for model in testing.FAMILIES), ("resnet8", "p4")])
@pytest.mark.slow
def test_logits_stay_when_the_image_is_turned(model: str, group: str) -> None:
    others = Resizing(networks.find(model).model, 3, 10).of(0)
    narrow = others.build([max(2, width // 8) for width in others.widths])
    network = drawn(narrow, group)
    after_some_training(network)
    finished = Compressed(network).finish().eval()
    assert not any(isinstance(module, GeneratedNetwork) for module in finished.modules())
    for each in (network, finished):
        assert off(each, range(1, ORDERS[group]), 32) < 1e-4
    if group == "p4":
        assert off(network, [4], 32) > 0.01


@pytest.mark.parametrize("size", [28, 31, 33, 46])
@pytest.mark.slow
def test_sizes_that_strides_do_not_divide(size: int) -> None:
    network = drawn(testing.network("resnet8"), "p4m")
    assert off(after_some_training(network), range(1, 8), size) < 1e-4


def test_a_network_without_groups_does_see_a_difference() -> None:
    network = testing.network("resnet8")
    assert off(after_some_training(network), [1], 32) > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("ratio", [2, 4, 8, 16, 32])
@pytest.mark.parametrize("group", GROUPS)
def test_even_the_smallest_network_meets_every_budget(group: str, ratio: int) -> None:
    asked = round(count.stored_values(testing.network("resnet8")) / ratio)
    method = GCNN(group)  # type: ignore[arg-type]
    made = testing.compress(method, "resnet8", asked)
    assert budget.met(asked, count.stored_values(made.network))


def compress(layers: nn.Module) -> Compressed:
    """A network of a single width, at that width."""
    others = Resizable((1,), lambda widths: copy.deepcopy(layers))
    return account.compress(GCNN(), layers, None, seed=0, trained=False, find_resizable=lambda: others)


def test_a_layer_that_has_directions_is_refused() -> None:
    with pytest.raises(BudgetError, match=r"its layer 0 doesn't do to rows what it does to columns: Conv2d.*\(1, 7\)"):
        compress(nn.Sequential(nn.Conv2d(3, 4, (1, 7))))
    with pytest.raises(BudgetError, match=r"how its layer 1 could .* is not known here: .*padding_mode=reflect"):
        compress(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect")))


class AlmostInvariant(nn.Module):
    """Adds to the images, by a factor, what depends on how they are turned."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x + self.factor * torch.linspace(0, 1, x.shape[-1], dtype=x.dtype)


def test_invariance_is_checked_in_double_precision() -> None:
    """What differs by less than single precision can tell is seen all the same."""
    layers = [nn.Conv2d(3, 4, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)]
    with pytest.raises(BudgetError, match=r"how an image is turned, .* by \d(\.\d)?e-0\d of the largest logit"):
        compress(nn.Sequential(nn.Conv2d(3, 4, 1), AlmostInvariant(1e-5), nn.ReLU(), *layers[1:]))
    assert compress(nn.Sequential(*layers))


@pytest.mark.whole
@pytest.mark.parametrize("model", ["resnet50", "wide_resnet50_2"])
def test_deep_networks_are_invariant_too(model: str) -> None:
    """In single precision, rounding alone would make them differ by more than 1e-4."""
    requested = count.stored_values(testing.network(model)) // 4
    assert budget.met(requested, count.stored_values(testing.compress(GCNN(), model, requested).network))


def test_a_network_without_convolutions_is_refused_with_the_reason() -> None:
    with pytest.raises(BudgetError, match=r"it has 0 convolutions \(Conv2d\)"):
        compress(nn.Sequential(nn.Flatten(), nn.Linear(4, 5)))


def test_of_a_head_of_several_layers_the_first_sees_the_mean() -> None:
    class Excited(nn.Module):
        """Squeeze and excitation by linear layers, which are none of the head."""

        def __init__(self) -> None:
            super().__init__()
            self.a, self.squeeze, self.b = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 4), nn.Conv2d(4, 6, 3, padding=1)
            self.head = nn.Sequential(nn.Linear(6, 7), nn.ReLU(), nn.Linear(7, 5))

        def forward(self, x: Tensor) -> Tensor:
            x = self.a(x)
            x = self.b(x * self.squeeze(x.mean((2, 3))).sigmoid()[..., None, None])
            out: Tensor = self.head(x.relu().mean((2, 3)))
            return out

    others = Resizable((1,), lambda widths: Excited())
    context = Context(torch.Generator().manual_seed(0), trained=False, find_resizable=lambda: others)
    made = GCNN().compress(Excited(), None, context)
    assert made.structure()["head"] == "head.0"
    assert off(made.network.eval(), range(1, 8), 16) < 1e-4
    again = account.rebuild(GCNN(), Excited(), made.structure())
    again.network.load_state_dict(made.network.state_dict())
    images = torch.randn(2, 3, 16, 16)
    with torch.inference_mode():
        assert torch.equal(again.network.eval()(images), made.network(images))


def test_a_network_that_ends_in_a_convolution_is_refused() -> None:
    with pytest.raises(BudgetError, match="0 linear layers behind its convolutions"):
        compress(nn.Sequential(nn.Conv2d(3, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()))


def test_a_network_that_looks_at_directions_is_refused() -> None:
    layers = [nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d((2, 1)), nn.Flatten(), nn.Linear(8, 5)]
    with pytest.raises(BudgetError, match=r"how an image is turned, .* by 0\.\d+ of the largest logit"):
        compress(nn.Sequential(*layers))
    assert compress(nn.Sequential(*layers[:2], nn.AvgPool2d(32), nn.Flatten(), nn.Linear(4, 5)))
