"""Methods compared over several settings by their ranks, since scores on different data have no common mean.

Demsar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7 (2006): Friedman's test in the form of
Iman and Davenport, and Nemenyi's critical difference.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special

from bench.reports.statistics.noise import LEVEL, Array
from bench.reports.statistics.overall import fullest

# With fewer settings, the test could detect hardly any difference.
FEWEST = 5


@dataclass(frozen=True)
class OverSettings:
    """Methods, the lowest mean rank first, over the settings in which all of them were compared.

    `ranks` is `(settings, methods)`, 1 for the best. `p_value` tests whether all methods are the same. Two methods
    differ if their mean ranks are at least `critical_difference` apart. Both numbers are nan below FEWEST settings.
    """

    methods: Sequence[Hashable]
    settings: Sequence[str]
    ranks: Array
    p_value: float
    critical_difference: float

    @property
    def mean_ranks(self) -> Array:
        return np.asarray(self.ranks.mean(axis=0))

    def alike(self) -> list[tuple[int, int]]:
        """Groups of methods that can't be told apart, as (first, last). No group lies within another."""
        means = self.mean_ranks
        ends = [int(np.flatnonzero(means - mean < self.critical_difference)[-1]) for mean in means]
        return [(start, end) for start, end in enumerate(ends) if end > start and (start == 0 or ends[start - 1] < end)]


def over_settings(scores: Mapping[str, Mapping[Hashable, float]]) -> OverSettings | None:
    """Compare methods over settings. `scores` has a score of each method for each setting; more is better. None if no
    two methods have two settings in common."""
    numbers = {setting: number for number, setting in enumerate(scores)}
    methods, chosen = fullest({numbers[setting]: list(own) for setting, own in scores.items()})
    if len(chosen) < 2:
        return None
    settings = [setting for setting in scores if numbers[setting] in chosen]
    table = pd.DataFrame([[scores[setting][method] for method in methods] for setting in settings])
    ranks = table.rank(axis=1, ascending=False).to_numpy()
    order = np.argsort(ranks.mean(axis=0), kind="stable")
    enough = len(settings) >= FEWEST
    return OverSettings(
        [methods[index] for index in order],
        settings,
        ranks[:, order],
        _all_the_same(ranks) if enough else np.nan,
        _critical_difference(*ranks.shape) if enough else np.nan,
    )


def _all_the_same(ranks: Array) -> float:
    """The p-value of Friedman's test."""
    settings, methods = ranks.shape
    spread = float(((ranks.mean(axis=0) - (methods + 1) / 2) ** 2).sum())
    chi_squared = 12 * settings / (methods * (methods + 1)) * spread
    rest = settings * (methods - 1) - chi_squared
    if rest <= 0:  # the same order in every setting
        return 0.0
    return float(special.fdtrc(methods - 1, (methods - 1) * (settings - 1), (settings - 1) * chi_squared / rest))


def _critical_difference(settings: int, methods: int) -> float:
    from scipy.stats import studentized_range  # slow to import, and seldom needed

    quantile = studentized_range.ppf(LEVEL, methods, np.inf) / np.sqrt(2)
    return float(quantile * np.sqrt(methods * (methods + 1) / (6 * settings)))
