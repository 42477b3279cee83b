"""The statistics of a report: a row for each method and budget over its seeds, a row for every pair of methods, and a
row for each method over all budgets."""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import pandas as pd

from bench.metric import Metric
from bench.reports.columns import AXES, OVERALL_COLUMNS, PAIR_COLUMNS, SETTING_COLUMNS, SUMMARY_COLUMNS
from bench.reports.frame import VALUES, metric_of, texts
from bench.reports.predictions.mcnemar import p_value
from bench.reports.statistics import change, front, noise, pairs
from bench.reports.statistics.noise import Array, Spread
from bench.reports.statistics.over_settings import OverSettings, over_settings
from bench.reports.statistics.overall import Overall
from bench.reports.statistics.overall import overall as over_budgets
from bench.reports.statistics.pairs import Standing
from bench.reports.statistics.rates import chosen
from bench.roles import GIVEN, REFERENCE
from bench.store.record import FINISHED

# Columns of runs (`bench.reports.predictions.tally.RUN_COLUMNS`): the number of images that only one of the two
# networks gets right.
_ALONE = ("dense_right_alone", "right_alone")

# The roles whose rows come first.
PLACES = {GIVEN: 0, REFERENCE: 1}

# The columns that identify a measurement: the same run under two ids (the same images under another name, say) counts
# once.
SAME = ["setting", "method_text", "budget", "seed"]


@dataclass(frozen=True)
class Analysis:
    """Tables with the columns of `bench.reports.columns`. `verdicts` has, by setting, the comparison of its methods
    over all budgets; None if fewer than two methods can be compared."""

    summary: pd.DataFrame
    pairwise: pd.DataFrame
    overall: pd.DataFrame
    verdicts: dict[str, Overall | None]

    @cached_property
    def over_settings(self) -> OverSettings | None:
        """Methods compared over settings, by their scores over all budgets; None if there is only one setting."""
        known = {name: found for name, found in self._compared.items() if self._units[name] == self.unit_ranked}
        return over_settings({n: dict(zip(found.methods, found.scores, strict=True)) for n, found in known.items()})

    @property
    def unit_ranked(self) -> str:
        """The unit of budgets in most settings that have methods to compare."""
        units = [self._units[name] for name in self._compared]
        return max(units, key=units.count, default=VALUES)

    @property
    def not_ranked(self) -> list[str]:
        """The settings with the other unit: ranks at budgets in values and in bytes have no common mean."""
        return [name for name in self._compared if self._units[name] != self.unit_ranked]

    @property
    def _compared(self) -> dict[str, Overall]:
        return {name: found for name, found in self.verdicts.items() if found is not None}

    @cached_property
    def _units(self) -> dict[str, str]:
        return dict(zip(self.summary["setting"], self.summary["unit"], strict=True))

    def label(self, method_text: Hashable) -> str:
        """The display name of a method."""
        return str(self.summary.loc[self.summary["method_text"] == method_text, "method"].iloc[0])

    @property
    def by_settings(self) -> pd.DataFrame:
        """A row for each method and setting, with SETTING_COLUMNS; empty if there is only one setting."""
        found = self.over_settings
        if found is None:
            return pd.DataFrame(columns=list(SETTING_COLUMNS))
        own = self.overall[["setting", "method_text", "score"]].itertuples(index=False, name=None)
        scores = {(setting, text): score for setting, text, score in own}
        rows = [
            (
                self.label(text),
                text,
                found.mean_ranks[place],
                setting,
                scores[setting, text],
                found.ranks[number, place],
            )
            for place, text in enumerate(found.methods)
            for number, setting in enumerate(found.settings)
        ]
        return pd.DataFrame(rows, columns=list(SETTING_COLUMNS))


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """A row for each setting, method and budget, over its finished seeds, with SUMMARY_COLUMNS."""
    return analyse(frame).summary


