"""Hashing: xxHash32 as in its package, what is shared with what, budgets to the value, the least-squares fit."""

import math
import struct
from typing import Any

import numpy
import pytest
import torch
import xxhash
from hypothesis import given
from hypothesis import strategies as st
from inside import generator_of
from torch import Tensor, nn

from bench import count, testing
from bench.errors import BudgetError
from bench.kernels.flat import FlatKernels
from bench.method import Context
from bench.methods.hashing.hashing import HashedKernels, Hashing, assign
from bench.methods.hashing.xxhash32 import xxhash32

# Two layers are hashed by default, with 648 and 576 weights: no multiples of seven, and with other numbers of inputs.
HASHED = {"1": 648, "3": 576}
VARIANTS: list[dict[str, Any]] = [
    {},
    {"sign": False},
    {"share": "network"},
    {"share": "network", "sign": False},
    {"block": 7},
    {"block": 7, "share": "network"},
]
WORD = st.integers(0, 2**32 - 1)


def network() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 9, 3), nn.Conv2d(9, 8, 3), nn.Conv2d(8, 16, 3, groups=2, bias=False), nn.Conv2d(16, 4, 3)
    return nn.Sequential(*layers).double()


def compress(options: dict[str, Any], buckets: int, trained: bool = False, seed: int = 0) -> HashedKernels:
    """What generates the two layers from so many buckets."""
    fixed = count.stored_values(network()) - sum(HASHED.values())
    context = Context(torch.Generator().manual_seed(seed), trained)
    made = Hashing(**options).compress(network(), fixed + buckets, context)
    assert count.stored_values(made.network) == fixed + buckets
    return generator_of(made, HashedKernels)


def matrix(kernels: HashedKernels) -> Tensor:
    """The linear map from buckets to weights, `(weights, buckets)`, a column at a time."""
    return torch.stack([kernels.values_of(bucket) for bucket in torch.eye(len(kernels.buckets)).double()], dim=1)


def in_memory(weight: Tensor) -> Tensor:
    """The values of a kernel in the order in which they are hashed."""
    return weight.permute(0, 2, 3, 1).flatten()


@given(
    st.integers(0, 3).flatmap(lambda words: st.lists(st.lists(WORD, min_size=words, max_size=words), min_size=1)), WORD
)
def test_the_hashes_are_those_of_the_xxhash_package(keys: list[list[int]], seed: int) -> None:
    expected = [xxhash.xxh32_intdigest(struct.pack(f"<{len(key)}I", *key), seed) for key in keys]
    assert xxhash32(numpy.array(keys, numpy.uint32).reshape(len(keys), -1).T, seed).tolist() == expected


@given(st.lists(WORD, min_size=8, max_size=60, unique=True), st.integers(1, 6), st.integers(0, 2))
def test_equal_hashes_share_a_slot_and_no_slot_is_empty(numbers: list[int], slots: int, uncounted: int) -> None:
    hashes = numpy.array([*numbers, *numbers], numpy.uint32)
    counted = numpy.arange(len(hashes)) >= uncounted
    given_slots = assign(hashes, counted, slots)
    assert set(given_slots[counted].tolist()) == set(range(slots))
    assert (given_slots[: len(numbers)] == given_slots[len(numbers) :]).all()
    assert given_slots.min() >= 0
    assert given_slots.max() < slots


@pytest.mark.parametrize("ratio", [1.25, 2, 8])
def test_slots_fill_up_as_by_chance(ratio: float) -> None:
    """The number of weights of a bucket is Poisson distributed but for zero. Dealt out evenly, its variance were 0."""
    number = 200_000
    keys = numpy.stack([numpy.full(number, 3, numpy.uint32), numpy.arange(number, dtype=numpy.uint32)])
    slots = round(number / ratio)
    sizes = numpy.bincount(assign(xxhash32(keys, 5), numpy.ones(number, bool), slots), minlength=slots)
    rate = ratio
    for _ in range(100):  # the rate at which those that are not zero have the mean `ratio`
        rate = ratio * (1 - math.exp(-rate))
    assert len(sizes) == slots
    assert sizes.min() >= 1
    assert sizes.mean() == pytest.approx(ratio, rel=1e-4)
    assert sizes.var() == pytest.approx(ratio * (1 + rate - ratio), rel=0.03)


