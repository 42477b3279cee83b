"""The Pareto front, against a comparison of every pair, and how sure it is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.reports.statistics.front import is_on_front, probabilities

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


def scores_of(means: list[float], noise: float, seeds: int, seed: int = 0) -> "np.ndarray":  # type: ignore[type-arg]
    random = np.random.default_rng(seed)
    return random.normal(0, 1, (seeds, 1)) + np.array(means) + random.normal(0, noise, (seeds, len(means)))


def test_what_is_surely_on_it_and_what_is_surely_not() -> None:
    sizes = np.tile([10.0, 20.0, 30.0], (3, 1))
    found = probabilities(sizes, scores_of([80, 70, 90], 0.1, 3))
    assert found.tolist() == [1, 0, 1]


def test_of_two_that_are_tied_each_is_there_about_half_of_the_time() -> None:
    """Not 100 % for the one that happened to be ahead in all seeds."""
    sizes = np.full((3, 2), 10.0)
    found = [probabilities(sizes, scores_of([80, 80], 0.3, 3, seed)) for seed in range(200)]
    assert np.mean(found) == pytest.approx(0.5, abs=0.02)
    assert all(own.sum() == pytest.approx(1) for own in found)
    assert np.mean([own.max() > 0.99 for own in found]) < 0.05


def test_what_seeds_do_to_all_alike_moves_none_past_another() -> None:
    sizes = np.tile([10.0, 10.0], (3, 1))
    calm = probabilities(sizes, np.array([[80.0, 79.5], [80.1, 79.5], [80.0, 79.6]]))
    stormy = probabilities(sizes, np.array([[80.0, 79.5], [70.1, 69.5], [95.0, 94.6]]))
    assert calm == pytest.approx(stormy, abs=0.05)


def test_sizes_that_differ_between_seeds_are_drawn_too() -> None:
    """Latencies that overlap, of networks that are equally good."""
    random = np.random.default_rng(0)
    scores = scores_of([80, 70], 0.1, 5)
    sizes = np.exp(random.normal(0, 0.3, (5, 2)))
    found = probabilities(sizes, scores)
    assert found[0] == 1
    assert 0.1 < found[1] < 0.9
    assert probabilities(sizes, scores).tolist() == found.tolist()


def test_one_seed_says_nothing_and_a_missing_one_is_left_out() -> None:
    assert np.isnan(probabilities(np.array([[1.0, 2.0]]), np.array([[1.0, 2.0]]))).all()
    nan = float("nan")
    found = probabilities(np.array([[1.0, 2.0], [1.0, nan]]), np.array([[1.0, 5.0], [1.1, nan]]))
    assert found[0] == 1
    assert np.isnan(found[1])
    unmeasured = probabilities(np.array([[1.0, nan], [1.0, nan]]), np.array([[1.0, 5.0], [1.1, 5.0]]))
    assert np.isnan(unmeasured[1])
