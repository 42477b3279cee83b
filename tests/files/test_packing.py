"""Packed tensors: the same values back, in as many bytes as worked out by hand."""

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor

from bench import masks, testing
from bench.errors import InputError
from bench.files import artifact
from bench.files.description import Description, Step
from bench.files.packing import MASK, pack, unpack
from bench.method import Compressed
from bench.plugins import networks


def there_and_back(
    tensors: dict[str, Tensor], kept: dict[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, Tensor], int]:
    """Through JSON too; and the bytes in between."""
    packed, layout = pack(tensors, kept)
    size = sum(tensor.numel() * tensor.element_size() for tensor in packed.values())
    return *unpack(packed, json.loads(json.dumps(layout))), size


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=50), st.integers(0, 40))
def test_whole_numbers_take_the_bits_of_the_largest(numbers: list[int], shift: int) -> None:
    values = torch.tensor(numbers) >> shift
    back, _, size = there_and_back({"n": values}, {})
    assert torch.equal(back["n"], values)
    bits = max(1, len(f"{int(values.max()):b}"))
    assert size == math.ceil(len(numbers) * bits / 8)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64])
def test_the_type_of_whole_numbers_comes_back(dtype: torch.dtype) -> None:
    values = torch.tensor([[0, 5], [7, 1]], dtype=dtype)
    back, _, size = there_and_back({"n": values}, {})
    assert back["n"].dtype == dtype
    assert torch.equal(back["n"], values)
    assert size == 2  # four numbers of three bits


def test_negative_numbers_and_none_at_all_stay_as_they_are() -> None:
    values = {"below": torch.tensor([-1, 3]), "none": torch.zeros(0, dtype=torch.int64)}
    back, _, size = there_and_back(values, {})
    assert all(torch.equal(back[name], tensor) for name, tensor in values.items())
    assert size == 16


@settings(max_examples=60)
@given(st.integers(1, 300), st.floats(0, 1), st.integers(0, 99))
def test_masked_values_come_back_with_the_cheaper_of_bitmap_and_gaps(size: int, share: float, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    mask = torch.rand(size, generator=random) < share
    values = torch.randn(size, generator=random) * mask
    back, found, taken = there_and_back({"w": values}, {"w": mask})
    assert torch.equal(back["w"], values)
    assert torch.equal(found["w"], mask)
    places = [-1, *mask.nonzero().flatten().tolist()]
    gaps = [after - before for before, after in pairwise(places)]
    bits = len(f"{max(gaps, default=1):b}")
    kept = len(gaps)
    wide = 2 if torch.equal(values.half().float(), values) else 4
    assert taken == wide * kept + math.ceil(min(bits * kept, size) / 8)


def test_one_in_a_hundred_takes_gaps_and_one_in_two_a_bitmap() -> None:
    sparse, half = torch.zeros(10_000, dtype=torch.bool), torch.zeros(10_000, dtype=torch.bool)
    sparse[99::100] = True
    half[::2] = True
    for mask, kind, size in ((sparse, "gaps", 100 * 7 / 8), (half, "bitmap", 10_000 / 8)):
        packed, layout = pack({"w": mask.float()}, {"w": mask})
        assert layout["w"]["mask"] == kind
        assert packed["w" + MASK].numel() == math.ceil(size)


def test_channels_last_and_half_precision() -> None:
    kernel = torch.randn(4, 3, 2, 2).half().float().to(memory_format=torch.channels_last)
    mask = torch.zeros(4, 3, 2, 2, dtype=torch.bool).to(memory_format=torch.channels_last)
    mask[1, :, 0] = True
    back, found, size = there_and_back({"w": kernel * mask}, {"w": mask})
    assert torch.equal(back["w"], (kernel * mask).half())
    assert torch.equal(found["w"], mask)
    # Six values of two bytes, and gaps 13, 1, 4, 1, 4, 1 of four bits: three bytes, where a bitmap takes six.
    assert size == 2 * 6 + 3


def test_values_beside_the_mask_are_an_error() -> None:
    with pytest.raises(ValueError, match="w has values other than zero outside of its mask"):
        pack({"w": torch.ones(3)}, {"w": torch.tensor([True, False, True])})


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [7, 7]},
        {"bits": 9},
        {"bits": 0},
        {"bits": "many"},
        {"shape": None},
        {"mask": "bitmap"},
    ],
)
def test_a_damaged_layout_is_an_input_error(tmp_path: Path, change: dict[str, Any]) -> None:
    mask = torch.zeros(16, 3, 3, 3, dtype=torch.bool)
    mask.view(-1)[::40] = True
    network = testing.network("resnet8")
    masks.attach(network, {"conv1.weight": mask})
    described = Description(artifact.describe_model(networks.find("resnet8"), 3, 10), (Step("dense", {}, {}),))
    path = tmp_path / "weights.safetensors"
    path.write_bytes(artifact.pack(Compressed(network), described))
    assert torch.equal(artifact.read(path).masks["conv1.weight"], mask)

    tensors = load_file(path)
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    given = json.loads(header["__metadata__"]["bench"])
    given["layout"]["conv1.weight"] |= change
    save_file(tensors, path, metadata={"bench": json.dumps(given)})
    with pytest.raises(InputError, match="description that can't be read"):
        artifact.read(path)


def test_what_is_true_or_false_has_a_bit() -> None:
    flags = torch.arange(35).view(5, 7) % 3 == 0
    packed, layout = pack({"flags": flags}, {})
    assert packed["flags"].numel() == 5  # bytes, of 35 bits
    tensors, _ = unpack(packed, layout)
    assert tensors["flags"].dtype == torch.bool
    assert torch.equal(tensors["flags"], flags)
