"""The code space of a run: what is kept of it, and that it is what the kernels are made of."""

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load
from torch import nn

from bench.generated import GeneratedNetwork
from bench.kernels.combinations import SliceGroup
from bench.measure.code_space import encode, principal_components
from bench.method import CodeSpace, Context
from bench.methods.csg.csg import CSG


def read(content: bytes) -> tuple[dict[str, np.ndarray], dict[str, dict[str, object]]]:
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    return load(content), json.loads(header["__metadata__"]["code_space"])


def test_the_most_important_pieces_come_first_and_zero_is_in_the_middle() -> None:
    pieces = torch.zeros(3, 2, 2)
    pieces[0, 0, 0], pieces[1, 1, 1], pieces[2, 0, 1] = 1.0, -4.0, 2.0
    codes = {"a": torch.tensor([[1.0, 1, 1]]), "b": torch.tensor([[1.0, 1, 5]])}
    tensors, described = read(encode({"x": CodeSpace(pieces, codes)}))
    # The third has norm 2 and coefficients of norm 5.1, the second 4 and 1.4, the first 1 and 1.4.
    assert tensors["x/pieces"].tolist() == [[[128, 255], [128, 128]], [[128, 128], [128, 1]], [[255, 128], [128, 128]]]
    assert tensors["x/layers"].tolist() == [0, 1]
    assert described["x"]["layers"] == ["a", "b"]
    assert (described["x"]["pieces"], described["x"]["codes"]) == (3, 2)
    assert described["x"]["variance"] == pytest.approx([1, 0])


def test_components_are_those_of_numpy() -> None:
    codes = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
    places, shares = principal_components(codes)
    covariance = np.cov(codes.numpy().T)
    values = np.linalg.eigvalsh(covariance)[::-1]
    assert shares == pytest.approx(list(values[:2] / values.sum()), rel=1e-5)
    assert places.numpy().var(axis=0, ddof=1) == pytest.approx(values[:2], rel=1e-5)
    assert np.corrcoef(places.numpy().T)[0, 1] == pytest.approx(0, abs=1e-5)


def test_what_is_large_is_thinned_and_says_how_much_there_was() -> None:
    space = CodeSpace(torch.randn(50, 4, 4), {"a": torch.randn(3000, 50), "b": torch.randn(1000, 50)})
    tensors, described = read(encode({"x": space}))
    assert tensors["x/pieces"].shape == (36, 4, 4)
    assert tensors["x/codes"].shape == (2000, 2)
    assert [int((tensors["x/layers"] == layer).sum()) for layer in (0, 1)] == [1500, 500]
    assert (described["x"]["pieces"], described["x"]["codes"]) == (50, 4000)


def test_one_code_of_one_value_has_a_place() -> None:
    tensors, described = read(encode({"x": CodeSpace(torch.ones(1, 2, 2), {"a": torch.ones(1, 1)})}))
    assert tensors["x/codes"].tolist() == [[0, 0]]
    assert described["x"]["variance"] == [0, 0]


@pytest.mark.parametrize("hidden", [None, 5])
def test_pictures_and_codes_of_csg_are_what_its_kernels_are_made_of(hidden: int | None) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 16, 3))
    method = CSG(slice=(8, 8), code=4, hidden=hidden)
    compressed = method.compress(network, None, Context(torch.Generator().manual_seed(0), trained=False))
    made, space = compressed.network, compressed.pictures()["3x3"]
    assert {name: tuple(codes.shape) for name, codes in space.codes.items()} == {
        "1": (1, hidden or 4),
        "2": (2, hidden or 4),
    }
    assert isinstance(made, GeneratedNetwork)
    (group,) = (module for module in made.modules() if isinstance(module, SliceGroup))
    kernel = group()["1.weight"]
    picture = (space.codes["1"][0][:, None, None] * space.pieces).sum(0)
    for output in range(8):
        for given in range(8):
            place = picture[3 * output : 3 * output + 3, 3 * given : 3 * given + 3]
            torch.testing.assert_close(place, kernel[output, given])