def analyse(frame: pd.DataFrame) -> Analysis:
    """The statistics of the frame of `bench.reports.frame.results`. Columns that need two seeds are empty if there is
    one. A difference from dense uses the seeds that the dense reference has."""
    frame = chosen(frame)
    finished = frame[frame["status"] == FINISHED].drop_duplicates(SAME)
    tables, paired, verdicts, overalls = [], [], {}, []
    for name, runs in finished.groupby("setting", sort=True):
        setting = _Setting(str(name), metric_of(runs), runs)
        tables.append(setting.table)
        paired += list(setting.pair_rows())
        verdicts[setting.name] = setting.overall
        overalls += list(setting.overall_rows())
    return Analysis(
        pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(SUMMARY_COLUMNS)),
        pd.DataFrame(paired, columns=list(PAIR_COLUMNS)),
        pd.DataFrame(overalls, columns=list(OVERALL_COLUMNS)),
        verdicts,
    )


class _Setting:
    """The runs of one setting.

    `rows` has a row for each method and budget. `gains` `(seeds, rows)` are the scores, with the sign set so that more
    is better; nan if a run is missing.
    """

    def __init__(self, name: str, metric: Metric, runs: pd.DataFrame) -> None:
        self.name, self.metric = name, metric
        self.sign = 1.0 if metric.higher else -1.0
        self.rows = _means(runs, metric)
        self.by_seed = {column: _by_seed(self.rows, runs, column) for column in (metric.test, *AXES)}
        self.gains = self.sign * self.by_seed[metric.test]
        images = runs["test_images"].dropna()
        self.floor = noise.smallest_variance(float(images.min())) if metric.counts_images and len(images) else 0.0
        self.changes = self._changes()
        self.mcnemar = self._mcnemar(runs)
        self.budgets = self._budgets()
        sizes = [float(self.rows["asked"].iloc[own[0]]) for own in self.budgets]
        self.pairs = pairs.compare([self.gains[:, own] for own in self.budgets], sizes, self.floor)
        self.overall = self._overall(sizes)

    def _changes(self) -> Spread:
        """The change of each row against the dense run of the same seed."""
        reference = np.flatnonzero(self.rows["role"] == REFERENCE)
        alone = np.flatnonzero(self.rows["role"].isin([REFERENCE, GIVEN]))
        dense = self.gains[:, reference[0]] if len(reference) else np.full(len(self.gains), np.nan)
        differences = self.gains - dense[:, None]
        differences[:, alone] = np.nan  # the given network is never paired
        asked = self.rows["asked"].astype(float).fillna(self.rows["size"]).to_numpy(dtype=float)
        self.differences = differences
        return change.changes([column[~np.isnan(column)] for column in differences.T], asked.tolist(), self.floor)

    def _mcnemar(self, runs: pd.DataFrame) -> list[float]:
        """The p-value of each row that has exactly one seed in common with dense; nan for the others. With more seeds,
        the interval over seeds compares the methods; this test compares only two networks."""
        if not set(_ALONE) <= {*runs.columns} or not self.metric.counts_images:
            return [np.nan] * len(self.rows)
        dense, own = (_by_seed(self.rows, runs, column) for column in _ALONE)
        known = ~np.isnan(own) & ~np.isnan(self.differences)
        return [
            p_value(int(dense[at, row][0]), int(own[at, row][0])) if seeds == 1 and at.any() else np.nan
            for row, (seeds, at) in enumerate(zip(self.changes.seeds, known.T, strict=True))
        ]

    def _budgets(self) -> list[list[int]]:
        """The row numbers of each budget, in the order of requested size, the largest first."""
        asked = self.rows["asked"].astype(float)
        return [
            [int(index) for index in np.flatnonzero(asked == size)] for size in sorted(asked.dropna().unique())[::-1]
        ]

    def _overall(self, sizes: list[float]) -> Overall | None:
        return over_budgets(
            {
                size: {self.rows["method_text"].iloc[index]: self.gains[:, index] for index in own}
                for size, own in zip(sizes, self.budgets, strict=True)
            },
            self.floor,
        )

    @cached_property
    def table(self) -> pd.DataFrame:
        """The setting's part of the summary."""
        rows = self.rows.copy()
        found = self.changes
        rows["metric"] = self.metric.test
        rows["difference"] = self.sign * found.means
        rows["difference_std"] = [_std(column) for column in self.differences.T]
        rows["difference_interval"] = found.half_widths()
        rows["difference_p_value"] = found.other()
        # Half a point is a percentage; for other units no limit has been agreed.
        good = change.as_good(found) if self.metric.unit == "%" else np.zeros(len(rows), dtype=bool)
        known = ~np.isnan(rows["difference_interval"].to_numpy()) & (self.metric.unit == "%")
        rows["as_good_as_dense"] = pd.Series(good, dtype="boolean").where(known)
        rows["mcnemar_p_value"] = self.mcnemar
        rows["score_adjusted"] = rows["score_mean"]
        rows["compared_seeds"] = 0
        rows["standing"] = Standing.UNKNOWN.value
        for name in ("worse_p_value", "least_difference", "least_difference_5_seeds"):
            rows[name] = np.nan
        place = {name: list(rows.columns).index(name) for name in rows.columns}
        for own, compared in zip(self.budgets, self.pairs, strict=True):
            standings = compared.standings()
            rows.iloc[own, place["standing"]] = [standing.value for standing in standings]
            rows.iloc[own, place["worse_p_value"]] = compared.p_values()
            rows.iloc[own, place["score_adjusted"]] = self.sign * compared.means
            shared = [int(seeds) if seeds > 1 else 0 for seeds in compared.seeds.max(axis=1, initial=0)]
            rows.iloc[own, place["compared_seeds"]] = shared
            if compared.least:
                now, later = compared.least
                rows.iloc[own, place["least_difference"]] = now
                rows.iloc[own, place["least_difference_5_seeds"]] = later
        best = rows["standing"].eq(Standing.BEST).astype("boolean")
        rows["is_best"] = best.mask(rows["standing"].eq(Standing.UNKNOWN))
        trained = np.where(rows["role"] == GIVEN, np.nan, self.gains)
        for axis in AXES:
            rows[f"front_{axis}"] = front.probabilities(self.by_seed[axis], trained, self.floor)
        return rows[list(SUMMARY_COLUMNS)]

    def pair_rows(self) -> Iterator[dict[str, Any]]:
        """A row for each ordered pair of methods at a budget, and for each method with dense."""
        other, half_widths = self.changes.other(), self.changes.half_widths()
        reference = self.rows.loc[self.rows["role"] == REFERENCE, "method"]
        for own, compared in zip(self.budgets, self.pairs, strict=True):
            for first, index in enumerate(own):
                known = {
                    "setting": self.name,
                    "metric": self.metric.test,
                    "budget": self.rows["budget"].iloc[index],
                    "unit": self.rows["unit"].iloc[index],
                    "asked": self.rows["asked"].iloc[index],
                    "method": self.rows["method"].iloc[index],
                }
                for second, another in enumerate(own):
                    if compared.seeds[first, second] > 1:
                        yield {
                            **known,
                            "other": self.rows["method"].iloc[another],
                            "seeds": int(compared.seeds[first, second]),
                            "difference": self.sign * compared.difference[first, second],
                            "difference_interval": compared.half_width[first, second],
                            "p_value": compared.p_value[first, second],
                            "corrected_p_value": compared.corrected[first, second],
                            "worse_p_value": min(compared.worse[first, second], 1.0),
                        }
                if self.changes.seeds[index] > 1:
                    yield {
                        **known,
                        "other": reference.iloc[0],
                        "seeds": int(self.changes.seeds[index]),
                        "difference": self.sign * self.changes.means[index],
                        "difference_interval": half_widths[index],
                        "p_value": other[index],
                    }

    def overall_rows(self) -> Iterator[dict[str, Any]]:
        if self.overall is None:
            return
        found, compared, best = self.overall, self.overall.pairs, self.overall.best
        p_values, standings = compared.p_values(), found.standings()
        rows = self.table
        for place, text in enumerate(found.methods):
            own = rows[rows["method_text"] == text]
            good = own[own["as_good_as_dense"].fillna(False).astype(bool)].nsmallest(1, "size")
            yield {
                "setting": self.name,
                "metric": self.metric.test,
                "method": own["method"].iloc[0],
                "method_text": text,
                "role": own["role"].iloc[0],
                "budgets": " ".join(own.set_index("asked")["budget"].loc[[*found.budgets[::-1]]].astype(str)),
                "seeds": int(compared.seeds[place].max(initial=0) if place == best else compared.seeds[place, best]),
                "score": self.sign * found.scores[place],
                "difference": 0.0 if place == best else self.sign * compared.difference[place, best],
                "difference_interval": np.nan if place == best else compared.half_width[place, best],
                "worse_p_value": p_values[place],
                "standing": standings[place].value,
                "mean_rank": found.ranks[place],
                "unit": own["unit"].iloc[0],
                "size_for_the_same": found.values[place],
                "as_good_as_dense_size": good["size"].iloc[0] if len(good) else np.nan,
                "as_good_as_dense_compression": good["ratio"].iloc[0] if len(good) else np.nan,
            }


