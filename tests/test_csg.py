"""CSG: the parameter totals of its authors, the tiling, the scale at the start, one product for all kernels."""

import math

import pytest
import torch
from bench.methods.csg import CSG, SliceGenerator, Tiling, solve_code_length
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from bench import artifact, count
from bench.errors import BudgetError
from bench.generated import GeneratedNetwork
from bench.method import Context


def compressed(method: CSG, model: str = "resnet20", budget: int | None = None) -> GeneratedNetwork:
    network = artifact.build_network(model, 3, 10, seed=0)
    made = method.compress(network, budget, Context(torch.Generator().manual_seed(0), trained=False))
    assert isinstance(made, GeneratedNetwork)
    return made


@pytest.mark.parametrize(
    ("model", "side", "code", "stored"),
    [
        ("resnet20", 16, 72, 176_698),
        ("resnet20", 12, 72, 115_426),
        ("resnet20", 16, 128, 312_218),
        ("resnet56", 16, 128, 347_162),
        ("resnet56", 12, 72, 160_450),
    ],
)
def test_totals_of_the_authors_code(model: str, side: int, code: int, stored: int) -> None:
    assert count.stored_values(compressed(CSG(slice=(side, side), code=code), model)) == stored


def test_the_first_convolution_and_the_classifier_are_left_alone() -> None:
    names = set(compressed(CSG(code=2)).generator())
    assert len(names) == 18
    assert not names & {"conv1.weight", "classifier.weight"}


@pytest.mark.parametrize(
    ("shape", "slice_"),
    [((16, 16, 3, 3), (16, 16)), ((5, 7, 3, 3), (4, 2)), ((1, 1, 5, 5), (3, 4)), ((32, 20, 1, 1), (12, 12))],
)
def test_a_kernel_is_its_slices_in_blocks(shape: tuple[int, ...], slice_: tuple[int, int]) -> None:
    """Against the plain formula: every kernel value looked up on its own."""
    tiling = Tiling(shape, slice_)
    size_in, size_out = slice_
    slices = torch.randn(tiling.slices, size_out * size_in * shape[2] * shape[3])
    blocks = slices.view(-1, size_out, size_in, shape[2], shape[3])
    columns = math.ceil(shape[1] / size_in)
    kernel = tiling.assemble(slices)
    assert kernel.shape == shape
    for o in range(shape[0]):
        for i in range(shape[1]):
            block = blocks[(o // size_out) * columns + i // size_in]
            assert torch.equal(kernel[o, i], block[o % size_out, i % size_in])


def test_kernels_are_codes_times_slices() -> None:
    generator = compressed(CSG(slice=(12, 12)), budget=70_000).generator
    assert isinstance(generator, SliceGenerator)
    with torch.no_grad():
        generator.partial_slice.normal_()
    kernels = generator()
    row = 0
    for index, (name, tiling) in enumerate(generator.tilings.items()):
        flat = []
        for _ in range(tiling.slices):
            total = generator.codes[row] @ generator.slices
            if row < len(generator.partial_codes):
                total = total.clone()
                total[: len(generator.partial_slice)] += generator.partial_codes[row] * generator.partial_slice
            flat.append(total)
            row += 1
        assert torch.allclose(kernels[name], tiling.assemble(torch.stack(flat)), atol=1e-6), index


def test_kernels_start_at_the_scale_of_he() -> None:
    network = compressed(CSG(), "resnet56", budget=200_000)
    for name, kernel in network.generator().items():
        he = math.sqrt(2 / (kernel.shape[0] * 9))
        assert kernel.std().item() == pytest.approx(he, rel=0.25), name


def test_all_kernels_come_from_one_product() -> None:
    class Products(TorchDispatchMode):
        seen = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            self.seen += func._schema.name in ("aten::mm", "aten::addmm", "aten::bmm")
            return func(*args, **(kwargs or {}))

    generator = compressed(CSG(), budget=70_000).generator
    with Products() as products:
        generator()
    assert products.seen == 1


def test_the_code_length_uses_the_budget_to_the_value() -> None:
    random = torch.Generator().manual_seed(0)
    for _ in range(300):
        slices, values = (int(torch.randint(1, high, (), generator=random)) for high in (400, 2500))
        budget = int(torch.randint(0, 20 * (slices + values), (), generator=random))
        length = solve_code_length(budget, slices, values)
        used = length.whole * (slices + values) + length.partial_values + length.partial_codes
        assert budget - used in (0, 1)
        assert length.partial_values <= values
        assert length.partial_codes <= slices
        assert length.partial_values + length.partial_codes < slices + values


def test_with_the_code_given_the_budget_decides_nothing() -> None:
    assert CSG().sized_by_budget
    assert not CSG(code=8).sized_by_budget


def test_what_is_wrong_is_named() -> None:
    with pytest.raises(ValueError, match="slice can't be 0x16"):
        CSG(slice=(0, 16))
    with pytest.raises(ValueError, match="code can't be 0"):
        CSG(code=0)


def test_two_kernel_sizes_are_refused_with_the_reason() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 5))
    with pytest.raises(BudgetError, match=r"makes kernels of one size, and this network has \[\(3, 3\), \(5, 5\)\]"):
        CSG().compress(network, 100, Context(torch.Generator(), trained=False))
