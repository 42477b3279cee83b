"""The rules that every method keeps to, and what is special about this one."""

import pytest
import torch
from bench_kronecker.kronecker import Kronecker, KroneckerGenerator, Shape

from bench import count, testing
from bench.errors import BudgetError
from bench.generated import GeneratedNetwork


@pytest.mark.parametrize("check", testing.CHECKS)
@pytest.mark.parametrize("model", ["resnet8"])
def test_it_plays_by_the_rules(model: str, check: str) -> None:
    testing.run(check, "kronecker", model)


def compressed(values: int, block: int = 4) -> GeneratedNetwork:
    made = testing.compress(Kronecker(block), "resnet8", values).network
    assert isinstance(made, GeneratedNetwork)
    return made


@pytest.mark.parametrize("block", [2, 4, 8])
@pytest.mark.parametrize("budget", [37_645, 18_822, 9_411])
def test_the_budget_is_met_to_the_value(budget: int, block: int) -> None:
    assert count.stored_values(compressed(budget, block)) == budget


def test_kernels_are_sums_of_kronecker_products() -> None:
    shapes = {"first": Shape((3, 2), (4, 2, 3, 3)), "last": Shape((2, 2), (2, 3, 1, 1))}
    generator = KroneckerGenerator(shapes, [2, 3], 5)
    generator.draw(torch.Generator().manual_seed(0))
    with torch.no_grad():
        generator.rest.copy_(torch.arange(1.0, 6.0))
        kernels = generator()
        assert {name: tuple(kernel.shape) for name, kernel in kernels.items()} == {
            "first.weight": (12, 4, 3, 3),
            "last.weight": (4, 6, 1, 1),
        }
        kernels["last.weight"].view(-1)[:5] -= torch.arange(1.0, 6.0)
        for kernel, matrices, blocks in zip(kernels.values(), generator.matrices, generator.blocks, strict=True):
            for row in range(kernel.shape[2]):
                for column in range(kernel.shape[3]):
                    taps = zip(matrices, blocks[..., row, column], strict=True)
                    expected = sum(torch.kron(matrix, block) for matrix, block in taps)
                    torch.testing.assert_close(kernel[..., row, column], expected)


def test_the_network_starts_at_its_own_scale() -> None:
    plain = testing.network("resnet8")
    made = compressed(18_822)
    for name, kernel in made.generator().items():
        expected = plain.get_parameter(name).square().mean()
        torch.testing.assert_close(kernel.square().mean(), expected)


def test_what_can_not_be_met_is_refused_with_the_numbers() -> None:
    # One term takes 16 + 144 twice, 32 + 144, 64 + 144, 128 + 144 and 256 + 144 values.
    with pytest.raises(BudgetError, match=r"stores 1,562 values, and one term for each kernel 1,376; 2,353 were asked"):
        compressed(2_353)
    with pytest.raises(ValueError, match="block can't be 0; it is at least 1"):
        Kronecker(0)
