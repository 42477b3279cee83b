"""Learning rates that methods were tried at: which counts for each method and budget, and the curve behind the choice.

Tables, figures and tests go by the runs of the rate that counts (`bench.store.rates`); the others are in results.csv
and in the curve alone.
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
# Of a reason why a run has no score.
_LETTERS = 80

# Of rates.csv.
RATE_COLUMNS = {
    "setting": "network, data and schedule",
    "method": "how the method is called",
    "method_text": "the plugin's name with the options that are not at their default",
    "budget": "what was asked for; empty for a method of fixed size",
    "learning_rate_factor": "by which the schedule's learning rate was multiplied",
    "validation": "the score by which rates are chosen: a column of results.csv",
    "validation_mean": "its mean over the finished seeds; of rates that could be chosen, over those that these share",
    "seeds": "finished",
    "not_finished": "seeds whose run failed or missed its budget",
    "could_be_chosen": "whether it has all seeds that any rate has (or, where none does, as many as the best of them)",
    "is_chosen": "whether reports go by it",
    "at_the_edge": "whether it is chosen, and the smallest or the largest that was tried: a better one may lie beyond",
}


class Cell(NamedTuple):
    """One method, by its options, at one budget, "" for a method of fixed size."""

    setting: str
    method_text: str
    budget: str


@dataclass(frozen=True)
class Tried:
    """The learning rates that one method was tried at for one budget, and the one chosen. `not_finished` has, by factor
    and seed, what became of a run and why. If the factor was chosen `before`, these are those it was chosen of, and
    `before_on` says where."""

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
        """Whatever it was tried at, before too."""
        return tuple(sorted({*self.factors, *self.before}))

    @property
    def edge(self) -> str:
        """A remark if a better rate may lie beyond those tried."""
        chosen, every = self.choice.factor, self.all_factors
        if len(every) == 1 or not self.choice.means or chosen not in (every[0], every[-1]):
            return ""
        return f"the {'smallest' if chosen == every[0] else 'largest'} tried"

    def remarks(self) -> Iterator[str]:
        """What is odd about the choice, in words."""
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
    """The frame with `rates_tried`, how many rates the method was tried at for its budget, and `is_chosen_rate`,
    whether the run is at the one that counts."""
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
    """The runs that count of those methods, budgets and seeds with a run of such an id, maybe at another rate."""
    keys = [*zip(_cells(runs), runs["seed"], strict=True)]
    asked = {key for key, run_id in zip(keys, runs["id"], strict=True) if run_id in ids}
    return runs[runs["is_chosen_rate"] & pd.Series([key in asked for key in keys], runs.index)]


def tried_in(runs: pd.DataFrame) -> list[Tried]:
    """An entry for each method and budget of a frame with all runs: dense first, and of each method the largest budget
    first."""
    return list(_tried(runs, runs["learning_rate_factor"].astype(float).fillna(1.0)))


def curves(runs: pd.DataFrame) -> pd.DataFrame:
    """A row with RATE_COLUMNS for each rate that a method was tried at for a budget, where these are several."""
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
    """The same as a table of one setting: a column for each factor, what counts in brackets, and remarks."""

    factors: list[str]
    rows: list[list[str]]


def curves_of(tried: Sequence[Tried]) -> Curves | None:
    """None if each was tried at one rate."""
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
    """A line for each of these methods of a setting that was tried at several rates: which, and what was chosen."""
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
    # Plain values: frames have thousands of methods and budgets, and pandas takes a millisecond for each.
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
