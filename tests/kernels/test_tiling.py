"""Tilings against plain formulas, value by value, for shapes that don't divide."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.kernels.flat import FlatKernels
from bench.kernels.tiled import TiledKernels
from bench.kernels.tiling import Kind, Tiling, is_channels_last

SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9), *[st.sampled_from([1, 2, 3, 5])] * 2)
SLICES = st.tuples(st.integers(1, 5), st.integers(1, 5))


def assemble(tiling: Tiling, slices: torch.Tensor, channels_last: bool = True) -> torch.Tensor:
    """The weight that these slices make."""
    kernels = TiledKernels({"layer": tiling}, flat(tiling, channels_last))
    weight: torch.Tensor = kernels(slices.flatten())["layer.weight"]
    return weight


def flat(tiling: Tiling, channels_last: bool = True) -> FlatKernels:
    return FlatKernels({"layer": tiling.shape}, {"layer": channels_last})


def numbered(tiling: Tiling) -> torch.Tensor:
    """Slices `(number, S1, S0, kh, kw)` whose values are all different."""
    shape = (tiling.slices, tiling.slice[1], tiling.slice[0], *tiling.taps)
    return torch.arange(math.prod(shape)).view(shape)


@given(SHAPES, SLICES)
def test_blocks_are_a_grid(shape: tuple[int, ...], slice_: tuple[int, int]) -> None:
    tiling = Tiling(shape, slice_, "block")
    slices = numbered(tiling)
    weight = assemble(tiling, slices)
    assert weight.shape == shape
    columns = math.ceil(shape[1] / slice_[0])
    for o in range(shape[0]):
        for i in range(shape[1]):
            block = slices[(o // slice_[1]) * columns + i // slice_[0]]
            assert torch.equal(weight[o, i], block[o % slice_[1], i % slice_[0]])


@given(SHAPES, SLICES)
def test_the_view_is_the_authors_reshape(shape: tuple[int, ...], slice_: tuple[int, int]) -> None:
    tiling = Tiling(shape, slice_, "view")
    padded = [math.ceil(channels / size) * size for channels, size in zip(shape[:2], slice_[::-1], strict=True)]
    expected = numbered(tiling).reshape(*padded, *shape[2:])[: shape[0], : shape[1]]
    assert torch.equal(assemble(tiling, numbered(tiling)), expected)


@given(SHAPES, SLICES, st.sampled_from(["block", "view"]))
def test_values_are_what_the_index_gathers(shape: tuple[int, ...], slice_: tuple[int, int], kind: Kind) -> None:
    """Each value of the weight has a place of its own: weights can be cut into slices as well as made of them."""
    tiling = Tiling(shape, slice_, kind)
    index = tiling.index()
    assert len(index.unique()) == math.prod(shape)
    weight = assemble(tiling, numbered(tiling))
    assert torch.equal(flat(tiling).join({"layer": weight}), numbered(tiling).flatten()[index])
    slice_values = math.prod(slice_) * math.prod(tiling.taps)
    reached = torch.zeros(tiling.slices, dtype=torch.bool)
    reached[index // slice_values] = True
    assert torch.equal(tiling.dead(), ~reached)


def test_the_two_agree_where_the_padded_input_is_one_slice_wide() -> None:
    shape, slice_ = (20, 5, 3, 3), (8, 6)
    assert torch.equal(Tiling(shape, slice_, "block").index(), Tiling(shape, slice_, "view").index())


def test_the_view_has_dead_slices_and_blocks_have_none() -> None:
    """64 channels in slices of 12x12: of the padded kernel's 72 filters the last 8 are cut off."""
    shape, slice_ = (64, 64, 3, 3), (12, 12)
    slice_values = 12 * 12 * 9
    cut_off = (72 - 64) * 72 * 9  # the values of whole filters at the end
    assert Tiling(shape, slice_, "view").dead().sum() == cut_off // slice_values == 4
    assert Tiling(shape, slice_, "block").dead().sum() == 0


@pytest.mark.parametrize("channels_last", [True, False])
def test_memory_formats(channels_last: bool) -> None:
    tiling = Tiling((4, 6, 3, 3), (3, 2))
    weight = assemble(tiling, numbered(tiling), channels_last)
    assert is_channels_last(weight) == channels_last
    assert weight.is_contiguous() != channels_last


def test_the_format_of_pointwise_kernels_shows_in_their_strides() -> None:
    weight = torch.zeros(4, 6, 1, 1)
    assert not is_channels_last(weight)
    assert is_channels_last(weight.to(memory_format=torch.channels_last))
    assert is_channels_last(assemble(Tiling((4, 6, 1, 1), (2, 2)), torch.zeros(24)))


def test_a_linear_layer_is_a_kernel_of_one_tap() -> None:
    linear, pointwise = Tiling((10, 7), (4, 4)), Tiling((10, 7, 1, 1), (4, 4))
    assert torch.equal(assemble(linear, numbered(linear)), assemble(pointwise, numbered(pointwise))[:, :, 0, 0])