def _means(runs: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    """A row for each method and budget of a setting: the given network first, then dense, then methods by name and
    size."""
    # An empty column of objects would have no mean.
    numbers = [
        *AXES,
        "latency_128_ms",
        "compression",
        "size",
        "ratio",
        "generation_macs",
        "compress_seconds",
        "test_loss",
        metric.test,
    ]
    others = {
        "validation": metric.validation,
        "corrupted": "corrupted",
        "test_top5": "test_top5",
        "churn": "churn",
        "calibration_error": "calibration_error",
    }
    known = runs.assign(**{name: runs.get(column) for name, column in others.items()})
    known = known.astype(dict.fromkeys([*numbers, *others], float))
    groups = known.groupby(["setting", "method", "method_text", "budget"], dropna=False, sort=False)
    table = groups.agg(
        method_name=("method_name", "first"),
        role=("role", "first"),
        learning_rate_factor=("learning_rate_factor", "first"),
        rates_tried=("rates_tried", "first"),
        n=("seed", "nunique"),
        unit=("unit", "first"),
        asked=("asked", "first"),
        size=("size", "mean"),
        ratio=("ratio", "mean"),
        **{axis: (axis, "mean") for axis in (*AXES, "latency_128_ms")},
        compression=("compression", "mean"),
        generation_macs=("generation_macs", "mean"),
        compress_seconds=("compress_seconds", "mean"),
        score_mean=(metric.test, "mean"),
        score_std=(metric.test, "std"),
        score_interval=(metric.test, noise.interval),
        validation_mean=("validation", "mean"),
        corrupted_mean=("corrupted", partial(pd.Series.mean, skipna=False)),
        test_top5_mean=("test_top5", "mean"),
        test_loss_mean=("test_loss", "mean"),
        test_loss_std=("test_loss", "std"),
        churn_mean=("churn", "mean"),
        calibration_error_mean=("calibration_error", "mean"),
    ).reset_index()
    table = table.astype({"budget": object, "role": object})
    table["requested_ratio"] = table["ratio"] * table["size"] / table["asked"].astype(float)
    table["place"] = table["role"].map(PLACES).fillna(len(PLACES))
    return table.sort_values(["place", "method", "size"], ascending=[True, True, False], ignore_index=True)


def _by_seed(rows: pd.DataFrame, runs: pd.DataFrame, column: str) -> Array:
    """A column of a setting's runs as `(seeds, rows)`: a row for each seed, a column for each row of the summary."""
    numbers = {key: number for number, key in enumerate(_keys(rows))}
    places = [runs["seed"].to_numpy(), [numbers[key] for key in _keys(runs)]]
    values = pd.Series(runs[column].to_numpy(dtype=float, na_value=np.nan), index=places)
    found: Array = values.unstack().reindex(columns=range(len(rows))).to_numpy(dtype=float)
    return found


def _keys(rows: pd.DataFrame) -> list[tuple[Hashable, ...]]:
    return list(zip(texts(rows["method_text"]), texts(rows["budget"]), strict=True))


def _std(values: Array) -> float:
    known = values[~np.isnan(values)]
    return float(known.std(ddof=1)) if len(known) > 1 else float("nan")
