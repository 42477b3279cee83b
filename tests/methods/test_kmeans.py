"""Clustered weights: the clusters, how they learn, and the bytes."""

import math
from itertools import combinations
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from inside import generator_of
from torch import nn

from bench import count, testing
from bench.errors import BudgetError
from bench.files import artifact
from bench.files.description import Description, Step
from bench.measure import account
from bench.method import Compressed
from bench.methods.kmeans import Centres, KMeans, cluster
from bench.plugins import networks


def compress(clusters: int = 16) -> Compressed:
    return testing.compress(KMeans(clusters), "resnet8", None, trained=True)


@settings(max_examples=50)
@given(st.lists(st.floats(-8, 8, width=32), min_size=8, max_size=40, unique=True), st.integers(2, 6))
def test_every_number_has_its_nearest_centre_and_every_centre_is_the_mean(numbers: list[float], clusters: int) -> None:
    values = torch.tensor(numbers, dtype=torch.float64)
    centres, assignment = cluster(values, clusters)
    distances = (values[:, None] - centres).abs()
    assert torch.allclose(distances.gather(1, assignment[:, None])[:, 0], distances.min(1).values)
    for place in range(clusters):
        assert centres[place] == pytest.approx(float(values[assignment == place].mean()), abs=1e-9)


def test_well_separated_clusters_are_found() -> None:
    """The optimum, found by trying every way to cut sorted numbers in three."""
    values = torch.tensor([-3.1, -3.0, -2.8, 0.1, 0.2, 5.0, 5.3, 5.1, 0.0], dtype=torch.float64)
    ordered = values.sort().values

    def cost(cuts: tuple[int, ...]) -> float:
        parts = ordered.tensor_split(list(cuts))
        return sum(float(((part - part.mean()) ** 2).sum()) for part in parts)

    best = min(cost(cuts) for cuts in combinations(range(1, len(values)), 2))
    centres, assignment = cluster(values, 3)
    assert float(((values - centres[assignment]) ** 2).sum()) == pytest.approx(best)


def test_an_outlier_does_not_leave_centres_without_numbers() -> None:
    values = torch.cat([torch.linspace(0, 1, 100), torch.tensor([1000.0])])
    _, assignment = cluster(values, 8)
    assert len(assignment.unique()) == 8


def test_a_network_without_layers_is_missed_with_a_reason() -> None:
    network = nn.ParameterList([torch.ones(3)])
    with pytest.raises(BudgetError, match="no convolution or linear layer whose weights could be clustered"):
        account.compress(KMeans(), network, None, 0, trained=False)


def test_kernels_are_their_layers_centres() -> None:
    dense = testing.network("resnet8")
    plain = compress(4).finish()
    for name, module in plain.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            weight = dense.get_parameter(f"{name}.weight")
            centres, assignment = cluster(weight.detach().flatten(), 4)
            assert torch.allclose(module.weight.flatten(), centres[assignment], atol=1e-6)


def test_a_centre_moves_by_the_sum_of_its_weights_gradients_over_the_root_of_their_number() -> None:
    made = compress(4)
    images = torch.randn(4, 3, 8, 8)
    plain = made.finish()
    for network in (made.network, plain):
        network.train()(images).square().sum().backward()
    generator = generator_of(made, Centres)
    gradients = {name: layer.weight.grad for name, layer in plain.named_modules() if isinstance(layer, nn.Conv2d)}
    joined = generator.kernels.join({**gradients, "classifier": plain.classifier.weight.grad})  # type: ignore[dict-item, union-attr]
    for centres, assignment, own in zip(
        generator.centres, generator.assignments(), joined.split(generator.kernels.sizes), strict=True
    ):
        assert centres.grad is not None
        for place, gradient in enumerate(centres.grad):
            of_its_weights = own[assignment == place]
            expected = float(of_its_weights.sum()) / max(1, len(of_its_weights)) ** 0.5
            assert gradient == pytest.approx(expected, rel=1e-3, abs=1e-5)


def test_bytes_shrink_and_values_do_not(tmp_path: Path) -> None:
    dense = testing.network("resnet8")
    made = compress(16)
    weights = sum(module.weight.numel() for module in dense.modules() if isinstance(module, nn.Conv2d | nn.Linear))
    others = count.stored_values(dense) - weights
    assert count.stored_values(made.network) == weights + 8 * 16 + others
    assert count.trained_values(made.network) == 8 * 16 + others
    model = artifact.describe_model(networks.find("resnet8"), 3, 10)
    content = artifact.pack(made, Description(model, (Step("kmeans", {}, made.structure()),)))
    statistics = 2 * 2 * (16 * 3 + 32 * 2 + 64 * 2)  # mean and variance, of zeros and ones: half precision holds them
    plain = math.ceil(weights / 2) + 4 * 8 * 16 + 2 * (others - 10) + 4 * 10 + statistics
    header = 8 + int.from_bytes(content[:8], "little")
    assert len(content) == plain + header


@pytest.mark.parametrize("clusters", [1, 257])
def test_clusters_that_can_not_be(clusters: int) -> None:
    with pytest.raises(ValueError, match=f"clusters can't be {clusters}; it lies between 2 and 256"):
        KMeans(clusters)
