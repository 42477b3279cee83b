"""The solver: what `refine` adds to it where steps are coarse."""

from itertools import product

import pytest

from bench.allocation import allocate, refine


def cost(numbers: tuple[int, ...]) -> int:
    """Steps of 146, 290 and 578, as fields have in a small network."""
    return 17 + sum(step * number for step, number in zip((146, 290, 578), numbers, strict=True))


@pytest.mark.parametrize("budget", range(3000, 6000, 217))
def test_it_finds_the_nearest_that_three_steps_reach(budget: int) -> None:
    start = allocate((4, 8, 16), cost, budget)
    assert start is not None
    reached = [
        tuple(number + by for number, by in zip(start, steps, strict=True))
        for steps in product((-1, 0, 1), repeat=3)
        if all(number + by >= 1 for number, by in zip(start, steps, strict=True))
    ]
    nearest = min(abs(cost(numbers) - budget) for numbers in reached)
    refined = refine(start, cost, budget, enough=0.0)
    assert abs(cost(refined) - budget) == nearest


def test_it_may_go_above_the_budget() -> None:
    assert refine((1, 1), lambda numbers: 100 * sum(numbers), 290, enough=0.01) in {(2, 1), (1, 2)}


def test_it_stays_where_nothing_is_nearer() -> None:
    assert refine((2, 1), lambda numbers: 100 * sum(numbers), 300, enough=0.0) == (2, 1)
    assert refine((1, 1), lambda numbers: 100 * sum(numbers), 50, enough=0.0) == (1, 1)


def test_numbers_that_multiply_each_other_are_priced_before_they_are_taken() -> None:
    def area(numbers: tuple[int, ...]) -> int:
        return numbers[0] * numbers[1]

    # By single steps, one higher and one lower seems to change nothing from 6 x 6; it costs 35.
    assert area(refine((6, 6), area, 35, enough=0.0)) == 35
