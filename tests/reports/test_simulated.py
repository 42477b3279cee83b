"""What the statistics promise, by simulation: fewer draws of what benchmarks/report_statistics.py draws."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "report_statistics.py"


@pytest.fixture(scope="module")
def drawn() -> ModuleType:
    spec = importlib.util.spec_from_file_location("report_statistics", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def by_chance(rate: float, number: int) -> float:
    """What a rate may be off in so many draws: three standard errors."""
    return 3 * float(np.sqrt(rate * (1 - rate) / number))


@pytest.mark.parametrize("wide", [None, 0, 1])
def test_bold_is_monotone(drawn: ModuleType, wide: int | None) -> None:
    assert drawn.is_monotone(drawn.World(6, 4, 3, wide=wide), 30)
    assert drawn.is_monotone(drawn.World(6, 4, 3, wide=wide, lost=True), 30)


def test_the_best_with_a_lost_seed_is_bold(drawn: ModuleType) -> None:
    assert drawn.best_is_bold(drawn.World(6, 4, 3, ahead=1.0, lost=True), 50) >= 0.94


@pytest.mark.parametrize("budgets", [1, 4])
def test_an_identical_pair_leaves_the_others_their_power(drawn: ModuleType, budgets: int) -> None:
    assert drawn.power(drawn.World(6, budgets, 3, ahead=1.0, same=(1, 2)), 100 // budgets) >= 0.4


@pytest.mark.parametrize(("methods", "budgets"), [(2, 3), (6, 4)])
@pytest.mark.parametrize("seeds", [2, 3])
@pytest.mark.parametrize("growth", [1.0, 5.0])
@pytest.mark.slow
def test_intervals_of_the_change_hold_the_truth(
    drawn: ModuleType, methods: int, budgets: int, seeds: int, growth: float
) -> None:
    average, _, _ = drawn.coverage(drawn.World(methods, budgets, seeds, growth=growth), 300)
    # Cells of a draw share the dense run, so that a draw counts once.
    assert 0.92 - by_chance(0.92, 300) <= average <= 0.97 + by_chance(0.97, 300)


@pytest.mark.parametrize(("methods", "budgets"), [(2, 3), (6, 4)])
@pytest.mark.parametrize("seeds", [2, 3])
@pytest.mark.slow
def test_the_true_best_is_bold(drawn: ModuleType, methods: int, budgets: int, seeds: int) -> None:
    world = drawn.World(methods, budgets, seeds)
    number = 150 * budgets
    assert drawn.best_is_bold(world, 150) >= 0.94 - by_chance(0.94, number)
    for wide in (0, 1):
        assert drawn.best_is_bold(replace(world, wide=wide), 150) >= 0.88 - by_chance(0.88, number)


@pytest.mark.parametrize("images", [200, 10_000])
@pytest.mark.parametrize(("methods", "budgets"), [(2, 3), (6, 4)])
def test_ties_are_called_different_at_the_promised_rate(
    drawn: ModuleType, images: int, methods: int, budgets: int
) -> None:
    found = drawn.false_differences(drawn.World(methods, budgets, 2, images=images), 60)
    assert found <= 0.07 + by_chance(0.07, 60 * budgets)


@pytest.mark.slow
def test_the_least_difference_is_mostly_found(drawn: ModuleType) -> None:
    for seeds in (2, 3, 5):
        assert 0.6 < drawn.least_is_found(drawn.World(6, 4, seeds), 100) < 0.85
