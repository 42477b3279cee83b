"""Networks as they come: what can't be counted, copied or trained is refused in a line, the rest works."""

import random
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Command
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune

from bench import count
from bench.errors import BudgetError, InputError
from bench.measure import account
from bench.model import Model
from bench.models._build import build_network
from bench.models._usable import require_outputs, require_reloadable
from bench.plan.method_choice import find_methods
from bench.plan.task_choice import find_task

TASK = find_task("classification").task


def layers(*more: nn.Module) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), *more, nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(8, 10),
    )  # fmt: skip


def with_layer(change: Callable[[nn.Module], Any]) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        network = layers()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # weight_norm is deprecated
            change(network[2])
        return network

    return build


def without_gradients(layer: nn.Module) -> None:
    with torch.no_grad():
        prune.random_unstructured(layer, "weight", 0.5)


class ByMask(nn.Module):
    """A parametrization that masks."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("kept", (weight > 0).float())

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.kept


class Views(nn.Module):
    """A convolution and a linear layer on one memory."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 1)
        self.linear = nn.Linear(3, 8)
        self.linear.weight = nn.Parameter(self.conv.weight.detach().view(8, 3))


class Computed(nn.Module):
    """Keeps what it computed when it was made."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 1)
        self.norm = self.conv.weight.norm()


REFUSED = {
    "masked": (
        with_layer(lambda layer: prune.l1_unstructured(layer, "weight", 0.5)),
        r"the network's 2\.weight is masked by torch\.nn\.utils\.prune, .*; call prune\.remove\(module, 'weight'\)",
    ),
    "masked without gradients": (with_layer(without_gradients), r"2\.weight is masked by torch\.nn\.utils\.prune"),
    "bias masked": (with_layer(lambda layer: prune.random_unstructured(layer, "bias", 0.5)), r"2\.bias is masked"),
    "structured": (
        with_layer(lambda layer: prune.ln_structured(layer, "weight", 0.5, n=2, dim=0)),
        r"2\.weight is masked",
    ),
    "masked twice": (
        with_layer(lambda layer: prune.l1_unstructured(prune.identity(layer, "weight"), "weight", 0.5)),
        r"2\.weight is masked",
    ),
    "parametrized mask": (
        with_layer(lambda layer: parametrize.register_parametrization(layer, "weight", ByMask(layer.weight))),
        r"2\.weight is masked by a parametrization, and 0\.kept would be counted .*remove_parametrizations",
    ),
    "weight_norm": (
        with_layer(lambda layer: nn.utils.weight_norm(layer)),
        r"the network's 2 computes its weight in a hook \(WeightNorm\), so that it can't be copied; use torch\.nn\.",
    ),
    "spectral_norm": (
        with_layer(lambda layer: nn.utils.spectral_norm(layer)),
        r"2 computes its weight in a hook \(SpectralNorm\)",
    ),
    "views": (Views, r"conv\.weight and linear\.weight are two parameters in one memory, .*; hold one parameter in"),
    "computed": (Computed, "the network's module keeps norm, a tensor computed from parameters"),
    "lazy": (lambda: nn.Sequential(nn.LazyConv2d(8, 3)), r"0\.weight has no shape yet"),
    "empty": (lambda: nn.Sequential(nn.Flatten()), "the network has no parameters"),
    "frozen": (
        with_layer(lambda layer: layer.weight.requires_grad_(False)),
        r"2\.weight is frozen .*make it trainable",
    ),
    "all frozen": (lambda: layers().requires_grad_(False), r"the network's 0\.weight is frozen"),
    "double": (lambda: layers().double(), r"0\.weight is float64, and bench trains in float32; .*\.float\(\)"),
    "one double": (with_layer(lambda layer: layer.double()), r"2\.weight is float64"),
    "bfloat16": (lambda: layers().bfloat16(), r"0\.weight is bfloat16"),
    "nan": (with_layer(lambda layer: nn.init.constant_(layer.bias, float("nan"))), r"2\.bias holds NaN or infinite"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_t_be_used_is_refused_in_a_line_with_a_way_out(name: str) -> None:
    build, message = REFUSED[name]
    with pytest.raises(InputError, match=message) as caught:
        build_network(Model(build), 3, 10, seed=0)
    assert "\n" not in str(caught.value)


def pruned_and_removed() -> nn.Module:
    network = layers()
    prune.remove(prune.l1_unstructured(network[2], "weight", 0.5), "weight")
    return network


def test_a_mask_that_was_removed_is_no_more_values() -> None:
    assert count.stored_values(build_network(Model(pruned_and_removed), 3, 10, 0)) == count.stored_values(layers())


class Depth(nn.Module):
    """A Conv3d on images as slices, and a Conv1d."""

    def __init__(self) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(1, 4, 3, padding=1)
        self.conv1 = nn.Conv2d(12, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.conv3 = nn.Conv2d(32, 16, 3, padding=1)
        self.conv1d = nn.Conv1d(1, 1, 3, padding=1)
        self.classifier = nn.Linear(16, 10)

    def forward(self, images: Tensor) -> Tensor:
        x = torch.relu(self.conv3d(images[:, None]).flatten(1, 2))
        x = torch.relu(self.conv2(torch.relu(self.conv1(x))))
        x = torch.relu(self.conv3(x)).mean((2, 3))
        return self.classifier(x + self.conv1d(x[:, None])[:, 0])


@pytest.mark.slow
def test_other_convolutions_are_left_alone_by_every_method() -> None:
    model = Model(Depth)
    dense = count.stored_values(build_network(model, 3, 10, 0))
    met = []
    for choice in find_methods(["all"]):
        method = choice.method
        network = build_network(model, 3, 10, 0)
        try:
            made = account.compress(method, network, dense // 2 if method.sized_by_budget else None, 0, trained=True)
        except BudgetError:
            continue
        account.to_size(method, made)
        assert made.finish()(torch.randn(2, 3, 8, 8)).shape == (2, 10)
        met.append(choice.name)
    assert {"dense", "csg", "basis", "sparse", "kmeans", "hashing", "pruning"} <= set(met)


@pytest.mark.parametrize("parametrized", [parametrizations.weight_norm, parametrizations.spectral_norm])
def test_parametrized_layers_are_fine(parametrized: Callable[[nn.Module], nn.Module]) -> None:
    network = build_network(Model(with_layer(parametrized)), 3, 10, 0)
    require_outputs(network, (3, 8, 8), 10, TASK)


class Auxiliary(nn.Module):
    """Gives more than logits in training."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = layers()

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        logits: Tensor = self.layers(images)
        return (logits, logits) if self.training else logits


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (
            layers(),
            r"outputs of shape \(2, 10\) for 2 images, but 3 classes need \(2, 3\); let its function take num_",
        ),
        (layers()[:3], r"outputs of shape \(2, 8, 8, 8\) for 2 images"),
        (Auxiliary(), r"in training the network gives outputs of shape \(2, 10\)"),
        (nn.Sequential(nn.Conv2d(1, 3, 3)), "the network can't take images of 3x8x8: RuntimeError: Given groups=1"),
        (nn.Sequential(nn.Conv2d(3, 3, 11)), "the network can't take images of 3x8x8: RuntimeError: Calculated padded"),
    ],
    ids=["ten outputs", "maps", "auxiliary", "one channel", "too small"],
)
def test_outputs_that_are_no_logits_are_refused_in_a_line(network: nn.Module, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        require_outputs(network, (3, 8, 8), 3, TASK)
    assert "\n" not in str(caught.value)


class Forward(nn.Module):
    """Layers with something around them."""

    def __init__(self, call: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.layers, self.call, self.calls = layers(), call, 0

    def forward(self, images: Tensor) -> Tensor:
        return self.call(self, images)


def counting(network: Any, images: Tensor) -> Tensor:
    network.calls += 1
    return network.layers(images) * network.calls


def only_in_training(network: Any, images: Tensor) -> Tensor:
    return network.layers(images * random.random()) if network.training else network.layers(images)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda network, images: network.layers(images + torch.rand(1)),
            "other outputs when it is asked again in eval",
        ),
        (lambda network, images: network.layers(images * random.random()), "other outputs when it is asked again"),
        (lambda network, images: network.layers(images * np.random.rand()), "other outputs when it is asked again"),
        (counting, "gives other outputs when it is asked again in eval mode; draw random numbers, and count calls, in"),
        (lambda network, images: network.layers(images.mul_(0.5)), "the network changes the images that it is given"),
        (lambda network, images: network.layers(images).detach(), "no gradient reaches the network's parameters"),
    ],
    ids=["torch", "python", "numpy", "counter", "in place", "no gradient"],
)
def test_a_network_that_can_t_be_trained_or_asked_twice(call: Callable[[Any, Tensor], Tensor], message: str) -> None:
    with pytest.raises(InputError, match=message):
        require_outputs(Forward(call), (3, 8, 8), 10, TASK)


