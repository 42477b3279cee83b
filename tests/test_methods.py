"""The suite that every method passes, unedited: whatever `bench list methods` shows is tested here."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from bench import artifact, budget, count, options, plugins
from bench.errors import BudgetError
from bench.method import Method

METHODS = plugins.available(plugins.METHODS)
CASES = [(name, ratio) for name in METHODS for ratio in (2, 4, 8)]


def compress(method: Method, model: str, ratio: float, seed: int = 0) -> tuple[nn.Module, int | None]:
    network = artifact.build_network(model, 3, 10, seed)
    requested = round(count.stored_values(network) / ratio) if method.sized_by_budget else None
    return artifact.compress(method, network, requested, seed, trained=method.moment > 0), requested


def make(name: str) -> Method:
    method: Method = METHODS[name].make(None, {})
    return method


def images() -> torch.Tensor:
    return torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("model", ["resnet8", "resnet20"])
@pytest.mark.parametrize(("name", "ratio"), CASES)
def test_the_budget_is_met(name: str, ratio: int, model: str) -> None:
    compressed, requested = compress(make(name), model, ratio)
    if requested is not None:
        assert budget.met(requested, count.stored_values(compressed))


@pytest.mark.parametrize("name", METHODS)
def test_a_hopeless_budget_is_refused_with_a_reason_that_has_the_numbers(name: str) -> None:
    if make(name).sized_by_budget:
        with pytest.raises(BudgetError, match=r"\d"):
            compress(make(name), "resnet8", 1000)


@pytest.mark.parametrize("name", METHODS)
def test_the_same_seed_gives_the_same_network_and_another_seed_another(name: str) -> None:
    one, same, other = (compress(make(name), "resnet8", 4, seed)[0] for seed in (1, 1, 2))
    values, others = list(one.parameters()), list(other.parameters())
    assert all(torch.equal(a, b) for a, b in zip(values, same.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(values, others, strict=True))


@pytest.mark.parametrize("name", METHODS)
def test_gradients_reach_every_stored_value(name: str) -> None:
    compressed, _ = compress(make(name), "resnet8", 4)
    optimizer = torch.optim.SGD(compressed.parameters(), lr=0.01)
    touched = {parameter: torch.zeros_like(parameter, dtype=torch.bool) for parameter in compressed.parameters()}
    for _ in range(2):  # what starts at zero may block a gradient for one step
        optimizer.zero_grad()
        nn.functional.cross_entropy(compressed(images()), torch.arange(4)).backward()
        for parameter, seen in touched.items():
            assert parameter.grad is not None
            seen |= parameter.grad != 0
        optimizer.step()
    assert all(seen.float().mean() > 0.99 for seen in touched.values())


@pytest.mark.parametrize("name", METHODS)
def test_finish_changes_no_output_and_leaves_a_network_as_shallow_as_it_says(name: str) -> None:
    method = make(name)
    compressed, _ = compress(method, "resnet8", 4)
    compressed(images())  # gives batch norm statistics that are not the identity
    compressed.eval()
    with torch.inference_mode():
        expected = compressed(images())
        finished = method.finish(compressed).eval()
        assert torch.allclose(finished(images()), expected, atol=1e-5)


@pytest.mark.parametrize("name", METHODS)
def test_the_artifact_holds_the_stored_values_and_gives_the_network_back(name: str, tmp_path: Path) -> None:
    method = make(name)
    compressed, requested = compress(method, "resnet8", 4)
    compressed(images())
    compressed.eval()
    structure = method.structure(compressed)
    described = artifact.Description("resnet8", 3, 10, name, options.changed(method), requested, False, 0, structure)
    path = tmp_path / "weights.safetensors"
    path.write_bytes(artifact.pack(compressed, described))
    tensors = load_file(path)
    stored = sum(tensor.numel() for key, tensor in tensors.items() if "running_" not in key)
    assert stored == count.stored_values(compressed)
    with torch.inference_mode():
        assert torch.allclose(artifact.load(path)(images()), compressed(images()), atol=1e-6)


@pytest.mark.parametrize("name", METHODS)
def test_a_tiny_problem_can_be_learned(name: str) -> None:
    compressed, _ = compress(make(name), "resnet8", 4)
    optimizer = torch.optim.SGD(compressed.parameters(), lr=0.05, momentum=0.9)
    inputs, labels = images(), torch.tensor([0, 1, 2, 3])
    for _ in range(30):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(compressed(inputs), labels)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1


@pytest.mark.parametrize("name", METHODS)
def test_it_says_what_it_does(name: str) -> None:
    cls = METHODS[name].load()
    assert cls.__doc__
    assert cls.__doc__.strip().splitlines()[0].endswith(".")
    assert all(option.meaning for option in options.describe(cls))
