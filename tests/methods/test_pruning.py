"""Pruned networks compute what channel-masked ones do; scores, orders and budgets against numbers by hand."""

import copy
import itertools
import statistics
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import run_sweep, tiny_spec
from torch import Tensor, nn
from torch.nn import functional

from bench import budget, count, testing
from bench.errors import BudgetError
from bench.files import artifact
from bench.files.description import Description, Step
from bench.measure import account, channel_groups
from bench.measure.channel_groups import ChannelGroup, Graph
from bench.methods.pruning.channels_to_cut import choose, removal_order
from bench.methods.pruning.progress import Progress
from bench.methods.pruning.pruning import SCORES, PrunedNetwork, Pruning
from bench.plugins import networks
from bench.store.record import FINISHED

IMPORTANCES = ["lamp", "group-norm", "magnitude", "bn-scale", "taylor", "random"]


def trained(model: str = "resnet8") -> nn.Module:
    """A network whose batch norm has statistics, scales and shifts, no two scales alike."""
    network = testing.network(model, seed=3)
    random = torch.Generator().manual_seed(4)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.bias.data, module.running_mean, module.running_var):
                assert tensor is not None
                tensor.copy_(torch.rand(tensor.shape, generator=random) + 0.5)
    return network


def with_gradients(network: nn.Module) -> nn.Module:
    random = torch.Generator().manual_seed(5)
    for parameter in network.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=random)
    return network


def compress(method: Pruning, network: nn.Module, target: int, seed: int = 0) -> PrunedNetwork:
    """A copy of the network, compressed."""
    made = account.compress(method, copy.deepcopy(network), target, seed, trained=True)
    assert isinstance(made, PrunedNetwork)
    return made


def pruned(network: nn.Module, ratio: float, seed: int = 0, **options: Any) -> PrunedNetwork:
    """A copy of the network at a ratio."""
    method = Pruning(**options)
    target = round(count.stored_values(network) / ratio)
    made = compress(method, network, target, seed)
    if method.at_size == "at the end":
        replaced = []
        for _ in range(10):
            with_gradients(made.network)
            replaced.append(made.after_step(0.6))
        assert replaced == [False] * 9 + [True]
        assert not made.after_step(1.0)
    assert budget.met(target, count.stored_values(made.network))
    return made


def masked(dense: nn.Module, small: nn.Module) -> nn.Module:
    """A copy of the dense network that gives zeros for the channels which the small one has lost.

    Every channel here goes through batch norm before anything reads it, and its scale there tells which one it is.
    """
    dense = copy.deepcopy(dense)
    with torch.no_grad():
        for name, norm in dense.named_modules():
            if isinstance(norm, nn.BatchNorm2d):
                gone = ~torch.isin(norm.weight, small.get_parameter(f"{name}.weight"))
                assert len(gone) - int(gone.sum()) == len(small.get_parameter(f"{name}.weight"))
                norm.weight[gone] = 0
                norm.bias[gone] = 0
    return dense


