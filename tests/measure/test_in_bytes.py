"""Budgets of bytes: what counts, by hand and by the header of a packed file, and the search that meets them."""

import json
import math
import struct

import pytest
import torch
from torch import nn

from bench import count, masks, testing
from bench.budget import Requested, met
from bench.errors import BudgetError
from bench.files import artifact
from bench.files.description import Description
from bench.measure import account, in_bytes
from bench.measure.in_bytes import Search
from bench.measure.packed_size import counted_bytes
from bench.plan.method_choice import find_methods
from bench.plugins import networks


def in_header(content: bytes) -> int:
    """Bytes of an artifact's tensors without batch norm's statistics, by the header alone."""
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    header.pop("__metadata__")
    statistics = ("running_mean", "running_var")
    places = [entry["data_offsets"] for name, entry in header.items() if not name.endswith(statistics)]
    return sum(end - start for start, end in places)


def test_bytes_by_hand() -> None:
    network = nn.Module()
    network.plain = nn.Parameter(torch.ones(10))  # round, but nobody promised that it stays so
    network.rounded = nn.Parameter(torch.ones(6))
    network.sparse, network.dense = nn.Parameter(torch.ones(1000)), nn.Parameter(torch.ones(80))
    network.register_buffer("index", torch.tensor([0, 5, 2], dtype=torch.int32))  # 3 bits each
    network.register_buffer("negative", torch.tensor([-1, 1], dtype=torch.int16))
    network.register_buffer("flags", torch.ones(9, dtype=torch.bool))
    network.norm = nn.BatchNorm2d(4)
    few, many = torch.zeros(1000, dtype=torch.bool), torch.ones(80, dtype=torch.bool)
    few[[99, 149]] = True  # gaps of 100 and 50: 7 bits each
    many[:3] = False
    masks.attach(network, {"sparse": few, "dense": many})
    wanted = 4 * 10 + 2 * 6 + (4 * 2 + math.ceil(14 / 8)) + (4 * 77 + 10) + math.ceil(9 / 8) + 2 * 2 + 2 + 4 * 8
    assert counted_bytes(network, half=["rounded"]) == wanted
    assert counted_bytes(network) == wanted + 2 * 6


@pytest.mark.parametrize("text", ["csg", "csg:half=true", "sparse", "lego", "kmeans", "lowrank"])
def test_what_is_counted_is_what_a_file_of_trained_values_holds(text: str) -> None:
    """On 8x of the bytes of ResNet-8, each value moved as training moves it."""
    (choice,) = find_methods([text])
    found, dense = networks.find("resnet8"), 4 * 75_290
    network = testing.network("resnet8")
    assert counted_bytes(network) == dense
    made = in_bytes.compress(choice.method, network, Requested(bytes=round(dense / 8)), seed=0, trained=True)
    account.to_size(choice.method, made)
    with torch.no_grad():
        for parameter in made.network.parameters():
            parameter.mul_(1 + 1e-3 * torch.rand(parameter.shape)).add_(1e-4 * torch.rand(parameter.shape))
        masks.enforce(masks.pairs(made.network))
    made.settle()
    stored = account.stored(made, settled=True)
    content = artifact.pack(made, Description(artifact.describe_model(found, 3, 10), (choice.step(made),)))
    assert stored.counted_bytes == in_header(content)
    assert met(round(dense / 8), stored.counted_bytes)
    if text == "csg":
        assert stored.counted_bytes == 4 * stored.stored_values
    if text == "csg:half=true":
        assert stored.counted_bytes == 2 * stored.stored_values
    if text == "kmeans":
        assert stored.stored_values > 75_290
        assert made.solved["bits"] < 4


def test_a_promise_to_round_that_is_not_kept_counts_in_full() -> None:
    made = in_bytes.compress(find_methods(["dense"])[0].method, testing.network("resnet8"), Requested(), 0, False)
    made.half = tuple(count.stored_tensors(made.network))
    assert account.stored(made).counted_bytes == 2 * 75_290
    norms = 2 * (3 * 16 + 2 * 32 + 2 * 64)  # of ones and zeros
    assert account.stored(made, settled=True).counted_bytes == 4 * (75_290 - norms) + 2 * norms


def test_few_tries_are_needed_where_side_information_grows_with_the_values() -> None:
    tried: list[int] = []

    def sparse(values: int) -> int:
        tried.append(values)
        return 4 * values + min(12_500, math.ceil(values * (17 - values.bit_length()) / 8))

    found = Search(40_000, 1, 100_000, sparse, str).run(10_000)
    assert met(40_000, sparse(found), 0.002)
    assert len(tried) <= 5


def search(values: dict[int, int], asked: int, first: int) -> int:
    def bytes_of(number: int) -> int:
        if number not in values:
            raise BudgetError(f"{number} is too odd")
        return values[number]

    return Search(asked, 1, 100, bytes_of, "{} values".format).run(first)


def test_a_method_that_refuses_some_numbers_is_asked_for_others() -> None:
    """Nothing below 60, where a value has two bytes: a first guess of four is refused."""
    assert search({number: 2 * number for number in range(60, 101)}, 150, 37) == 75


@pytest.mark.parametrize(
    ("values", "asked", "reason"),
    [
        (dict.fromkeys(range(1, 101), 40), 50, r"50 bytes were asked for, but \d+ values give 40 \(-20.0%; 1%"),
        (
            {number: 8 * number for number in range(1, 101)},
            996,
            r"995|996 bytes were asked for, but 100 values give 800",
        ),
        ({}, 80, "80 bytes were asked for; tried with 20 values: 20 is too odd"),
        (
            {50: 300},
            330,
            r"330 bytes were asked for, but 50 values give 300 .*; \d+ values are refused: \d+ is too odd",
        ),
    ],
)
def test_where_nothing_comes_near_the_reason_says_what_does(values: dict[int, int], asked: int, reason: str) -> None:
    with pytest.raises(BudgetError, match=reason):
        search(values, asked, 50 if 50 in values and len(values) == 1 else asked // 4)


def test_a_budget_of_more_bytes_than_dense_has_is_refused() -> None:
    (choice,) = find_methods(["csg"])
    with pytest.raises(
        BudgetError, match=r"400,000 bytes were asked for, but the dense network stores only 301,160, .*4x-bytes"
    ):
        in_bytes.compress(choice.method, testing.network("resnet8"), Requested(bytes=400_000), 0, trained=False)
