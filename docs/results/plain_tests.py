"""Plain paired t-tests over seeds, for the pages of results: they use the seeds of one pair alone. Reports don't, since
few seeds say little of chance. Beside the report's tests they show how much hinges on what its methods share."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd
from scipy import stats

from bench.plan.method_choice import REFERENCE
from bench.reports.frame import metric_of
from bench.reports.statistics.noise import LEVEL
from bench.store.record import FINISHED


@dataclass(frozen=True)
class PlainTests:
    """Tests of a table's runs. Differences are in the metric's unit, by seed."""

    runs: pd.DataFrame

    def lead(self, method: str, other: str, budget: str | None = None) -> str:
        """Of a method over another at a budget (None: both have a fixed size), with its 95 % interval."""
        return _with_interval(self._differences(method, other, budget))

    def lead_on_average(self, method: str, other: str, budgets: Sequence[str]) -> str:
        """The same, of the mean over budgets, where each counts alike."""
        return _with_interval(self._on_average(method, other, budgets))

    def leads_on_average(self, method: str, other: str, budgets: Sequence[str]) -> bool:
        """Whether that interval has nothing but leads of the method."""
        differences = self._on_average(method, other, budgets)
        return bool(differences.mean() > _half(differences))

    def number_of_best(self, budget: str) -> int:
        """How many methods may be the best of a budget: no other one surely beats them."""
        methods = self.scores[budget].columns
        return sum(not any(self.beats(other, method, budget) for other in methods) for method in methods)

    def beats(self, method: str, other: str, budget: str) -> bool:
        """Whether it has a one-sided p-value below 5 % over the number of other methods."""
        scores = self.scores[budget]
        return self._p_value(scores[method] - scores[other]) < (1 - LEVEL) / max(1, scores.shape[1] - 1)

    def loses_more(self, points: float, method: str, budget: str) -> float:
        """The one-sided p-value that a method loses more than so many points against dense."""
        dense = self.runs[self.runs["method"] == REFERENCE].set_index("seed")[metric_of(self.runs).test]
        return self._p_value(dense - self.scores[budget][method] - points)

    def _on_average(self, method: str, other: str, budgets: Sequence[str]) -> "pd.Series[float]":
        return sum(self._differences(method, other, budget) for budget in budgets) / len(budgets)

    def _differences(self, method: str, other: str, budget: str | None) -> "pd.Series[float]":
        scores = self.scores[budget]
        return (scores[method] - scores[other]).dropna()

    @cached_property
    def scores(self) -> dict[str | None, pd.DataFrame]:
        """By seed and method, for each budget; None is a fixed size."""
        finished = self.runs[self.runs["status"] == FINISHED]
        return {
            None if pd.isna(budget) else str(budget): own.pivot(
                index="seed", columns="method", values=metric_of(self.runs).test
            ).astype(float)
            for budget, own in finished.groupby("budget", dropna=False)
        }

    @staticmethod
    def _p_value(differences: "pd.Series[float]") -> float:
        return float(stats.ttest_1samp(differences.dropna(), 0, alternative="greater").pvalue)


def together(*p_values: float) -> float:
    """The p-value of independent tests together (Stouffer)."""
    return float(stats.combine_pvalues(p_values, method="stouffer").pvalue)


def _half(differences: "pd.Series[float]") -> float:
    return float(stats.t.ppf((1 + LEVEL) / 2, len(differences) - 1) * stats.sem(differences))


def _with_interval(differences: "pd.Series[float]") -> str:
    return points(differences.mean(), _half(differences))


def points(mean: float, half: float) -> str:
    """A mean difference in points, and half of its 95 % interval."""
    return f"{mean:+.1f} ± {half:.1f}"
