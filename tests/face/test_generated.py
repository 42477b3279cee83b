"""Networks on generated kernels: the same outputs and gradients as plain ones."""

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from bench.generated import GeneratedNetwork, Generator


class Scaled(Generator):
    """Both kernels of `network` as a learned factor times fixed ones."""

    def __init__(self, kernels: dict[str, Tensor]) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(1.0, dtype=torch.float64))
        for name, kernel in kernels.items():
            self.register_buffer(name.replace(".", "_"), kernel)
        self.names = list(kernels)

    def forward(self) -> dict[str, Tensor]:
        return {name: self.factor * self.get_buffer(name.replace(".", "_")) for name in self.names}


def plain() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3, groups=2), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 3, 1)).double()


def generated() -> GeneratedNetwork:
    network = plain()
    kernels = {name: network.get_parameter(name).detach().clone() for name in ("0.weight", "3.weight")}
    return GeneratedNetwork(network, Scaled(kernels))


def test_outputs_and_gradients_are_those_of_the_plain_formula(generator: torch.Generator) -> None:
    images = torch.randn(3, 2, 6, 6, generator=generator, dtype=torch.float64)
    network, reference = generated(), plain()
    outputs, expected = network(images), reference(images)
    assert torch.allclose(outputs, expected)
    outputs.square().sum().backward()
    expected.square().sum().backward()
    # d/d factor of f(factor * kernel) at factor 1 is the sum of kernel times gradient
    wanted = sum((reference[i].weight * reference[i].weight.grad).sum() for i in (0, 3))
    factor = network.get_parameter("generator.factor")
    assert factor.grad is not None
    assert torch.allclose(factor.grad, wanted, rtol=1e-6)  # type: ignore[arg-type]
    assert torch.allclose(network.network[1].weight.grad, reference[1].weight.grad)  # type: ignore[index]


def test_generated_kernels_are_neither_stored_nor_trained() -> None:
    names = {name for name, _ in generated().named_parameters()}
    assert names == {"network.0.bias", "network.1.weight", "network.1.bias", "network.3.bias", "generator.factor"}


def test_materialised_it_is_a_plain_network_of_its_own(generator: torch.Generator) -> None:
    images = torch.randn(3, 2, 6, 6, generator=generator, dtype=torch.float64)
    network = generated().eval()
    made = network.materialise().eval()
    expected = network(images)
    assert torch.equal(made(images), expected)
    with torch.no_grad():
        network.get_parameter("generator.factor").fill_(7)
        network.get_parameter("network.3.bias").fill_(7)
    assert torch.equal(made(images), expected)


class Counted(Scaled):
    """Counts how often it computes."""

    calls = 0

    def forward(self) -> dict[str, Tensor]:
        self.calls += 1
        return super().forward()


def counted() -> tuple[GeneratedNetwork, Counted]:
    network = plain()
    kernels = {name: network.get_parameter(name).detach().clone() for name in ("0.weight", "3.weight")}
    generator = Counted(kernels)
    made = GeneratedNetwork(network, generator)
    generator.calls = 0
    return made, generator