def outputs(network: nn.Module, pixels: int = 16) -> Tensor:
    images = torch.randn(2, 3, pixels, pixels, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    with torch.inference_mode():
        result: Tensor = copy.deepcopy(network).double().eval()(images)
    return result


CASES: list[tuple[str, float, dict[str, Any]]] = [
    *((model, 4, {}) for model in testing.FAMILIES),
    *(("resnet8", ratio, {}) for ratio in (16, 32)),  # what the shortcuts add up is cut as well
    *(
        ("resnet8", 4, {"importance": importance, "scope": scope})
        for importance, scope in itertools.product(IMPORTANCES, ("global", "layerwise"))
    ),
]


@pytest.mark.parametrize(("model", "ratio", "options"), CASES)
@pytest.mark.slow
def test_the_pruned_network_computes_what_the_masked_one_does(
    model: str, ratio: float, options: dict[str, Any]
) -> None:
    dense = trained(model)
    small = pruned(dense, ratio, **options).network
    expected = outputs(masked(dense, small))
    assert torch.allclose(outputs(small), expected, rtol=0, atol=1e-9 * float(expected.abs().max()))
    assert not torch.allclose(expected, outputs(dense), rtol=0, atol=0.01 * float(expected.abs().max()))


class Padded(nn.Module):
    """A shortcut that pads with a function through which the library does not follow channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1)
        self.conv2 = nn.Conv2d(6, 10, 3, padding=1)
        self.conv3 = nn.Conv2d(10, 10, 3, padding=1)
        self.linear = nn.Linear(10, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.conv1(x))
        x = functional.relu(self.conv2(x)) + functional.pad(x, (0, 0, 0, 0, 2, 2))
        x = functional.relu(self.conv3(x))
        logits: Tensor = self.linear(x.mean(dim=(2, 3)))
        return logits


def sequence(*layers: nn.Module, features: int) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(*copy.deepcopy(layers), nn.Flatten(), nn.Linear(features, 5))


SMALL: dict[str, tuple[Callable[[], nn.Module], dict[str, tuple[int, int]]]] = {
    # What makes the network, and its groups: the first layer of each, how many channels, how many at once.
    "padded": (Padded, {"conv3": (10, 1)}),
    "flattened": (
        sequence(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), features=24),
        {"0": (6, 1)},
    ),
    "grouped": (
        sequence(
            nn.Conv2d(3, 8, 1),
            nn.ReLU(),
            nn.Conv2d(8, 12, 3, groups=2),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            features=12,
        ),
        {"0": (4, 2), "2": (6, 2)},
    ),
    "depthwise": (
        sequence(
            nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), features=8
        ),
        {"0": (8, 1)},
    ),
    # Its statistics are of several channels: without one they are others.
    "group norm": (
        sequence(nn.Conv2d(3, 8, 1), nn.GroupNorm(2, 8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), features=8),
        {},
    ),
    # Zero channels do not come out as zeros.
    "sigmoid": (sequence(nn.Conv2d(3, 8, 1), nn.Sigmoid(), nn.AdaptiveAvgPool2d(1), features=8), {}),
}


@pytest.mark.parametrize("name", SMALL)
def test_only_what_can_be_cut_is_found(name: str) -> None:
    make, expected = SMALL[name]
    network = make().train()
    found = channel_groups.find(network)
    assert {group.root: (group.size, group.together) for group in found} == expected
    assert network.training


@pytest.mark.parametrize("name", ["padded", "flattened", "grouped", "depthwise"])
def test_cutting_one_channel_is_giving_zeros_for_it(name: str) -> None:
    make, _ = SMALL[name]
    network = make()
    groups = channel_groups.find(network)
    assert groups
    for group in groups:
        zeros, small = copy.deepcopy(network), copy.deepcopy(network)
        root = zeros.get_submodule(group.root)
        lost = group.channels([1])
        with torch.no_grad():
            root.get_parameter("weight")[lost] = 0
            root.get_parameter("bias")[lost] = 0
            following = zeros.get_submodule("2") if name == "depthwise" else None
            if following is not None:
                following.get_parameter("bias")[lost] = 0
        channel_groups.prune(small, {group.root: lost})
        assert len(small.get_submodule(group.root).get_parameter("bias")) == group.size * group.together - len(lost)
        assert torch.allclose(outputs(small), outputs(zeros), rtol=0, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["resnet8", "densenet-bc-40-12", "mobilenetv2-cifar"])
def test_what_is_stored_is_known_without_cutting(model: str, generator: torch.Generator) -> None:
    network = testing.network(model)
    groups = channel_groups.find(network)
    lost = [torch.randperm(group.size, generator=generator)[: group.size // 3].tolist() for group in groups]
    predicted = channel_groups.stored_values(network, groups)([len(numbers) for numbers in lost])
    channel_groups.prune(
        network, {group.root: group.channels(numbers) for group, numbers in zip(groups, lost, strict=True)}
    )
    assert count.stored_values(network) == predicted


def test_a_network_of_which_something_else_would_change_is_not_returned() -> None:
    network = Padded()
    with pytest.raises((RuntimeError, AssertionError)):
        channel_groups.prune(network, {"conv1": [1, 2]})


def block_of(network: nn.Module) -> tuple[Tensor, Tensor, Tensor]:
    """The weights that go with a channel inside a block of a ResNet, one row a channel: its filter, its scale in batch
    norm, and what the next convolution reads it with."""
    return (
        network.get_parameter("stage1.0.conv1.weight").detach().flatten(1),
        network.get_parameter("stage1.0.bn1.weight").detach()[:, None],
        network.get_parameter("stage1.0.conv2.weight").detach().transpose(0, 1).flatten(1),
    )


def score(network: nn.Module, importance: str) -> Tensor:
    found = SCORES[importance](Graph(network).group("stage1.0.conv1"))
    assert found is not None
    return found


def test_scores_by_hand() -> None:
    network = with_gradients(trained())
    filters, scales, following = block_of(network)
    norms = [part.square().sum(1) for part in (filters, scales, following)]
    assert torch.allclose(score(network, "magnitude"), norms[0])
    assert torch.allclose(score(network, "group-norm"), sum(norms, torch.zeros(16)) / 3)
    assert torch.allclose(score(network, "bn-scale"), scales[:, 0].abs())
    gradients = [network.get_parameter(f"stage1.0.{name}.weight").grad for name in ("conv1", "conv2")]
    assert gradients[0] is not None
    assert gradients[1] is not None
    change = (filters * gradients[0].flatten(1)).abs().sum(1)
    change += (following * gradients[1].transpose(0, 1).flatten(1)).abs().sum(1)
    assert torch.allclose(score(network, "taylor"), change / 2)


def test_lamp_by_hand() -> None:
    """Each norm over the sum of itself and all larger ones: the largest has 1."""
    network = trained()
    norms = score(network, "group-norm").tolist()
    expected = [norm / sum(other for other in norms if other >= norm) for norm in norms]
    assert score(network, "lamp").tolist() == pytest.approx(expected, rel=1e-5)
    assert max(expected) == 1


def test_taylor_goes_by_the_root_mean_square_of_the_gradients() -> None:
    network = nn.Linear(2, 1)
    progress = Progress([], [], 0, 0, 0)
    for gradient in ([1.0, 3.0], [-7.0, 3.0]):
        network.weight.grad = torch.tensor([gradient])
        progress.remember_gradients(network)
    progress.put_gradients(network)
    assert network.weight.grad is not None
    assert network.weight.grad.tolist() == [[5.0, 3.0]]
    assert network.bias.grad is not None
    assert network.bias.grad.tolist() == [0.0]


def test_a_channel_that_the_loss_does_not_notice_goes_first_by_taylor() -> None:
    dense = trained()
    made = compress(Pruning(importance="taylor", scope="layerwise"), dense, 60_000)
    for _ in range(10):
        with_gradients(made.network)
        for name in ("stage3.0.conv1.weight", "stage3.0.conv2.weight"):
            gradient = made.network.get_parameter(name).grad
            assert gradient is not None
            gradient[(slice(None),) * name.count("conv2") + (slice(5),)] = 0
        made.after_step(0.6)
    scales = dense.get_parameter("stage3.0.bn1.weight")
    left = torch.isin(scales, made.network.get_parameter("stage3.0.bn1.weight"))
    assert left[5:].any()
    assert not left[:5].any()


def group(size: int, whole: bool = True) -> ChannelGroup:
    return ChannelGroup("", size, 1, {}, whole)


def test_order_of_removal() -> None:
    """The best of each group stays; groups that are not whole come last; without scores nothing goes."""
    scores = [torch.tensor([0.3, 0.1, 0.9, 0.5]), torch.tensor([0.05, 0.8]), None, torch.tensor([0.0, 0.1])]
    groups = [group(4), group(2), group(7), group(2, whole=False)]
    full = [one.size for one in groups]
    assert removal_order(scores, groups, full, 0, False) == [(1, 0), (0, 1), (0, 0), (0, 3), (3, 0)]
    # Three of four and two of two are to stay: those below go where the largest share is left.
    assert removal_order(scores, groups, full, 0.75, False) == [(0, 1), (1, 0), (0, 0), (0, 3), (3, 0)]
    assert removal_order(scores, groups, full, 0, True) == [(0, 1), (1, 0), (0, 0), (0, 3), (3, 0)]
    # Of the first group six of ten are gone already.
    assert removal_order(scores[:2], groups[:2], [10, 2], 0, True) == [(1, 0), (0, 1), (0, 0), (0, 3)]


def test_as_many_go_as_it_takes_and_what_fits_comes_back() -> None:
    """Channels of the first group store 100 values, those of the second 7."""
    order = [(1, 4), (1, 2), (0, 3), (0, 1)]

    def stored(cut: Any) -> int:
        return 2000 - 100 * cut[0] - 7 * cut[1]

    assert choose(order, 2, stored, 2000) == [[], []]
    assert choose(order, 2, stored, 1986) == [[], [4, 2]]
    assert choose(order, 2, stored, 1893) == [[3], [4]]
    assert choose(order, 2, stored, 1900) == [[3], []]


def test_a_channel_is_exchanged_where_whole_ones_are_too_coarse() -> None:
    """10 values a channel of the first group, 7 of the second: 203 are 14 of the one and 9 of the other."""
    order = [*((0, number) for number in range(29)), *((1, number) for number in range(9))]
    assert choose(order, 2, lambda cut: 10 * (30 - cut[0]) + 7 * (10 - cut[1]), 203) == [list(range(16)), [0]]


@pytest.mark.parametrize("model", ["resnet8", "resnet20"])
@pytest.mark.slow
def test_every_budget_is_met_and_what_goes_last_goes_last(model: str) -> None:
    """Of each block a tenth of the channels stays while it can, and hardly one where the shortcuts' channels go."""
    dense = testing.network(model)
    for ratio in (2, 4, 8, 16, 32):
        sizes = {group.root: group.size for group in pruned(dense, ratio).progress.groups}
        stem = sizes.pop("conv1")
        if ratio <= 4:
            assert all(kept >= 0.1 * dense.get_parameter(f"{name}.weight").shape[0] for name, kept in sizes.items())
        assert stem == 16 or statistics.median(sizes.values()) <= 2
    assert stem < 16


def test_a_higher_floor_keeps_more_of_each_group() -> None:
    dense = trained()
    least = {floor: pruned(dense, 2, floor=floor, importance="magnitude").solved["least_kept"] for floor in (0.0, 0.45)}
    assert least[0.0] < 0.45 <= least[0.45]


def test_layerwise_takes_the_same_share_of_every_group() -> None:
    small = pruned(trained(), 2, scope="layerwise").network
    shares = [small.get_parameter(f"stage{i + 1}.0.conv1.weight").shape[0] / (16 << i) for i in range(3)]
    assert max(shares) - min(shares) <= 1 / 16


def test_what_can_not_be_met_is_refused_with_numbers() -> None:
    dense = testing.network("resnet8")
    with pytest.raises(
        BudgetError, match=r"one channel left in each of the 4 groups .* stores [\d,]+ values; 700 were"
    ):
        compress(Pruning(), dense, 700)
    with pytest.raises(BudgetError, match="100,000 values were asked for, but the dense network stores only 75,290"):
        compress(Pruning(), dense, 100_000)
    vgg = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))
    with pytest.raises(BudgetError, match=r"nothing to cut by bn-scale .* stores 314 values; 157 were asked for"):
        compress(Pruning(importance="bn-scale"), vgg, 157)


