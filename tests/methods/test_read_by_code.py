"""Layers whose weight a network's own code reads: a method leaves them as they are, or refuses with the reason."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from bench import count
from bench.errors import BudgetError
from bench.measure import account
from bench.measure.read_by_code import read_by_code
from bench.measure.resizable import traced_resizable
from bench.measure.widths import find
from bench.method import Compressed, Method
from bench.methods.crelu.crelu import CReLU
from bench.methods.gcnn.gcnn import GCNN
from bench.methods.lowrank.lowrank import LowRank
from bench.methods.separable import Separable

REASON = "two, whose weight the network's code reads itself"


class Reads(nn.Module):
    """Calls its other layers; of the second one it reads the weight, and of the third one in training alone."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, bias=False), nn.Conv2d(8, 8, 3)
        self.four, self.head = nn.Conv2d(8, 16, 3, padding=1), nn.Linear(16, 10)

    def forward(self, images: Tensor) -> Tensor:
        images = functional.conv2d(self.one(images).relu(), self.two.weight, padding=1).relu()
        images = self.three(images)
        images = images + self.three.weight.mean() if self.training else images
        outputs: Tensor = self.head(self.four(images.relu()).relu().mean((2, 3)))
        return outputs


def compressed(method: Method, network: nn.Module) -> Compressed:
    values = count.stored_values(network) // 2
    resizable = lambda: traced_resizable(Reads, 0, find(network))  # noqa: E731
    return account.compress(method, network, values, seed=0, trained=False, find_resizable=resizable)


def test_what_is_read_is_found_and_the_network_stays_as_it_is() -> None:
    network = Reads()
    modules = list(network.modules())
    assert read_by_code(network, ["one", "two", "three", "head"]) == {"two": "weight", "three": "weight"}
    assert list(network.modules()) == modules
    assert network.training


def test_torchs_own_attention_reads_its_projection() -> None:
    class Attends(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.attention = nn.Conv2d(3, 4, 1), nn.MultiheadAttention(4, 1, batch_first=True)

        def forward(self, images: Tensor) -> Tensor:
            tokens = self.conv(images).flatten(2).transpose(1, 2)
            outputs: Tensor = self.attention(tokens, tokens, tokens)[0].mean(1)
            return outputs

    assert list(read_by_code(Attends(), ["conv", "attention.out_proj"])) == ["attention.out_proj"]


@pytest.mark.parametrize("method", [Separable(), LowRank(), CReLU()], ids=str)
def test_it_stays_as_it_is_and_the_record_says_why(method: Method) -> None:
    network = Reads()
    made = compressed(method, network)
    assert isinstance(made.network.get_submodule("two"), nn.Conv2d)
    assert not isinstance(made.network.get_submodule("four"), nn.Conv2d)
    assert made.network(torch.randn(2, 3, 9, 9)).shape == (2, 10)
    if not isinstance(method, CReLU):  # which takes no layer whose outputs it can't follow
        assert made.solved["left_alone"].startswith("two and 1 more, whose weight")
    other = account.rebuild(method, Reads(), made.structure()).network
    other.load_state_dict(made.network.state_dict())


def test_where_nothing_else_could_be_replaced_that_is_the_reason() -> None:
    class Two(Reads):
        def __init__(self) -> None:
            super().__init__()
            self.three, self.four = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 16, 1)

    with pytest.raises(BudgetError, match=f"0 of its convolutions can be replaced; left alone: {REASON}; 9 values"):
        account.compress(Separable(), Two(), 9, seed=0, trained=False)


def test_a_network_of_fields_is_refused() -> None:
    with pytest.raises(BudgetError, match="all its convolutions would be other layers, and so would two and 1 more, "):
        compressed(GCNN(), Reads())
