"""Filter basis: the paper's two convolutions, the fit that nothing beats, the formula for what is stored."""

import pytest
import torch
from inside import groups_of, kernels_of
from torch import Tensor, nn
from torch.nn import functional

from bench import count, testing
from bench.errors import BudgetError
from bench.kernels.combinations import SliceGroup
from bench.method import Compressed, Context
from bench.methods.basis import Basis, part_of


class Three(nn.Module):
    """Two layers with 6 input channels, one with 8, behind a first convolution that is left alone."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.second = nn.Conv2d(6, 6, 3, padding=1, bias=False)
        self.third = nn.Conv2d(6, 8, 3, padding=1, bias=False)
        self.fourth = nn.Conv2d(8, 4, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fourth(self.third(self.second(self.first(x))))
        return y


FIRST = 6 * 3 * 9


def three() -> nn.Module:
    torch.manual_seed(1)
    return Three()


def compressed(method: Basis, network: nn.Module, budget: int, trained: bool = False) -> Compressed:
    return method.compress(network, budget, Context(torch.Generator().manual_seed(0), trained))


def groups(made: Compressed) -> dict[str, SliceGroup]:
    return groups_of(made, SliceGroup)


@pytest.mark.parametrize("channels", [128, 4, 3])
def test_it_is_the_papers_two_convolutions(channels: int) -> None:
    """The basis over each part of the input, then a 1x1 convolution with the coefficients."""
    made = compressed(Basis(channels=channels), three(), FIRST + 500)
    group = groups(made)["6x3x3"]
    part = {128: 6, 4: 3, 3: 3}[channels]
    parts = 6 // part
    basis, codes = group.slices.detach(), group.codes.detach()
    if group.partial_slice is not None and group.partial_codes is not None:
        whole = torch.zeros(1, basis.shape[1])
        whole[0, : group.partial_slice.numel()] = group.partial_slice.detach()
        column = torch.zeros(len(codes), 1)
        column[: group.partial_codes.numel(), 0] = group.partial_codes.detach()
        basis, codes = torch.cat([basis, whole]), torch.cat([codes, column], dim=1)
    # Rows of the coefficients: filter by filter of the second layer, part by part, then those of the third.
    own = codes[: 6 * parts].view(6, parts, -1)
    images = torch.randn(2, 6, 7, 7, generator=torch.Generator().manual_seed(3))
    responses = [
        functional.conv2d(images[:, i * part : (i + 1) * part], basis.view(-1, part, 3, 3), padding=1)
        for i in range(parts)
    ]
    expected = functional.conv2d(torch.cat(responses, dim=1), own.reshape(6, -1)[:, :, None, None])
    kernel = kernels_of(made)["second.weight"]
    assert torch.allclose(functional.conv2d(images, kernel, padding=1), expected, atol=1e-5)


@pytest.mark.parametrize(("shared", "bases"), [(True, 2), (False, 3)])
def test_what_is_stored_follows_the_formula(shared: bool, bases: int) -> None:
    """K (p kh kw + s out) for each layer with a basis of its own; the out of layers that share one add up."""
    made = compressed(Basis(channels=4, shared=shared), three(), FIRST + 420)
    found = groups(made)
    outputs = {"6x3x3": 6 + 8, "8x3x3": 4} if shared else {"second": 6, "third": 8, "fourth": 4}
    inputs = {"6x3x3": 3, "8x3x3": 4} if shared else {"second": 3, "third": 3, "fourth": 4}
    assert found.keys() == outputs.keys()
    total = FIRST
    for name, group in found.items():
        total += group.length.whole * (inputs[name] * 9 + 2 * outputs[name])
        total += group.length.partial_values + group.length.partial_codes
    assert count.stored_values(made.network) == total
    assert FIRST + 420 - total in (0, 1)
    assert made.solved["bases"] == bases


@pytest.mark.parametrize("shared", [True, False])
def test_no_basis_is_nearer_to_trained_kernels(shared: bool) -> None:
    """The error is what the singular values beyond the K largest leave (Eckart and Young), less what the partial filter
    takes off; and no other coefficients for the same basis do better."""
    source = three()
    kernels = {name: layer.weight.detach().clone() for name, layer in source.named_children()}  # type: ignore[union-attr]
    fitted = compressed(Basis(channels=3, shared=shared), source, FIRST + 500, trained=True)
    for name, group in groups(fitted).items():
        layers = {"6x3x3": ["second", "third"], "8x3x3": ["fourth"]}.get(name, [name])
        parts = {"fourth": 3}
        rows = []
        for layer in layers:
            padded = functional.pad(kernels[layer], (0, 0, 0, 0, 0, 1)) if layer == "fourth" else kernels[layer]
            rows += [padded.unflatten(1, (parts.get(layer, 2), -1)).flatten(0, 1).flatten(1)]
        matrix = torch.cat(rows).double()
        made = group.codes.double() @ group.slices.double()
        beyond = torch.linalg.svdvals(matrix)[group.length.whole :]
        assert (matrix - made).square().sum().item() == pytest.approx(beyond.square().sum().item(), rel=1e-4)
    generated = kernels_of(fitted)
    for name, kernel in kernels.items():
        if name != "first":
            assert (generated[f"{name}.weight"] - kernel).norm() < 0.9 * kernel.norm()


def test_kernels_start_at_the_scale_of_the_networks_own() -> None:
    network = testing.network("resnet20")
    sizes = {f"{name}.weight": module.weight.std() for name, module in network.named_modules() if _is_generated(module)}
    made = kernels_of(compressed(Basis(), network, 67_000))
    assert made.keys() == sizes.keys() - {"conv1.weight"}
    for name, kernel in made.items():
        assert kernel.square().mean().sqrt().item() == pytest.approx(sizes[name].item(), rel=0.01)


def _is_generated(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3)


def test_parts_are_even() -> None:
    assert [part_of(inputs, 128) for inputs in (3, 128, 129, 256, 300)] == [3, 128, 65, 128, 100]


def test_where_one_filter_a_basis_is_too_much() -> None:
    with pytest.raises(BudgetError, match="what has no basis stores 162 values, and 2 bases of one filter with their"):
        compressed(Basis(), three(), FIRST + 100)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 0}, "channels can't be 0; it is at least 1"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Basis(**options)  # type: ignore[arg-type]
