"""Checks the promises of the reports' statistics by simulation: how often they call ties different, find differences,
mark the best method, and give intervals with the true value.

python benchmarks/report_statistics.py [--draws 4000] [--only TEXT]

A draw is a store of made-up scores in percent. Seeds move all methods together by 1 point, each run has its own noise
(0.35 points), and scores are whole numbers of test images. tests/reports/test_simulated.py checks the same with fewer
draws.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from bench.reports.statistics.change import changes
from bench.reports.statistics.noise import smallest_variance
from bench.reports.statistics.pairs import Pairs, Standing, compare

Array = NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """The parameters of a draw. The first method is `ahead` points better than the others, which are equal. The noise
    grows from the largest budget to the smallest by the factor `growth`, and the noise of the method `wide` is ten
    times as large. The methods `same` have the same scores. `lost` leaves out one seed of the first method."""

    methods: int
    budgets: int
    seeds: int
    ahead: float = 0.0
    growth: float = 1.0
    wide: int | None = None
    same: tuple[int, ...] = ()
    lost: bool = False
    images: int = 10_000
    noise: float = 0.35

    @property
    def sizes(self) -> list[float]:
        return [100_000 / 2**number for number in range(self.budgets)]

    def draw(self, random: np.random.Generator) -> tuple[Array, Array]:
        """Scores `(budgets, seeds, methods)`, and scores of the dense network `(seeds,)`, which are 5 points higher."""
        shared = random.normal(0, 1, self.seeds)
        spread = np.full((self.budgets, 1, self.methods), self.noise)
        spread *= np.linspace(1, self.growth, self.budgets)[:, None, None]
        if self.wide is not None:
            spread[:, :, self.wide] *= 10
        scores = 80 + shared[:, None] + spread * random.normal(size=(self.budgets, self.seeds, self.methods))
        scores[:, :, 0] += self.ahead
        dense = 85 + shared + random.normal(0, self.noise, self.seeds)
        for other in self.same[1:]:
            scores[:, :, other] = scores[:, :, self.same[0]]
        scores, dense = (np.round(values * self.images / 100) * 100 / self.images for values in (scores, dense))
        if self.lost:
            scores[:, random.integers(self.seeds), 0] = np.nan
        return scores, dense

    def pairs(self, draws: int, seed: int = 0) -> Iterator[Pairs]:
        """The comparisons of each budget of each draw."""
        random = np.random.default_rng(seed)
        for _ in range(draws):
            scores, _ = self.draw(random)
            yield from compare(list(scores), self.sizes, smallest_variance(self.images))


def mean(values: Iterator[float] | Sequence[float]) -> float:
    return float(np.mean([*values]))


def false_differences(world: World, draws: int) -> float:
    """How often any pair of tied methods of a budget is called different, corrected for all pairs of the budget."""
    return mean(bool((pairs.corrected < 0.05).any()) for pairs in world.pairs(draws))


def power(world: World, draws: int) -> float:
    """The fraction of methods worse than the first that are not bold."""
    return mean(
        mean([standing is Standing.WORSE for standing in pairs.standings()[1:]]) for pairs in world.pairs(draws)
    )


def best_is_bold(world: World, draws: int, best: int = 0) -> float:
    return mean(pairs.standings()[best] is Standing.BEST for pairs in world.pairs(draws))


def is_monotone(world: World, draws: int) -> float:
    """1 if no table has a bold method with a lower mean than a method that is not bold."""
    for pairs in world.pairs(draws):
        bold = np.array([standing is Standing.BEST for standing in pairs.standings()])
        if bold.any() and (~bold).any() and pairs.means[bold].min() < pairs.means[~bold].max():
            return 0.0
    return 1.0


def least_is_found(world: World, draws: int) -> float:
    """How often the smallest difference that the report claims to detect is found."""
    told = np.mean([pairs.least[0] for pairs in world.pairs(draws // 4)])
    return power(replace(world, ahead=float(told)), draws)


def coverage(world: World, draws: int) -> tuple[float, float, float]:
    """How often the interval of the change against dense contains the true value: the mean over cells, and the worst
    cell. Also the median of its half width, in points."""
    random = np.random.default_rng(0)
    truth = -5 + np.r_[world.ahead, np.zeros(world.methods - 1)]
    held = np.zeros((world.budgets, world.methods))
    widths = []
    for _ in range(draws):
        scores, dense = world.draw(random)
        rows = [scores[budget, :, method] - dense for budget in range(world.budgets) for method in range(world.methods)]
        sizes = np.repeat(world.sizes, world.methods)
        found = changes(rows, sizes.tolist(), smallest_variance(world.images))
        half = found.half_widths().reshape(held.shape)
        held += np.abs(found.means.reshape(held.shape) - truth) <= half
        widths.append(half)
    return float(held.mean() / draws), float(held.min() / draws), float(np.median(widths))


SMALL, LARGE = (2, 3), (6, 4)


def claims(draws: int) -> Iterator[tuple[str, Callable[[], str]]]:
    """Each claim, with the function that checks it."""

    def of(function: Callable[..., float], world: World, **more: int) -> Callable[[], str]:
        return lambda: f"{function(world, draws, **more):.3f}"

    for methods, budgets in (SMALL, (3, 3), LARGE, (15, 4)):
        for seeds in (2, 3, 5):
            world, at = World(methods, budgets, seeds), f"{methods} methods x {budgets} budgets, {seeds} seeds"
            unsteady = [replace(world, wide=wide) for wide in (0, 1)]
            yield f"ties called different, {at}", of(false_differences, world)
            yield f"ties called different, one spreads ten times as much, {at}", of(false_differences, unsteady[0])
            yield f"1 point found, {at}", of(power, replace(world, ahead=1.0))
            yield f"the best is bold, all alike, {at}", of(best_is_bold, world)
            yield f"the best is bold, another spreads ten times as much, {at}", of(best_is_bold, unsteady[1])
            yield f"the best is bold, itself spreads ten times as much, {at}", of(best_is_bold, unsteady[0])
    for images in (100, 200, 1000, 4000):
        for methods, budgets in (SMALL, LARGE):
            at = f"{images} test images, {methods} x {budgets}, 2 seeds"
            yield f"ties called different, {at}", of(false_differences, World(methods, budgets, 2, images=images))
    for budgets in (1, 4):
        identical = World(6, budgets, 3, ahead=1.0, same=(1, 2))
        yield f"1 point found beside an identical pair, 6 x {budgets}, 3 seeds", of(power, identical)
        lost = World(6, budgets, 3, ahead=1.0, lost=True)
        yield f"the best is bold with a lost seed, 6 x {budgets}, 3 seeds", of(best_is_bold, lost)
    for wide in (None, 0, 1):
        yield f"bold is monotone, 6 x 4, 3 seeds, wide: {wide}", of(is_monotone, World(6, 4, 3, wide=wide, lost=True))
    for seeds in (2, 3, 5):
        yield f"the least detectable difference found, 6 x 4, {seeds} seeds", of(least_is_found, World(6, 4, seeds))
    for methods, budgets in (SMALL, LARGE):
        for seeds in (2, 3):
            for name, world in (
                ("equal spreads", World(methods, budgets, seeds)),
                ("spreads growing fivefold", World(methods, budgets, seeds, growth=5)),
                ("one ten times as wide", World(methods, budgets, seeds, wide=0)),
            ):
                at = f"{name}, {methods} x {budgets}, {seeds} seeds"
                yield f"interval of the change holds the truth, {at}", partial(_covered, world, draws)


def _covered(world: World, draws: int) -> str:
    average, worst, half = coverage(world, draws)
    return f"{average:.3f} (worst cell {worst:.3f}), half width {half:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=4000)
    parser.add_argument("--only", default="", help="only claims that contain this text")
    given = parser.parse_args()
    print(f"| {given.draws} draws | |\n| --- | --- |")
    for claim, draw in claims(given.draws):
        if given.only in claim:
            print(f"| {claim} | {draw()} |", flush=True)


if __name__ == "__main__":
    main()
