"""What pruning leaves alone: a probe leaves the network as it was, and why a group is left alone is said."""

import copy

import pytest
import torch
from torch import Tensor, nn

from bench import count
from bench.errors import BudgetError
from bench.measure import account, channel_groups
from bench.measure.channel_groups import Graph, in_words
from bench.methods.pruning.pruning import Pruning


class Scaled(nn.Module):
    """Blocks as ConvNeXt's, with a bare parameter behind each; a norm over channels on what they add up, if any."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        # Registered first, used last: not what sees the image.
        self.head = nn.Conv2d(8, 10, 1)
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = norm
        self.inner = nn.ModuleList([nn.Conv2d(8, 16, 1), nn.Conv2d(8, 16, 1)])
        self.outer = nn.ModuleList([nn.Conv2d(16, 8, 1), nn.Conv2d(16, 8, 1)])
        self.scales = nn.ParameterList([torch.ones(8, 1, 1), torch.ones(8, 1, 1)])

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.stem(x))
        for inner, outer, scale in zip(self.inner, self.outer, self.scales, strict=True):
            x = x + scale * outer(torch.relu(inner(x)))
        logits: Tensor = self.head(x).mean((2, 3))
        return logits


def test_channels_are_cut_across_a_transposed_convolution_and_given_back() -> None:
    """Its kernel has the input channels first."""

    def build() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 24, 3, padding=1), nn.ReLU(),
            nn.ConvTranspose2d(24, 32, 2, stride=2), nn.ReLU(), nn.Conv2d(32, 8, 3, padding=1),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10),
        )  # fmt: skip

    method, network = Pruning(), build()
    made = account.compress(method, network, count.stored_values(network) // 2, 0, trained=False)
    account.to_size(method, made)
    transposed = made.network.get_submodule("4")
    assert transposed.weight.shape[:2] == (transposed.in_channels, transposed.out_channels) < (24, 32)
    again = account.rebuild(method, build(), made.structure()).network
    assert state(again) == state(made.network)
    again.load_state_dict(made.network.state_dict())
    images = torch.randn(2, 3, 8, 8)
    assert torch.equal(again.eval()(images), made.network.eval()(images))


def state(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def test_a_probe_that_fails_half_way_leaves_the_network_as_it_was() -> None:
    network = Scaled(nn.Identity())
    before, parameters = state(network), [*network.parameters()]
    graph = Graph(network)
    group = graph.group("stem", [0, 1])

    def cut_and_fail() -> None:
        with channel_groups._put_back(graph):
            group.prune(record_history=False)
            assert state(network)["scales.0"] == (6, 1, 1)
            raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        cut_and_fail()
    assert state(network) == before
    assert all(one is other for one, other in zip(network.parameters(), parameters, strict=True))
    # And the graph can be used again.
    graph.group("stem", [0, 1]).prune(record_history=False)
    assert network(torch.randn(1, 3, 8, 8)).shape == (1, 10)


def test_bare_parameters_don_t_keep_the_rest_from_being_found() -> None:
    left_alone: dict[str, str] = {}
    found = channel_groups.find(Scaled(nn.BatchNorm2d(8)), left_alone)
    assert {group.root for group in found} >= {"inner.0", "inner.1"}
    assert not any("torch-pruning can't follow" in reason for reason in left_alone.values())


@pytest.mark.parametrize("norm", [nn.GroupNorm(2, 8), nn.GroupNorm(8, 8), nn.LayerNorm([8, 8, 8])], ids=str)
def test_channels_that_a_norm_takes_a_mean_over_are_left_alone_and_named(norm: nn.Module) -> None:
    network = Scaled(nn.Identity())
    network.norm = norm
    left_alone: dict[str, str] = {}
    found = channel_groups.find(network, left_alone)
    assert {group.root for group in found} == {"inner.0", "inner.1"}
    assert left_alone["stem"] == f"a {type(norm).__name__} takes a mean over cut and kept channels"


def test_what_is_left_alone_is_in_the_record_and_in_the_reason() -> None:
    network = Scaled(nn.GroupNorm(2, 8))
    dense = count.stored_values(network)
    made = account.compress(Pruning(), copy.deepcopy(network), dense - 100, seed=0, trained=True)
    assert "the channels of stem: a GroupNorm takes" in made.solved["left_alone"]
    with pytest.raises(BudgetError, match="left alone are the channels of stem: a GroupNorm takes a mean"):
        account.compress(Pruning(), network, dense // 16, seed=0, trained=True)


def test_an_error_that_is_not_the_library_s_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def out_of_memory(*arguments: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Graph, "group", out_of_memory)
    with pytest.raises(MemoryError):
        channel_groups.find(Scaled(nn.Identity()))


def test_where_the_library_is_lost_its_error_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*arguments: object) -> None:
        raise IndexError("index 7 is out of bounds")

    monkeypatch.setattr(Graph, "group", lost)
    left_alone: dict[str, str] = {}
    assert channel_groups.find(Scaled(nn.Identity()), left_alone) == []
    assert left_alone["stem"] == "torch-pruning can't follow its channels (IndexError: index 7 is out of bounds)"


def test_reasons_are_told_shortly() -> None:
    reasons = {f"layer{number}": f"reason {number % 5}" for number in range(12)}
    said = in_words(reasons)
    assert said.startswith("the channels of layer0 and 2 more: reason 0; ")
    assert said.endswith("; 4 others")
    assert in_words({}) == ""


def test_a_network_without_convolutions_is_refused_with_the_reason() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(48, 10))
    with pytest.raises(BudgetError, match=r"it has 0 convolutions \(Conv2d\)"):
        account.compress(Pruning(), network, 100, seed=0, trained=True)


@pytest.mark.whole
def test_convnext_is_pruned() -> None:
    from bench import testing

    dense = count.stored_values(testing.network("convnext_tiny"))
    made = testing.compress(Pruning(), "convnext_tiny", dense // 2)
    assert abs(count.stored_values(made.network) / (dense // 2) - 1) < 0.01
