"""Networks on generated kernels: the same outputs and gradients as plain ones."""

import pytest
import torch
from torch import Tensor, nn

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


def test_a_kernel_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"0.weight has shape \(4, 1, 3, 3\), but \(4, 1, 5, 5\) is generated"):
        GeneratedNetwork(plain(), Scaled({"0.weight": torch.zeros(4, 1, 5, 5, dtype=torch.float64)}))