def test_kernels_by_the_formula() -> None:
    """V[p] = xi(p) w[h(p)], weight by weight, with hashes from the package."""
    kernels = compress({}, 200)
    index_seed, sign_seed = torch.randint(2**32, (2,), generator=torch.Generator().manual_seed(0)).tolist()
    made = kernels()
    for layer, (name, vector) in enumerate(zip(HASHED, kernels.buckets.split(kernels.vectors), strict=True)):
        values = in_memory(made[f"{name}.weight"])
        keys = [struct.pack("<II", layer, place) for place in range(len(values))]
        hashes = numpy.array([xxhash.xxh32_intdigest(key, index_seed) for key in keys], numpy.uint32)
        slots = assign(hashes, numpy.ones(len(keys), bool), len(vector))
        for key, slot, value in zip(keys, slots, values, strict=True):
            sign = -1 if xxhash.xxh32_intdigest(key, sign_seed) >= 2**31 else 1
            assert value == sign * vector[int(slot)]


def test_a_layers_share_of_buckets_is_in_proportion_to_its_weights() -> None:
    assert compress({}, 306).vectors == [162, 144]
    assert compress({"block": 8}, 310).vectors == [160, 150]  # 38 blocks, and 6 values
    assert compress({"share": "network"}, 306).vectors == [306]


@pytest.mark.slow
@pytest.mark.parametrize("options", VARIANTS)
@pytest.mark.parametrize("buckets", [57, 200, 611, 900])
def test_every_bucket_has_a_weight_and_every_weight_one_bucket(options: dict[str, Any], buckets: int) -> None:
    used = matrix(compress(options, buckets)) != 0
    assert used.shape == (sum(HASHED.values()), buckets)
    assert used.any(0).all()
    assert (used.sum(1) == 1).all()


def test_a_block_of_weights_has_a_block_of_buckets() -> None:
    kernels = compress({"block": 7}, 100)  # 14 blocks and 2 values
    used = matrix(kernels)
    buckets = used.abs().argmax(1).split(list(HASHED.values()))
    starts = {0, 7, 14, 21, 28, 35, 42, 49, 56, 63, 70, 77, 84, 91, 93}
    found = set()
    for own in buckets:
        for block in own.split(7):
            assert block.tolist() == list(range(int(block[0]), int(block[0]) + len(block)))
            found.add(int(block[0]))
    assert found == starts
    assert not set(buckets[0].tolist()) & set(buckets[1].tolist())
    # Signs are the weights' own: about half are negative, in most blocks some and not all.
    mixed = [len(block.sum(1).unique()) == 2 for block in used.split(7)]
    assert sum(mixed) > 0.8 * len(mixed)
    assert float((used.sum(1) < 0).double().mean()) == pytest.approx(0.5, abs=0.05)


def test_one_vector_for_the_network_is_shared_by_layers_at_the_scale_of_their_inputs() -> None:
    used = matrix(compress({"share": "network"}, 50))
    first, second = used.split(list(HASHED.values()))
    assert ((first != 0).any(0) & (second != 0).any(0)).all()
    scales = first.abs().amax(1).unique(), second.abs().amax(1).unique()
    assert [len(scale) for scale in scales] == [1, 1]
    assert float(scales[0] / scales[1]) == pytest.approx(math.sqrt(16 / 9))
    assert float((648 * scales[0] ** 2 + 576 * scales[1] ** 2) / 1224) == pytest.approx(1, rel=1e-6)


@pytest.mark.parametrize("options", VARIANTS)
def test_a_trained_network_is_fitted_by_least_squares(options: dict[str, Any]) -> None:
    kernels = compress(options, 180, trained=True)
    weights = torch.cat([in_memory(network().get_parameter(f"{name}.weight").detach()) for name in HASHED])
    best = torch.linalg.lstsq(matrix(kernels), weights[:, None]).solution[:, 0]
    torch.testing.assert_close(kernels.buckets.detach(), best)


def test_a_fitted_bucket_is_the_mean_of_its_weights() -> None:
    kernels = compress({}, 180, trained=True)
    signed = matrix(kernels)
    weights = torch.cat([in_memory(network().get_parameter(f"{name}.weight").detach()) for name in HASHED])
    for bucket, column in zip(kernels.buckets.detach(), signed.detach().T, strict=True):
        assert float(bucket) == pytest.approx(float((column * weights)[column != 0].mean()))


def test_steps_on_fitted_buckets_are_those_of_kernels_of_the_old_size() -> None:
    """Gradients are smaller by the part of the sum of squares that the fit keeps."""
    kernels = compress({}, 180, trained=True)
    kernels()["1.weight"].sum().backward()
    kept = kernels()["1.weight"].square().sum() / network().get_parameter("1.weight").square().sum()
    assert 0.1 < kept < 0.4  # 95 of 648 values
    plain = matrix(kernels)[: HASHED["1"]].sum(0)
    torch.testing.assert_close(kernels.buckets.grad, plain * kept.detach())


