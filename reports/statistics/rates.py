"""Learning rates that methods were tried at: the rate that counts for each method and budget, and the curve behind the
choice.

Tables, figures and tests use the runs of the rate that counts (`bench.store.rates`). Only results.csv and the curve
have the others.
"""

import re
from collections.abc import Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from bench.metric import HIGHER
from bench.roles import GIVEN, REFERENCE
from bench.store.rates import Choice, choose, factor_text
from bench.store.record import FINISHED

_FACTOR = re.compile(r"(\d+(?:\.\d+)?)x")
# The most letters of a reason why a run has no score.
_LETTERS = 80

# The columns of rates.csv.
RATE_COLUMNS = {
    "setting": "network, data and schedule",
    "method": "how the method is called",
    "method_text": "the plugin's name with the options that are not at their default",
    "budget": "the requested budget; empty for a method of fixed size",
    "learning_rate_factor": "factor on the schedule's learning rate",
    "validation": "the score by which rates are chosen: a column of results.csv",
    "validation_mean": "its mean over the finished seeds; rates that could be chosen use the seeds they share",
    "seeds": "number of finished seeds",
    "not_finished": "number of seeds whose run failed or missed its budget",
    "could_be_chosen": "whether it has all seeds that any rate has (if no rate has all: as many as the best rate)",
    "is_chosen": "whether reports use this rate",
    "at_the_edge": "whether the chosen rate is the smallest or the largest tried: a better one may lie beyond",
}


class Cell(NamedTuple):
    """One method, with its options, at one budget ("" for a method of fixed size)."""

    setting: str
    method_text: str
    budget: str


@dataclass(frozen=True)
class Tried:
    """The learning rates that one method was tried at for one budget, and the chosen one.

    `not_finished` has, by factor and seed, the status of each unfinished run and its reason. If the factor was chosen
    in an earlier sweep, `before` has the factors tried there, and `before_on` names that sweep's setting.
    """

    cell: Cell
    method: str
    factors: tuple[float, ...]
    scores: dict[float, dict[int, float]]
    not_finished: dict[float, dict[int, str]]
    choice: Choice
    before: tuple[float, ...] = ()
    before_on: str = ""

    @property
    def all_factors(self) -> tuple[float, ...]:
        """All factors that were tried, also in an earlier sweep."""
        return tuple(sorted({*self.factors, *self.before}))

    @property
    def edge(self) -> str:
        """A remark if a better rate may lie beyond those tried."""
        chosen, every = self.choice.factor, self.all_factors
        if len(every) == 1 or not self.choice.means or chosen not in (every[0], every[-1]):
            return ""
        return f"the {'smallest' if chosen == every[0] else 'largest'} tried"

    def remarks(self) -> Iterator[str]:
        """Remarks on unusual points of the choice."""
        if len(self.all_factors) == 1:
            return
        if not self.choice.means:
            yield "no run finished"
        if self.edge:
            yield self.edge
        if self.choice.tied:
            yield f"as good at {listed(self.choice.tied)}"
        for factor, seeds in self.choice.lacking.items():
            lost = self.not_finished.get(factor, {})
            by_reason: dict[str, list[str]] = {}
            for seed in seeds:
                by_reason.setdefault(lost.get(seed, "not made"), []).append(str(seed))
            said = (f"seed {', '.join(own)} {reason}" for reason, own in by_reason.items())
            yield f"{factor_text(factor)}{'' if factor in self.choice.means else ' is out'}: {', '.join(said)}"

    def mean(self, factor: float) -> float:
        """The mean of validation scores; nan if no seed finished."""
        own = self.scores[factor]
        return self.choice.means.get(factor, sum(own.values()) / len(own) if own else float("nan"))


def marked(runs: pd.DataFrame) -> pd.DataFrame:
    """The frame with `rates_tried`, the number of rates tried for the method and budget, and `is_chosen_rate`, whether
    the run has the rate that counts."""
    factors = runs["learning_rate_factor"].astype(float).fillna(1.0)
    if (factors == 1).all() and runs["rates_before"].isna().all():
        return runs.assign(rates_tried=1, is_chosen_rate=True)
    found = {tried.cell: tried for tried in _tried(runs, factors)}
    cells = [found[cell] for cell in _cells(runs)]
    chosen = [tried.choice.factor == factor for tried, factor in zip(cells, factors, strict=True)]
    return runs.assign(rates_tried=[len(tried.all_factors) for tried in cells], is_chosen_rate=chosen)


