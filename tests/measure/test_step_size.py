"""How far a step goes, against what is worked out by hand."""

import pytest
import torch
from torch import Tensor, nn

from bench import masks
from bench.generated import Generator, on_generated
from bench.measure import step_size
from bench.method import Compressed


class Product(Generator):
    """A kernel (2, 1) as the product of a column and a number."""

    def __init__(self, column: float, number: float) -> None:
        super().__init__()
        self.column = nn.Parameter(torch.full((2, 1), column))
        self.number = nn.Parameter(torch.tensor(number))

    def forward(self) -> dict[str, Tensor]:
        return {"weight": self.column * self.number}


def of(network: nn.Module, rates: dict[str, float] | None = None) -> step_size.Step:
    """Of a step on one image x = 2, where the loss is the sum of the outputs w x."""
    batch = torch.tensor([[2.0]]), torch.zeros(1)
    return step_size.measure(Compressed(network, rates=rates), batch, torch.sum, lambda outputs: outputs)


@pytest.mark.parametrize(("column", "number"), [(1.0, 1.0), (3.0, 0.5)])
def test_a_product_moves_with_both_of_its_factors(column: float, number: float) -> None:
    """w = a b, the slope of each w is g = 2: a moves by -r g b, b by -r sum(g a) = -2 r g a, and so w by
    -r g (b^2 + 2 a^2), in steps on the kernel."""
    linear = nn.Linear(1, 2, bias=False)
    step = of(on_generated(linear, Product(column, number)))
    times = number**2 + 2 * column**2
    assert step.kernels == pytest.approx(times, rel=0.02)
    # Each of two outputs moves by x times that.
    assert step.outputs == pytest.approx(1e-3 * 2 * 2 * times * 2**0.5, rel=0.02)


def test_a_weight_moves_as_a_weight_and_with_its_own_rate() -> None:
    linear = nn.Linear(1, 2, bias=False)
    before = linear.weight.clone()
    step, half = of(linear), of(linear, {"weight": 0.5})
    assert step.kernels is None
    assert step.outputs == pytest.approx(1e-3 * 2 * 2 * 2**0.5, rel=1e-3)
    assert half.outputs == pytest.approx(step.outputs / 2, rel=1e-3)
    assert torch.equal(linear.weight, before)
    assert linear.weight.grad is None


def test_the_network_is_left_as_it_was() -> None:
    torch.manual_seed(1)
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2)).eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    drawn = torch.get_rng_state()
    batch = torch.randn(8, 3, generator=torch.Generator().manual_seed(2)), torch.zeros(8)
    step_size.measure(Compressed(network), batch, torch.sum, lambda outputs: outputs)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), drawn)
    assert not network.training


def test_weights_that_a_mask_leaves_out_do_not_move() -> None:
    """Of two outputs one is left."""
    linear, masked = (nn.Linear(1, 2, bias=False) for _ in range(2))
    masks.attach(masked, {"weight": torch.tensor([[True], [False]])})
    assert of(masked).outputs == pytest.approx(of(linear).outputs / 2**0.5, rel=1e-3)
