"""Networks: parameter counts of the literature, other inputs and class counts, the same weights for the same seed."""

import pytest
import torch

from bench import artifact, count, models
from bench.errors import InputError


@pytest.mark.parametrize(("name", "parameters"), [("resnet20", 269_722), ("resnet56", 853_018)])
def test_parameters_of_the_literature(name: str, parameters: int) -> None:
    assert count.stored_values(models.find(name).build(3, 10)) == parameters


@pytest.mark.parametrize("depth", [8, 20, 32, 44, 56, 110])
def test_depth_is_the_number_of_layers_with_weights(depth: int) -> None:
    network = models.find(f"resnet{depth}").build(3, 10)
    layers = [module for module in network.modules() if isinstance(module, torch.nn.Conv2d | torch.nn.Linear)]
    assert len(layers) == depth


@pytest.mark.parametrize(("channels", "classes", "size"), [(1, 3, 8), (3, 100, 32), (4, 2, 17)])
def test_any_channels_classes_and_sizes(channels: int, classes: int, size: int) -> None:
    network = models.find("resnet8").build(channels, classes).eval()
    assert network(torch.zeros(2, channels, size, size)).shape == (2, classes)


def test_the_shortcut_has_no_parameters_and_keeps_the_channels_in_the_middle() -> None:
    from bench.models.cifar_resnet import Shortcut

    x = torch.arange(2 * 4 * 4.0).view(1, 2, 4, 4) + 1
    assert not list(Shortcut(2, 4).parameters())
    y = Shortcut(2, 4)(x)
    assert y.shape == (1, 6, 2, 2)
    assert torch.equal(y[:, 2:4], x[:, :, ::2, ::2])
    assert not y[:, :2].any()
    assert not y[:, 4:].any()


def test_initial_weights_follow_the_seed_and_leave_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, same, other = (artifact.build_network("resnet8", 3, 10, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(next(one.parameters()), next(other.parameters()))


def test_an_unknown_name() -> None:
    with pytest.raises(InputError, match="unknown model 'resnt20'; did you mean 'resnet20'"):
        models.find("resnt20")