def test_random_channels_follow_the_seed() -> None:
    dense = trained()
    small = [pruned(dense, 4, seed=seed, importance="random").network for seed in (1, 1, 2)]
    kept = [network.get_parameter("stage3.0.bn1.weight") for network in small]
    assert torch.equal(kept[0], kept[1])
    assert not torch.equal(kept[0], kept[2])


def test_gradual_pruning_follows_the_cubic_law() -> None:
    dense = trained()
    full = count.stored_values(dense)
    made = compress(Pruning(until=0.9, stages=4, compress_at=0.5), dense, full // 4)
    assert count.stored_values(made.network) == full
    for progress, left in ((0.55, 1), (0.61, 27 / 64), (0.65, 27 / 64), (0.71, 8 / 64), (0.85, 1 / 64), (0.95, 0)):
        before = count.stored_values(made.network)
        replaced = made.after_step(progress)
        target = full // 4 + left * (full - full // 4)
        assert budget.met(round(target), count.stored_values(made.network))
        assert replaced == (count.stored_values(made.network) != before)
    assert torch.allclose(outputs(made.network), outputs(masked(dense, made.network)))


@pytest.mark.slow
def test_gradual_pruning_and_taylor_in_training(tmp_path: Path) -> None:
    records, _ = run_sweep(tiny_spec(["pruning:importance=taylor:until=0.9:stages=3"]), tmp_path)
    record = records[1]
    assert record["status"] == FINISHED, record["reason"]
    assert budget.met(record["requested_values"], record["stored_values"])
    assert record["stored_values"] == record["trained_values"]


def test_no_step_left_for_taylor() -> None:
    made = compress(Pruning(importance="taylor", compress_at=0.99), testing.network("resnet8"), 30_000)
    with pytest.raises(RuntimeError, match=r"no step of training came after compress_at=0\.99; give a smaller one"):
        made.settle()


def test_its_file_gives_it_back(tmp_path: Path) -> None:
    small = pruned(trained(), 4, importance="random")
    model = artifact.describe_model(networks.find("resnet8"), 3, 10)
    path = tmp_path / "weights.safetensors"
    path.write_bytes(artifact.pack(small, Description(model, (Step("pruning", {}, small.structure()),))))
    assert torch.equal(outputs(artifact.load(path).network), outputs(small.network))
    with torch.inference_mode():
        assert torch.equal(outputs(artifact.load(path).network), outputs(small.network))


def test_channels_that_go_together_are_rebuilt_together() -> None:
    network = SMALL["grouped"][0]()
    dense = count.stored_values(network)
    for values in range(dense - 80, 0, -1):  # in whole channels, of which versions of torch-pruning order others first
        with suppress(BudgetError):
            small = pruned(network, dense / values, importance="random", floor=0.0)
            break
    assert count.stored_values(small.network) < dense
    rebuilt = account.rebuild(Pruning(), network, small.structure()).network
    rebuilt.load_state_dict(small.network.state_dict())
    assert torch.equal(outputs(rebuilt), outputs(small.network))


@pytest.mark.parametrize("sizes", [[0, 16, 1], [2**21, 16, 1], [16, 16, 3]])
def test_a_file_can_not_ask_for_channels_that_can_not_be(sizes: list[int]) -> None:
    with pytest.raises(ValueError, match=r"stage1\.0\.conv1 can't have the channels \["):
        account.rebuild(Pruning(), trained(), {"channels": {"stage1.0.conv1": sizes}})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"floor": 1.0}, r"floor can't be 1\.0; it is a fraction from 0 to 1, and less than 1"),
        ({"stages": 0}, "stages can't be 0; it is at least 1"),
        ({"stages": 3}, "stages=3 goes with pruning gradually; give until too"),
        ({"until": 0.5}, r"until can't be 0\.5; it lies above compress_at, 0\.5, and at most at 1"),
        ({"importance": "taylor", "compress_at": 1.0}, "importance=taylor needs the gradients of training"),
    ],
)
def test_options_that_can_not_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Pruning(**options)
