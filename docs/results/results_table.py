"""What the runs of a spec say, for the pages of results."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import pandas as pd
from layers import Layers
from plain_tests import PlainTests, points

from bench.budget import parse
from bench.kernels.by_size import size_text
from bench.methods.csg.csg import SLICE
from bench.plan.method_choice import REFERENCE, MethodChoice, budgets_of, find_methods
from bench.plan.spec import Spec
from bench.reports.audit import audits
from bench.reports.figures import figure, style
from bench.reports.frame import BYTES, VALUES, metric_of
from bench.reports.load import Loaded
from bench.reports.statistics.noise import LEVEL
from bench.reports.statistics.pairs import Standing
from bench.reports.summary import Analysis
from bench.reports.tables.table import by_budget, markdown
from bench.reports.verdict import left_out_of_the_verdict, verdict
from bench.store.record import FINISHED


@dataclass(frozen=True)
class Table:
    """What the runs of a spec say, for expressions on the page: those with budgets of `unit`. Scores are of the test
    split, in the metric's unit. Methods are named as the spec names them."""

    name: str
    spec: Spec
    loaded: Loaded
    analysis: Analysis
    figures: dict[str, bytes] = field(repr=False)
    unit: str = VALUES

    @cached_property
    def in_bytes(self) -> "Table":
        return replace(self, unit=BYTES)

    @cached_property
    def runs(self) -> pd.DataFrame:
        """Raises ValueError where there is none, or they are of several settings."""
        found = self._found[self._found["unit"] == self.unit]
        if found["setting"].nunique() != 1:
            raise ValueError(f"{self.name}: its runs are of {found['setting'].nunique()} settings")
        return found.assign(method=found["method"].map(self._labels))

    @property
    def is_made(self) -> bool:
        return len(self._found) > 0

    @cached_property
    def _found(self) -> pd.DataFrame:
        """Its runs, with budgets of any unit."""
        every, spec = self.loaded.runs, self.spec
        found = every[(every["model"] == spec.model) & (every["dataset"] == spec.dataset)]
        return found[found["schedule"] == spec.schedule]

    @cached_property
    def _labels(self) -> dict[str, str]:
        """What the spec calls a method, by the report's name. The report adds options where another table calls another
        method so."""
        names = self._found[["method", "method_text"]].drop_duplicates().itertuples(index=False)
        return {str(name): str(name).removesuffix(f" ({text})") for name, text in names}

    @cached_property
    def layers(self) -> Layers:
        return Layers(self.loaded, self.runs)

    @cached_property
    def plain(self) -> PlainTests:
        return PlainTests(self.runs)

    @property
    def choices(self) -> list[MethodChoice]:
        return find_methods(self.spec.methods)

    @property
    def setting(self) -> str:
        return str(self.runs["setting"].iloc[0])

    @property
    def settings(self) -> list[str]:
        """Those of budgets of both units."""
        return [str(name) for name in self._found["setting"].unique()]

    @cached_property
    def summary(self) -> pd.DataFrame:
        own = self.analysis.summary[self.analysis.summary["setting"] == self.setting]
        return own.assign(method=own["method"].map(self._labels))

    @property
    def seeds(self) -> int:
        return int(self.runs["seed"].nunique())

    @property
    def planned(self) -> int:
        """How many runs the spec asks for."""
        choices = self.choices
        budgets = [parse(text) for text in self.spec.budgets]
        cells = sum(max(1, len(budgets_of(choice.method, budgets))) for choice in choices)
        has_dense = any(choice.text == REFERENCE for choice in choices)
        return (cells + (not has_dense)) * len(self.spec.seed_list) * self.spec.rates_each

    @property
    def made(self) -> int:
        """How many of them are there, whatever became of them."""
        return self._tried["id"].nunique()

    @property
    def finished(self) -> int:
        """How many of them finished and met their budget."""
        return self._tried.loc[self._tried["status"] == FINISHED, "id"].nunique()

    @cached_property
    def _tried(self) -> pd.DataFrame:
        """Runs with budgets of both units."""
        return self.loaded.tried[self.loaded.tried["setting"].isin(self.settings)]

    def row(self, method: str, budget: str | None = None) -> "pd.Series[Any]":
        """Of the summary. Raises KeyError."""
        own = self.summary[self.summary["method"] == method]
        own = own[own["budget"].isna() if budget is None else own["budget"] == budget]
        if len(own) != 1:
            raise KeyError(f"{self.name}: {len(own)} rows of {method} at {budget}")
        return own.iloc[0]

    def score(self, method: str, budget: str | None = None, digits: int = 1) -> str:
        return f"{self.row(method, budget)['score_mean']:.{digits}f}"

    def mean(self, method: str, budget: str | None = None) -> float:
        """The score, for conditions."""
        return float(self.row(method, budget)["score_mean"])

    def spread(self, method: str, budget: str | None = None, digits: int = 1) -> str:
        """The standard deviation of the score over seeds."""
        return f"{self.row(method, budget)['score_std']:.{digits}f}"

    def extremes(self, method: str, budget: str | None = None, digits: int = 1) -> str:
        """The lowest and the highest score of its seeds."""
        scores = self._scores(method, budget)
        return f"{scores.min():.{digits}f} and {scores.max():.{digits}f}"

    def _scores(self, method: str, budget: str | None) -> "pd.Series[float]":
        """Of its seeds, at a budget or of a fixed size. Raises KeyError."""
        return self.plain.scores[budget][method].dropna()

    def stored(self, method: str, budget: str | None = None) -> str:
        """How many values it stores on average over seeds."""
        return f"{self.row(method, budget)['stored_values']:,.0f}"

    def macs(self, method: str, budget: str | None = None) -> str:
        """Multiply-accumulates of the deployed network for one image."""
        return f"{self.row(method, budget)['macs'] / 1e6:.2f} M"

    def file_bytes(self, method: str, budget: str) -> str:
        """The mean size of the saved file over seeds."""
        return f"{self.row(method, budget)['stored_bytes']:,.0f}"

    def cell(self, method: str, budget: str) -> str:
        """The score, or nothing if no run of the method finished at the budget."""
        own = self.summary[(self.summary["method"] == method) & (self.summary["budget"] == budget)]
        return self.score(method, budget) if len(own) else ""

    def change(self, method: str, budget: str | None = None) -> str:
        """Against dense, by seed, with its 95 % interval. Raises ValueError with one seed, which has none."""
        row = self.row(method, budget)
        if pd.isna(row["difference_interval"]):
            raise ValueError(f"{self.name}: the change of {method} at {budget} has no interval")
        return points(row["difference"], row["difference_interval"])

    @property
    def epochs(self) -> int:
        (count,) = self.runs["schedule.epochs"].dropna().unique()
        return int(count)

    @property
    def has_rates(self) -> bool:
        """Whether each method and budget has a learning rate that was chosen."""
        return isinstance(self.spec.learning_rates, str)

    @property
    def as_good_as_dense(self) -> bool:
        """Whether any method surely loses at most half a point."""
        return bool(self.summary["as_good_as_dense"].fillna(False).any())

    def images(self, split: str) -> str:
        """How many images the train, validation or test split has."""
        (count,) = self.runs[f"{split}_images"].dropna().unique()
        return f"{int(count):,}"

    def lead(self, method: str, other: str, budget: str) -> str:
        """Of a method over another, by seed, with its 95 % interval. Raises KeyError."""
        found = self._pair(method, other, budget)
        return points(found["difference"], found["difference_interval"])

    def p_value(self, method: str, other: str, budget: str) -> float:
        """That the other method is behind this one by chance alone, corrected for the number of others: by the test
        that says which methods may be the best."""
        return float(self._pair(other, method, budget)["worse_p_value"])

    def beats(self, method: str, other: str, budget: str) -> bool:
        """Whether this test is sure of it."""
        return self.p_value(method, other, budget) < 1 - LEVEL

    def holds_but_not_on_average(self, least: float, method: str, budget: str) -> bool:
        """Whether the mean change against dense is below `least`, and its interval is not."""
        row = self.row(method, budget)
        return bool(row["difference"] < least < row["difference"] + row["difference_interval"])

    def rules_out(self, part: float, method: str, budget: str) -> bool:
        """Whether the interval of the change against dense rules out a loss of at most this part of dense's score."""
        row = self.row(method, budget)
        return bool(row["difference"] + row["difference_interval"] < -part * self.row(REFERENCE)["score_mean"])

    def all_above(self, method: str, other: str, budget: str | None = None) -> bool:
        """Whether each seed of a method has a higher score than any of the other, at a budget or of a fixed size."""
        scores = self._scores(method, budget), self._scores(other, budget)
        return bool(scores[0].min() > scores[1].max())

    @property
    def leads_overall(self) -> list[str]:
        """The methods that may be the best over all budgets."""
        own = self.analysis.overall[self.analysis.overall["setting"] == self.setting]
        return [self._labels[name] for name in own.loc[own["standing"].isin([Standing.BEST, Standing.WIDE]), "method"]]

    def is_sure(self, method: str, other: str, budget: str) -> bool:
        """Whether the interval of this pair alone has nothing but leads of the method."""
        pair = self._pair(method, other, budget)
        return bool(pair["difference"] > pair["difference_interval"])

    def beats_all_but(self, method: str, other: str, budget: str) -> bool:
        own = self._by_score(budget)
        names = set(own["method"].astype(str)) - {method, other}
        return all(self.beats(method, name, budget) for name in names)

    def below(self, method: str, other: str, budgets: Sequence[str]) -> bool:
        """Whether its mean is lower at each of the budgets."""
        return all(self._pair(method, other, budget)["difference"] < 0 for budget in budgets)

    @cached_property
    def _pairs(self) -> pd.DataFrame:
        own = self.analysis.pairwise[self.analysis.pairwise["setting"] == self.setting]
        return own.assign(**{name: own[name].map(self._labels) for name in ("method", "other")})

    def _pair(self, method: str, other: str, budget: str) -> "pd.Series[Any]":
        own = self._pairs[(self._pairs["method"] == method) & (self._pairs["other"] == other)]
        own = own[own["budget"] == budget]
        if len(own) != 1:
            raise KeyError(f"{self.name}: {len(own)} pairs of {method} and {other} at {budget}")
        return own.iloc[0]

    def rate(self, method: str, budget: str | None = None) -> str:
        """The factor on the schedule's learning rate."""
        return f"{self.row(method, budget)['learning_rate_factor']:g}x"

    def beside(self, budget: str, *others: str) -> str:
        """The method with the highest mean and its score, with those of others; nothing without the budget."""
        if not len(self._by_score(budget)):
            return ""
        first = self.leader(budget)
        rest = [f"{name} {self.cell(name, budget)}" for name in others if name != first]
        return f"{first} {self.score(first, budget)} ({', '.join(rest)})"

    def slices(self, method: str, budget: str) -> str:
        """The size of csg's slices of kernels larger than one pixel. A record has those that the budget decided."""
        own = self.runs[(self.runs["method"] == method) & (self.runs["budget"] == budget)]
        decided = own["solved.slice.3x3"].fillna(own["solved.slice"]).dropna().unique()
        return str(decided[0]) if len(decided) else size_text(SLICE)

    def best(self, budget: str) -> str:
        """The methods that may be the best, the highest mean first."""
        return ", ".join(self._best(budget)["method"].astype(str))

    def number_of_best(self, budget: str) -> int:
        return len(self._best(budget))

    def leader(self, budget: str) -> str:
        """The method with the highest mean."""
        return str(self._by_score(budget)["method"].iloc[0])

    def second(self, budget: str) -> str:
        """The method with the second highest mean."""
        return str(self._by_score(budget)["method"].iloc[1])

    def lowest_of_best(self, budget: str) -> str:
        """The method with the lowest mean of those that may be the best."""
        return str(self._best(budget)["method"].iloc[-1])

    def where_best(self, method: str) -> str:
        """The budgets at which the method may be the best, each with the number of methods that may be, of all."""
        own = self.summary[self.summary["is_best"].fillna(False) & (self.summary["method"] == method)]
        budgets = own.sort_values("asked", ascending=False)["budget"].astype(str)
        return (
            ", ".join(f"{budget} ({len(self._best(budget))} of {len(self._by_score(budget))})" for budget in budgets)
            or "none"
        )

    def wide(self, budget: str) -> str:
        """The methods whose seeds spread too widely to tell."""
        own = self._by_score(budget)
        return ", ".join(own.loc[own["standing"] == Standing.WIDE, "method"].astype(str))

    def repeated(self, budget: str, other: str) -> str:
        """How many methods have the same scores at a budget of bytes as at one of values, since they store the same,
        of how many that finished at both."""
        scores = [
            table.runs[(table.runs["budget"] == size) & (table.runs["status"] == FINISHED)]
            .set_index(["method", "seed"])[metric_of(table.runs).test]
            .unstack()
            .sort_index(axis=1)
            for table, size in ((self.in_bytes, budget), (self, other))
        ]
        both = scores[0].index.intersection(scores[1].index)
        same = (scores[0].loc[both] == scores[1].loc[both]).all(axis=1)
        return f"{same.sum()} of {len(both)}"

    def closed(self, method: str, budget: str, before: "Table") -> float:
        """Which part of the method's distance to dense, in percent, this table doesn't have any more."""
        distances = [-table.row(method, budget)["difference"] for table in (self, before)]
        return float(100 * (1 - distances[0] / distances[1]))

    def losses(self, budget: str, digits: int = 1) -> str:
        """What the methods that may be the best lose on average against dense: the least and the most."""
        lost = -self._best(budget)["difference"]
        return f"{lost.min():.{digits}f} to {lost.max():.{digits}f}"

    def _best(self, budget: str) -> pd.DataFrame:
        own = self._by_score(budget)
        return own[own["is_best"].fillna(False)]

    def _by_score(self, budget: str) -> pd.DataFrame:
        return self.summary[self.summary["budget"] == budget].sort_values("score_mean", ascending=False)

    def reached(self, method: str, other: str) -> str:
        """The lowest and the highest score that both methods reach on average, of budgets of their table."""
        scores = [self.summary.loc[self.summary["method"] == name, "score_mean"] for name in (method, other)]
        return f"{max(own.min() for own in scores):.1f} to {min(own.max() for own in scores):.1f}"

    @property
    def verdict(self) -> str:
        """The suite's own lines, and what they leave out."""
        lines = verdict(self.loaded.runs, self.analysis, self.setting)
        return "\n".join(f"* {line}" for line in [*lines, *left_out_of_the_verdict(self.analysis, self.setting)])

    @property
    def not_alike(self) -> str:
        """What the audit finds different between runs, and which exceptions methods declare, a line each."""
        audit = audits(self.loaded.tried[self.loaded.tried["setting"] == self.setting])[self.setting]
        lines = [*audit.warnings]
        lines += [f"{own.method}: {own.exceptions}." for own in audit.methods if own.exceptions != "none"]
        return "\n".join(f"* {line}" for line in lines)

    @property
    def rows(self) -> str:
        """A row for each method and budget."""
        metric = metric_of(self.runs)
        return markdown(by_budget(self.summary, metric.higher), metric)

    @property
    def not_finished(self) -> str:
        """What missed its budget or failed, and the first reason that a run gives, a line each."""
        lost = self.runs[self.runs["status"] != FINISHED].drop_duplicates(["method", "budget", "status"])
        lines = [f"* {row['method']} at {row['budget']} {row['status']}: {row['reason']}" for _, row in lost.iterrows()]
        return "\n".join(sorted(lines))

    @property
    def machine(self) -> str:
        """Processors, versions and threads of its runs."""
        parts = [self.runs[name].dropna().unique() for name in ("device_name", "torch_version", "threads")]
        names, versions, threads = (", ".join(map(str, sorted(part))) for part in parts)
        return f"{names}, torch {versions}, {threads} thread{'s' if threads != '1' else ''} a run"

    def draw(self, over: str = "stored_values", methods: list[str] | None = None) -> str:
        """The figure as a link in Markdown."""
        path = f"figures/{self.name}-{over.replace('_', '-')}.png"
        self.figures[path] = style.encode(figure.accuracy_vs(self.runs, over, methods), "png")
        return f"![{metric_of(self.runs).title} over {over.replace('_', ' ')}]({path})"
