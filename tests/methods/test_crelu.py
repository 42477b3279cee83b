"""Concatenated rectifiers, and which convolutions a rectifier follows."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from bench import count, testing
from bench.errors import BudgetError
from bench.measure import account
from bench.method import Context
from bench.methods.crelu.crelu import CReLU, CReLUConv2d
from bench.methods.crelu.rectified import rectified_convolutions


def test_rectified_it_is_the_textbooks() -> None:
    made = CReLUConv2d(nn.Conv2d(3, 8, 3, padding=1, bias=False))
    x = torch.randn(2, 3, 6, 6)
    y = functional.conv2d(x, made.filters.weight, padding=1)
    assert torch.equal(functional.relu(made(x)), torch.cat([functional.relu(y), functional.relu(-y)], dim=1))
    assert count.stored_values(made) == 4 * 3 * 9


def test_an_odd_number_of_outputs() -> None:
    conv = nn.Conv2d(3, 7, 3, stride=2)
    made = CReLUConv2d(conv)
    x = torch.randn(2, 3, 9, 9)
    assert made(x).shape == conv(x).shape
    assert count.stored_values(made) == 4 * 27 + 4


@pytest.mark.parametrize(
    ("model", "inside", "outside"),
    [
        ("resnet8", {"conv1", "stage2.0.conv1"}, {"stage2.0.conv2"}),
        ("densenet-bc-40-12", {"dense1.0.conv1"}, {"conv1", "dense1.0.conv2", "trans1.conv"}),
        ("mobilenetv2-cifar", {"layers.3.conv1", "layers.3.conv2", "conv2"}, {"layers.3.conv3"}),
        ("shufflenetv2-x0.5-cifar", {"layer1.1.conv1", "layer1.1.conv3"}, {"layer1.1.conv2", "layer1.0.conv1"}),
        ("resnet18", {"conv1", "layer1.0.conv1"}, {"layer1.0.conv2", "layer2.0.downsample.0"}),
        ("mobilenet_v2", {"features.2.conv.0.0"}, {"features.2.conv.2"}),
    ],
)
def test_what_a_rectifier_follows(model: str, inside: set[str], outside: set[str]) -> None:
    found = rectified_convolutions(testing.network(model))
    assert inside <= found
    assert not outside & found


def test_the_first_convolutions_of_blocks_and_the_budget_by_width() -> None:
    made = testing.compress(CReLU(), "resnet8", 20_000)
    replaced = [name for name, module in made.network.named_modules() if isinstance(module, CReLUConv2d)]
    assert replaced == ["stage1.0.conv1", "stage2.0.conv1", "stage3.0.conv1"]
    assert abs(count.stored_values(made.network) - 20_000) <= 200


def test_a_network_without_rectifiers_is_refused() -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.second(self.first(x)).mean(dim=(2, 3))

    with pytest.raises(BudgetError, match="it has 0 convolutions, but for the first, that a rectifier follows"):
        CReLU().compress(Plain(), 100, Context(torch.Generator(), trained=False))


class Branching(nn.Module):
    """Looks at its input, which torch.fx can't follow."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.conv(x)) if x.sum() > 0 else x


def test_a_network_that_can_t_be_traced_is_refused_with_the_reason() -> None:
    with pytest.raises(BudgetError, match="0 of its rectifiers are found, for it can't be traced: TraceError"):
        account.compress(CReLU(), Branching(), 50, seed=0, trained=False)
