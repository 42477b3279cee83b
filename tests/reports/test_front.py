"""The Pareto front, against a comparison of every pair, and its frequencies, against counting by hand."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.reports.front import frequencies, is_on_front

points = st.lists(st.tuples(st.integers(1, 12), st.integers(0, 12)), min_size=1, max_size=20)


@given(points)
def test_a_point_is_on_the_front_if_none_beats_it(pairs: list[tuple[int, int]]) -> None:
    sizes, scores = (np.array(values, dtype=float) for values in zip(*pairs, strict=True))
    sizes = 1.5**sizes  # further apart than what counts as equal
    expected = [
        not any(
            (other_size <= size and other > score) or (other_size < size and other >= score)
            for other_size, other in zip(sizes, scores, strict=True)
        )
        for size, score in zip(sizes, scores, strict=True)
    ]
    assert is_on_front(sizes, scores).tolist() == expected


def test_a_few_values_less_win_nothing() -> None:
    assert is_on_front(np.array([18_911.0, 19_082.0]), np.array([60.0, 84.0])).tolist() == [False, True]
    assert is_on_front(np.array([18_000.0, 19_082.0]), np.array([60.0, 84.0])).tolist() == [True, True]


def test_what_is_unknown_is_not_on_it_and_keeps_nothing_off() -> None:
    nan = float("nan")
    found = is_on_front(np.array([1.0, nan, 2.0, 3.0]), np.array([1.0, 9.0, nan, 2.0]))
    assert found.tolist() == [True, False, False, True]


def test_frequencies_are_those_of_all_draws() -> None:
    sizes = np.array([10.0, 20.0, 30.0])
    scores = np.array([[1.0, 2.0, 0.0], [1.0, 0.0, 3.0], [1.0, 1.0, 1.5]])
    counted = np.zeros(3)
    for draw in itertools.product(range(3), repeat=3):
        counted += is_on_front(sizes, scores[list(draw)].mean(axis=0))
    assert frequencies(np.tile(sizes, (3, 1)), scores) == pytest.approx(counted / 27)


def test_sizes_are_drawn_with_the_scores() -> None:
    sizes = np.array([[10.0, 9.0], [10.0, 12.0], [10.0, 12.0]])
    scores = np.array([[1.0, 2.0], [3.0, 2.0], [1.0, 2.0]])
    counted = np.zeros(2)
    for draw in itertools.product(range(3), repeat=3):
        counted += is_on_front(sizes[list(draw)].mean(axis=0), scores[list(draw)].mean(axis=0))
    assert frequencies(sizes, scores) == pytest.approx(counted / 27)


def test_many_seeds_are_drawn_at_random_and_the_same_each_time() -> None:
    random = np.random.default_rng(0)
    scores = random.normal(size=(10, 6))
    sizes = np.arange(1.0, 7.0)
    counted = np.zeros(6)
    for _ in range(4000):
        counted += is_on_front(sizes, scores[random.integers(0, 10, size=10)].mean(axis=0))
    all_sizes = np.tile(sizes, (10, 1))
    assert frequencies(all_sizes, scores) == pytest.approx(counted / 4000, abs=0.05)
    assert frequencies(all_sizes, scores).tolist() == frequencies(all_sizes, scores).tolist()


def test_one_seed_says_nothing_and_a_missing_one_is_left_out() -> None:
    assert np.isnan(frequencies(np.array([[1.0, 2.0]]), np.array([[1.0, 2.0]]))).all()
    nan = float("nan")
    # The second point has the first seed alone. Where that is not drawn it is nowhere, and the first is on the front.
    found = frequencies(np.array([[1.0, 2.0], [1.0, nan]]), np.array([[1.0, 5.0], [1.0, nan]]))
    assert found.tolist() == [1, 1]