def chosen(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs that count."""
    return runs if runs["is_chosen_rate"].all() else runs[runs["is_chosen_rate"]].reset_index(drop=True)


def chosen_for(runs: pd.DataFrame, ids: Collection[str]) -> pd.DataFrame:
    """The runs that count for the methods, budgets and seeds of these ids. A run with an id of `ids` may have another
    rate."""
    keys = [*zip(_cells(runs), runs["seed"], strict=True)]
    asked = {key for key, run_id in zip(keys, runs["id"], strict=True) if run_id in ids}
    return runs[runs["is_chosen_rate"] & pd.Series([key in asked for key in keys], runs.index)]


def tried_in(runs: pd.DataFrame) -> list[Tried]:
    """An entry for each method and budget in a frame with all runs: dense first, then by method, the largest budget
    first."""
    return list(_tried(runs, runs["learning_rate_factor"].astype(float).fillna(1.0)))


def curves(runs: pd.DataFrame) -> pd.DataFrame:
    """A row with RATE_COLUMNS for each rate of each method and budget for which several rates were tried."""
    metrics = dict(zip(runs["setting"], runs["headline"], strict=True))
    rows = [
        (
            *(tried.cell.setting, tried.method, tried.cell.method_text, tried.cell.budget, factor),
            f"validation_{metrics[tried.cell.setting]}",
            *(tried.mean(factor), len(tried.scores[factor]), len(tried.not_finished.get(factor, {}))),
            *(factor in tried.choice.means, factor == tried.choice.factor),
            factor == tried.choice.factor and bool(tried.edge),
        )
        for tried in tried_in(runs)
        if len(tried.factors) > 1
        for factor in tried.factors
    ]
    return pd.DataFrame(rows, columns=list(RATE_COLUMNS))


@dataclass(frozen=True)
class Curves:
    """The rates of one setting as a table: a column for each factor, the chosen rate in brackets, and remarks."""

    factors: list[str]
    rows: list[list[str]]


def curves_of(tried: Sequence[Tried]) -> Curves | None:
    """The table; None if every method was tried at only one rate."""
    several = [each for each in tried if len(each.factors) > 1]
    if not several:
        return None
    every = sorted({factor for each in several for factor in each.factors})
    rows = [
        [each.method, each.cell.budget, *(_mean_text(each, factor) for factor in every), "; ".join(each.remarks())]
        for each in several
    ]
    return Curves([factor_text(factor) for factor in every], rows)


def _mean_text(tried: Tried, factor: float) -> str:
    if factor not in tried.scores:
        return ""
    own, lost = tried.scores[factor], tried.not_finished.get(factor, {})
    text = f"{tried.mean(factor):.2f}" if own else ""
    text = f"[{text}]" if text and factor == tried.choice.factor else text
    return " ".join([*([text] if text else []), *([f"({len(lost)} not finished)"] if lost else [])])


def lines(runs: pd.DataFrame, setting: str, methods: Collection[str]) -> list[str]:
    """A line for each of these methods that was tried at several rates in the setting: the rates, and the chosen
    one."""
    by_method: dict[str, list[Tried]] = {}
    for tried in tried_in(runs[runs["setting"] == setting]):
        if len(tried.all_factors) > 1 and tried.method in methods:
            by_method.setdefault(tried.method, []).append(tried)
    return [f"learning rates of {method}: {in_words(own)}" for method, own in by_method.items()]


def in_words(own: Sequence[Tried]) -> str:
    """The rates that one method was tried at, and the one chosen for each budget."""
    every = sorted({factor for tried in own for factor in tried.all_factors})
    if len(every) == 1:
        return "the schedule's" if every == [1] else f"{factor_text(every[0])} the schedule's"
    parts = []
    for tried in own:
        remarks = "; ".join(tried.remarks())
        at = f"{tried.cell.budget}: " if tried.cell.budget else ""
        parts.append(f"{at}{factor_text(tried.choice.factor)}{f' ({remarks})' if remarks else ''}")
    before = ", ".join(sorted({tried.before_on for tried in own if tried.before}))
    return f"{listed(every)} tried; chosen by validation{f' before, on {before},' if before else ''} {', '.join(parts)}"


def listed(factors: Sequence[float]) -> str:
    return ", ".join(map(factor_text, factors))


def _tried(runs: pd.DataFrame, factors: "pd.Series[float]") -> Iterator[Tried]:
    # Use plain values: a frame has thousands of methods and budgets, and pandas takes a millisecond for each.
    scores: dict[Cell, dict[float, dict[int, float]]] = {}
    lost: dict[Cell, dict[float, dict[int, str]]] = {}
    about: dict[Cell, tuple[str, bool]] = {}
    places: dict[Cell, tuple[Any, ...]] = {}
    asked = runs["asked"].astype(float).fillna(0)
    before: dict[Cell, tuple[str, str]] = {}
    names = ("method", "seed", "status", "reason", "headline_better", "role", "rates_before", "rates_before_on")
    columns = [runs[name] for name in names]
    for cell, factor, score, values, method, seed, status, reason, better, role, earlier, on in zip(
        _cells(runs), factors, _validation(runs), asked, *columns, strict=True
    ):
        about.setdefault(cell, (str(method), better == HIGHER))
        places.setdefault(cell, (cell.setting, role not in (GIVEN, REFERENCE), str(method), -values))
        own = scores.setdefault(cell, {}).setdefault(factor, {})
        if not pd.isna(earlier):
            before.setdefault(cell, (str(earlier), str(on)))
        if status != FINISHED:
            why = "" if pd.isna(reason) else f" ({str(reason)[:_LETTERS]})"
            lost.setdefault(cell, {}).setdefault(factor, {})[int(seed)] = f"{status}{why}"
        elif not pd.isna(score):
            own.setdefault(int(seed), float(score))
    for cell in sorted(scores, key=lambda cell: places[cell]):
        (method, higher), own_scores = about[cell], scores[cell]
        choice = choose(own_scores, higher)
        earlier, on = before.get(cell, ("", ""))
        factors_before = tuple(map(float, _FACTOR.findall(earlier)))
        yield Tried(cell, method, tuple(sorted(own_scores)), own_scores, lost.get(cell, {}), choice, factors_before, on)


def _cells(runs: pd.DataFrame) -> list[Cell]:
    budgets = runs["budget"].astype(object).where(runs["budget"].notna(), "")
    return [
        Cell(str(setting), str(text), str(budget))
        for setting, text, budget in zip(runs["setting"], runs["method_text"], budgets, strict=True)
    ]


def _validation(runs: pd.DataFrame) -> Iterator[float]:
    """The validation score of each run, by the metric of its own task."""
    names: dict[Hashable, list[float]] = {
        name: runs[f"validation_{name}"].astype(float).tolist() for name in runs["headline"].unique()
    }
    return (names[name][place] for place, name in enumerate(runs["headline"]))