IMAGES = torch.randn(3, 2, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_for_inference_kernels_are_computed_once(mode: Callable[[], AbstractContextManager[None]]) -> None:
    network, generator = counted()
    network.eval()
    with mode():
        first = network(IMAGES)
        assert torch.equal(network(IMAGES), first)
    assert generator.calls == 1
    reference = network.materialise().eval()
    with mode():
        assert torch.equal(network(IMAGES), reference(IMAGES))


def _step(factor: nn.Parameter) -> None:
    factor.grad = torch.ones_like(factor)
    torch.optim.SGD([factor], lr=0.5).step()


CHANGES: dict[str, Callable[[GeneratedNetwork, nn.Parameter], object]] = {
    "in place": lambda network, factor: factor.detach().fill_(3),
    "by an optimiser": lambda network, factor: _step(factor),
    "by loading": lambda network, factor: network.load_state_dict(
        {**network.state_dict(), "generator.factor": factor * 2}
    ),
    "by another tensor": lambda network, factor: setattr(factor, "data", factor.detach() * 2),
    "by precision": lambda network, factor: network.double().half().double(),
    "through .data, and eval": lambda network, factor: (factor.data.mul_(2), network.eval()),
    "through .data, and training": lambda network, factor: (factor.data.mul_(2), network.train(), network.eval()),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_weights_are_seen(change: str) -> None:
    network, _ = counted()
    factor = network.generator.get_parameter("factor")
    network.eval()
    with torch.no_grad():
        network(IMAGES)
        CHANGES[change](network, factor)  # type: ignore[arg-type]
        outputs = network(IMAGES)
        assert torch.allclose(outputs, network.materialise().eval()(IMAGES), rtol=1e-12)


def test_with_gradients_kernels_are_computed_anew_in_eval_mode_too() -> None:
    network, generator = counted()
    network.eval()
    with torch.no_grad():
        network(IMAGES)
    network(IMAGES).sum().backward()
    assert network.generator.get_parameter("factor").grad is not None
    assert generator.calls == 2


def test_a_copy_is_a_network_of_its_own() -> None:
    network, _ = counted()
    network.eval()
    with torch.no_grad():
        before = network(IMAGES)
        copied = copy.deepcopy(network)
        copied.generator.get_parameter("factor").fill_(2)
        assert not torch.allclose(copied(IMAGES), before)
        assert torch.equal(network(IMAGES), before)
    network.train()
    network(IMAGES).sum().backward()
    assert copy.deepcopy(network).state_dict().keys() == network.state_dict().keys()


def test_an_error_half_way_harms_nothing() -> None:
    network, _ = counted()
    with pytest.raises(RuntimeError):
        network(IMAGES[:, :1])
    assert network(IMAGES).shape == (3, 3, 4, 4)
    assert network.state_dict().keys() == generated().state_dict().keys()


def test_activation_checkpointing_finds_the_kernels_in_the_backward_pass() -> None:
    class Checkpointed(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            outputs: Tensor = checkpoint(super().forward, x, use_reentrant=False)
            return outputs

    network = generated()
    network(IMAGES).square().sum().backward()
    checkpointed = generated()
    checkpointed.network = Checkpointed(*checkpointed.network)  # type: ignore[arg-type]
    checkpointed(IMAGES).square().sum().backward()
    factor, expected = checkpointed.generator.get_parameter("factor"), network.generator.get_parameter("factor")
    assert factor.grad is not None
    assert expected.grad is not None
    assert torch.allclose(factor.grad, expected.grad)


def test_layers_that_shared_a_kernel_share_it_still() -> None:
    network = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1)).double()
    network[1].weight = network[0].weight
    images = IMAGES[:, :2]
    expected = network(images)
    made = GeneratedNetwork(network, Scaled({"0.weight": network[0].weight.detach().clone()}))
    assert torch.allclose(made(images), expected)
    materialised = made.materialise()
    assert isinstance(materialised, nn.Sequential)
    assert materialised[0].weight is materialised[1].weight


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.slow
def test_it_compiles_as_one_graph(training: bool) -> None:
    network, _ = counted()
    network.train(training)
    compiled = torch.compile(network, backend="aot_eager", fullgraph=True)
    outputs, expected = compiled(IMAGES), network(IMAGES)
    assert torch.allclose(outputs, expected)
    outputs.sum().backward()
    assert network.generator.get_parameter("factor").grad is not None


def test_under_autocast_cached_kernels_are_those_of_full_precision() -> None:
    network, _ = counted()
    network.float().eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        network(IMAGES.float())
        weight = network.network[0].weight  # type: ignore[index]
    assert weight.dtype == torch.float32


def test_a_kernel_of_another_shape_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"0.weight has shape \(4, 1, 3, 3\), but the generator returns shape \(4, 1, 5, 5\)"
    ):
        GeneratedNetwork(plain(), Scaled({"0.weight": torch.zeros(4, 1, 5, 5, dtype=torch.float64)}))
