"""Which of several learning rates counts: cases worked out by hand."""

import pytest
from records import record

from bench.store.clean import with_weights
from bench.store.rates import choose


def test_the_best_mean_over_seeds_counts_though_seeds_alone_say_otherwise() -> None:
    # Means: 82, 84, 83. Seed 0 alone would take 1x, seed 2 alone 0.5x.
    scores = {0.5: {0: 70.0, 1: 80.0, 2: 96.0}, 1.0: {0: 90.0, 1: 80.0, 2: 82.0}, 2.0: {0: 80.0, 1: 85.0, 2: 84.0}}
    found = choose(scores, higher=True)
    assert (found.factor, found.tied, found.lacking) == (1.0, [], {})
    assert found.means == {0.5: 82.0, 1.0: 84.0, 2.0: 83.0}
    assert found.seeds == [0, 1, 2]
    assert choose(scores, higher=False).factor == 0.5


def test_a_rate_that_lacks_a_seed_is_out_however_good_it_is() -> None:
    found = choose({1.0: {0: 70.0, 1: 72.0}, 2.0: {0: 75.0, 1: 71.0}, 4.0: {0: 99.0}, 8.0: {}}, higher=True)
    assert (found.factor, found.means) == (2.0, {1.0: 71.0, 2.0: 73.0})
    assert found.lacking == {4.0: [1], 8.0: [0, 1]}


def test_seeds_that_no_rate_has_say_nothing() -> None:
    """Seed 2 failed or missed its budget everywhere, so it is in no scores."""
    assert choose({1.0: {0: 70.0, 1: 72.0}, 2.0: {0: 75.0, 1: 71.0}}, higher=True).lacking == {}


def test_where_no_rate_has_all_seeds_those_with_the_most_are_compared_over_the_seeds_that_they_share() -> None:
    # 1x and 2x have two seeds each and share seed 1; 4x has one seed.
    found = choose({1.0: {0: 90.0, 1: 80.0}, 2.0: {1: 81.0, 2: 70.0}, 4.0: {1: 99.0}}, higher=True)
    assert (found.factor, found.seeds, found.means) == (2.0, [1], {1.0: 80.0, 2.0: 81.0})
    assert found.lacking == {1.0: [2], 2.0: [0], 4.0: [0, 2]}
    apart = choose({0.5: {0: 90.0}, 1.0: {1: 80.0}}, higher=True)  # no seed in common: no comparison
    assert (apart.factor, apart.means) == (1.0, {1.0: 80.0})


@pytest.mark.parametrize(
    ("tied", "factor"), [([0.5, 1, 2], 1), ([0.5, 2], 0.5), ([4, 0.5], 0.5), ([0.25, 2], 2), ([3], 3)]
)
def test_of_equal_means_the_one_nearest_to_the_schedules_counts(tied: list[float], factor: float) -> None:
    others = {8.0: {0: 10.0, 1: 10.0}}
    found = choose({**{own: {0: 80.0 + own, 1: 82.0 - own} for own in tied}, **others}, higher=True)
    assert found.factor == factor
    assert sorted([*found.tied, factor]) == sorted(tied)


def test_nothing_to_choose_by() -> None:
    found = choose({0.5: {}, 2.0: {}, 0.1: {}}, higher=True)
    assert (found.factor, found.means) == (0.5, {})


def test_the_best_network_that_is_kept_is_of_the_rate_that_counts() -> None:
    """Means: 80 at 1x, 81 at 2x, though 1x has the best single seed; test scores say otherwise and don't matter."""
    validation = {1.0: (90.0, 70.0), 2.0: (80.0, 82.0)}
    records = [
        record(
            "csg", seed, 99.0 - score, "4x", validation_top1=score, learning_rate_factor=factor, id=f"{factor}-{seed}"
        )
        for factor, scores in validation.items()
        for seed, score in enumerate(scores)
    ]
    assert with_weights(records, "best") == {"2.0-1"}
    assert with_weights(records, "all") == {"1.0-0", "1.0-1", "2.0-0", "2.0-1"}
