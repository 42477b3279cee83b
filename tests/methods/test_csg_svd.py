"""CSG from a trained network: the generator of its kernels' singular vectors."""

from typing import Any

import pytest
import torch
from csg_networks import context, group, of
from inside import kernels_of
from torch import nn

from bench import testing
from bench.errors import InputError
from bench.methods.csg.csg import CSG
from bench.methods.csg.papers_layers import papers_choice
from bench.plan import plan
from bench.selection import select


def trained_network(seed: int = 5) -> nn.Module:
    network = testing.network("resnet8", seed=seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed)))
    return network


@pytest.mark.parametrize("slice_", [(16, 16), (8, 16), (4, 4)])
@pytest.mark.parametrize("code", [1, 5, 20])
def test_svd_reaches_the_optimum(slice_: tuple[int, int], code: int) -> None:
    """Eckart and Young: the error is the sum of the squares of the singular values that are left out, here of a matrix
    that is cut out of the kernels by hand."""
    network = trained_network()
    weights = {
        name: layer.weight.detach().clone() for name, layer in select(network, papers_choice(network, "")).items()
    }
    size_in, size_out = slice_
    rows = [
        weight[o : o + size_out, i : i + size_in].flatten()
        for weight in weights.values()
        for o in range(0, weight.shape[0], size_out)
        for i in range(0, weight.shape[1], size_in)
    ]
    left_out = torch.linalg.svdvals(torch.stack(rows).double())[code:].square().sum()
    method = CSG(slice=slice_, code=code, init="svd")
    kernels = kernels_of(of(method, network, given=context(trained=True)))
    with torch.no_grad():
        error = sum((kernels[f"{name}.weight"] - weight).double().square().sum() for name, weight in weights.items())
    assert float(error) == pytest.approx(float(left_out), rel=1e-4, abs=1e-8)


def test_svd_with_enough_slices_changes_no_output() -> None:
    network = trained_network().eval()
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    expected = network(images)
    made = of(CSG(code=40, init="svd"), network, given=context(trained=True))
    made.network.eval()
    assert torch.allclose(made.network(images), expected, rtol=1e-4, atol=1e-4)
    assert all(torch.isfinite(parameter).all() for parameter in made.network.parameters())
    made.network(images).sum().backward()
    gradient = group(made).codes.grad
    assert gradient is not None
    assert (gradient[:, -1] != 0).any()  # also of the slices beyond the rank of the 32 that there are


def test_a_partial_slice_lowers_the_error_of_svd() -> None:
    def error(**options: Any) -> float:
        network = trained_network()
        wanted = {
            name: layer.weight.detach().clone() for name, layer in select(network, papers_choice(network, "")).items()
        }
        made = of(CSG(init="svd", **options), network, None if "code" in options else 20_000, context(trained=True))
        with torch.no_grad():
            generated = kernels_of(made)
            return float(sum((generated[f"{name}.weight"] - weight).square().sum() for name, weight in wanted.items()))

    code = group(of(CSG(init="svd"), trained_network(), 20_000, context(trained=True))).codes.shape[1]
    assert error(code=code + 1) < error() < error(code=code)


def test_svd_is_for_trained_networks() -> None:
    from conftest import tiny_spec

    assert CSG(init="svd").compress_at == 0.5
    assert CSG(init="svd", compress_at=0.25).compress_at == 0.25
    assert CSG().compress_at == 0
    with pytest.raises(InputError, match=r"csg:init=svd:compress_at=0\.0 compresses a trained network"):
        plan.from_spec(tiny_spec(["csg:init=svd:compress_at=0"]))


@pytest.mark.parametrize("tiling", ["block", "view"])
def test_svd_of_kernels_of_low_rank_leaves_nothing_that_cannot_learn(tiling: Any) -> None:
    network = trained_network()
    with torch.no_grad():
        for layer in select(network, papers_choice(network, "")).values():
            layer.weight.copy_(torch.ones_like(layer.weight))
    made = group(of(CSG(slice=(12, 12), tiling=tiling, code=72, init="svd"), network, given=context(trained=True)))
    assert (made.slices.norm(dim=1) > 0.1).all()
    assert not made.codes[made.dead()].any()