def test_zeros_are_fitted_by_zeros_that_can_learn() -> None:
    kernels = compress({}, 180, trained=True)
    with torch.no_grad():
        kernels.fit({name: torch.zeros(kernels.kernels.shapes[name]).double() for name in HASHED})
    kernels()["1.weight"].square().sum().backward()
    assert kernels.buckets.count_nonzero() == 0
    assert kernels.buckets.grad is not None
    assert kernels.buckets.grad.isfinite().all()
    assert kernels.pace is not None
    assert (kernels.pace == 1).all()


@pytest.mark.parametrize("options", VARIANTS)
def test_training_from_scratch_starts_at_the_size_of_the_networks_own_kernels(options: dict[str, Any]) -> None:
    kernels = compress(options, 180)
    made = [squares(kernels()[f"{name}.weight"]) for name in HASHED]
    wanted = [squares(network().get_parameter(f"{name}.weight")) for name in HASHED]
    assert sum(made) == pytest.approx(sum(wanted))
    if options.get("share") != "network":
        assert made == pytest.approx(wanted)
    for vector in kernels.buckets.split(kernels.vectors):  # uniform: kurtosis 9/5
        assert len(vector) * squares(vector**2) / squares(vector) ** 2 == pytest.approx(1.8, abs=0.3)


def squares(values: Tensor) -> float:
    return float(values.detach().square().sum())


def test_without_signs_weights_are_their_buckets() -> None:
    kernels = compress({"sign": False}, 180)
    assert kernels.multipliers is None
    assert set(kernels()["1.weight"].flatten().tolist()) == set(kernels.buckets[: kernels.vectors[0]].tolist())


def test_the_seed_decides_and_nothing_of_it_is_stored() -> None:
    one, same, other = (compress({"block": 7}, 180, seed=seed) for seed in (1, 1, 2))
    assert list(one.state_dict()) == ["buckets"]
    assert torch.equal(one.index, same.index)
    assert not torch.equal(one.index, other.index)
    signs = one.multipliers, same.multipliers, other.multipliers
    assert signs[0] is not None
    assert signs[1] is not None
    assert signs[2] is not None
    assert torch.equal(signs[0], signs[1])
    assert not torch.equal(signs[0], signs[2])


@pytest.mark.parametrize("block", [1, 144])
def test_gradients_are_the_same_bits_every_time_with_several_threads(block: int) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        shape = FlatKernels({"layer": (256, 128, 3, 3)}, {"layer": True})
        kernels = HashedKernels(shape, 40_000, "layer", block, 1, 2)
        upstream = torch.randn(256 * 128 * 9, generator=torch.Generator().manual_seed(1))
        found = [torch.autograd.grad(kernels.values_of(kernels.buckets), kernels.buckets, upstream)[0] for _ in "12345"]
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(gradient, found[0]) for gradient in found)


@pytest.mark.slow
@pytest.mark.parametrize("share", ["layer", "network"])
@pytest.mark.parametrize("block", [1, 16, 144])
@pytest.mark.parametrize("model", ["resnet20", "shufflenetv2-x0.5-cifar"])
def test_budgets_are_met_to_the_value(share: Any, block: int, model: str) -> None:
    dense = count.stored_values(testing.network(model))
    for ratio in (2, 16):
        made = testing.compress(Hashing(share, block), model, dense // ratio)
        assert count.stored_values(made.network) == dense // ratio


def test_budgets_out_of_reach_are_refused_with_the_reason() -> None:
    fixed = count.stored_values(network()) - sum(HASHED.values())
    for options, buckets, reason in (
        ({}, 1224, r"hashing makes no network larger, and 2,064 values are no fewer than it has"),
        ({}, 1220, r"hashing can't give [\d,]+ values to [\d,]+ weights or blocks without waste"),
        ({"block": 400}, 50, "no layer to hash: none has 800 weights"),
    ):
        with pytest.raises(BudgetError, match=reason):
            Hashing(**options).compress(network(), fixed + buckets, Context(torch.Generator(), False))
    with pytest.raises(BudgetError, match=r"stores 21 values, and what is hashed at least 28; 40 were asked for"):
        Hashing(block=7).compress(network(), 40, Context(torch.Generator(), False))


def test_options_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="block can't be 0; it is at least 1"):
        Hashing(block=0)