def test_what_is_random_in_training_alone_is_fine_and_so_is_a_complex_parameter() -> None:
    network = Forward(only_in_training)
    network.phase = nn.Parameter(torch.ones(2, dtype=torch.complex64))
    require_outputs(build_network(Model(lambda: network), 3, 10, seed=0), (3, 8, 8), 10, TASK)


@pytest.mark.parametrize("draw", [torch.rand, lambda n: np.random.rand(n), lambda n: [random.random()]])
def test_initial_weights_are_those_of_the_seed_whatever_they_are_drawn_with(draw: Callable[[int], Any]) -> None:
    def build() -> nn.Module:
        network = layers()
        with torch.no_grad():
            network[0].bias += torch.as_tensor(draw(1))[0]
        return network

    first, again, other = (build_network(Model(build), 3, 10, seed).get_parameter("0.bias") for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


class Hidden(nn.Module):
    """Has a layer where torch does not look."""

    def __init__(self) -> None:
        super().__init__()
        self.layers, self.hidden = layers(), [nn.Conv2d(3, 3, 1)]

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(self.hidden[0](images))  # type: ignore[no-any-return]


class Plain(Hidden):
    """Has a tensor that is no buffer."""

    def __init__(self) -> None:
        super().__init__()
        scale = torch.rand(1)
        self.hidden = [lambda images: images * scale]


class Buffer(Hidden):
    """Has one that is not saved."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.rand(1), persistent=False)
        self.hidden = [lambda images: images * self.scale]


@pytest.mark.parametrize("kind", [Hidden, Plain, Buffer])
def test_a_network_that_is_more_than_what_it_stores_is_refused(kind: Callable[[], nn.Module]) -> None:
    one, other = (build_network(Model(kind), 3, 10, seed) for seed in (0, 1))
    require_outputs(one, (3, 8, 8), 10, TASK)
    with pytest.raises(InputError, match=r"made again with the values that it stores: .*; use nn\.ModuleList"):
        require_reloadable(one, other, (3, 8, 8), TASK)
    shapes = (layers(), layers(nn.Conv2d(8, 8, 1)))
    with pytest.raises(InputError, match="has other layers with another seed"):
        require_reloadable(*shapes, (3, 8, 8), TASK)
    require_reloadable(*(build_network(Model(layers), 3, 10, seed) for seed in (0, 1)), (3, 8, 8), TASK)


SEVEN = '''
from torch import nn

def seven(channels, num_classes):
    """Has seven outputs, whatever is asked for."""
    return nn.Sequential(nn.Conv2d(channels, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 7))
'''


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments", ["run --methods dense --dataset glyphs:train=64 --out OUT", "footprint --methods csg --classes 10"]
)
def test_a_sweep_and_a_footprint_ask_before_anything_is_done(command: Command, tmp_path: Path, arguments: str) -> None:
    file = tmp_path / "seven.py"
    file.write_text(SEVEN)
    out = tmp_path / "out"
    given = arguments.replace("OUT", str(out)).split()
    code, _, err = command(*given, "--model", f"{file}:seven")
    assert code == 2
    assert re.search(r"the network gives outputs of shape \(2, 7\) for 2 images, but (\d+) classes need \(2, \1\)", err)
    assert err.splitlines()[-1].startswith("bench: ")
    assert not out.exists()
