"""The verdict in words: which method keeps the most, by how much, and how sure that is; how much smaller it is for the
same score; and down to which size methods are as good as dense. Also, which methods at a budget can't be told apart."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from bench.metric import Metric
from bench.reports.frame import left_out, metric_of
from bench.reports.names import short_names
from bench.reports.statistics.change import MARGIN
from bench.reports.statistics.noise import LEVEL
from bench.reports.statistics.over_settings import FEWEST
from bench.reports.statistics.overall import Overall
from bench.reports.statistics.pairs import Standing
from bench.reports.summary import Analysis
from bench.reports.tables.table import p_value
from bench.reports.words import mean
from bench.roles import REFERENCE
from bench.store.record import FINISHED

_SURE = f"{100 * LEVEL:.0f} %"
# The most methods that one sentence names.
_NAMED = 5
# The most letters of a name.
_LETTERS = 40


def verdict(runs: pd.DataFrame, analysis: Analysis, setting: str) -> list[str]:
    """Sentences about one setting, the most important first. `runs` is the frame of `bench.reports.frame.results`."""
    own = runs[(runs["setting"] == setting) & (runs["status"] == FINISHED)]
    if not len(own):
        reasons = left_out(runs[runs["setting"] == setting])
        more = [f"And {len(reasons) - _NAMED} more like these, in summary.md."] if len(reasons) > _NAMED else []
        return ["Nothing to compare: no run finished.", *reasons[:_NAMED], *more]
    metric = metric_of(own)
    rows = _with_short_names(analysis.overall[analysis.overall["setting"] == setting])
    table = _with_short_names(analysis.summary[analysis.summary["setting"] == setting])
    lines = []
    if len(rows):
        lines += [_best(rows, metric), *_hangs(analysis.verdicts[setting], table, metric), *_values(rows, metric)]
    else:
        sized = table.loc[table["asked"].notna(), "method_text"].nunique()
        why = "no two methods met the same budget" if sized > 1 else "a verdict needs two methods that met a budget"
        lines.append(f"There is no verdict on which method keeps the most: {why}.")
    lines += _as_good(table, metric)
    return lines


def _best(rows: pd.DataFrame, metric: Metric) -> str:
    ordered = rows.sort_values("score", ascending=not metric.higher, kind="stable")
    first, second = ordered.iloc[0], ordered.iloc[1]
    over = ("on average over " if " " in first["budgets"] else "at ") + _budgets(first["budgets"])
    gap = abs(first["score"] - second["score"])
    unit = f" {metric.points}" if metric.points else ""
    if pd.isna(second["difference_interval"]):
        unsure = "one seed can't tell how sure that is."
        if not round(gap, 2):
            return f"{first['method']} and {second['method']} have the highest {mean(metric)} {over}: {unsure}"
        return (
            f"{first['method']} has the highest {mean(metric)} {over}, {gap:.2f}{unit} before {second['method']}: "
            f"{unsure}"
        )
    gap = second["difference"] * (-1 if metric.higher else 1)  # paired by seed, like its interval
    # Include methods whose interval contains zero, so that the text agrees with the numbers shown.
    close = ordered["difference"].abs() <= ordered["difference_interval"]
    alike = ordered.loc[close | ordered["standing"].isin([Standing.BEST, Standing.WIDE]), "method"].tolist()
    if len(alike) == 1:
        return (
            f"{first['method']} keeps the most {over}: its {metric.label} is {gap:.2f} ± "
            f"{second['difference_interval']:.2f}{unit} better than that of {second['method']}, the next "
            f"({_SURE} interval; paired over {second['seeds']:.0f} seeds)."
        )
    worse = len(ordered) - len(alike)
    # The test counts how many methods are compared. The interval doesn't, and may be sure where the test is not.
    alone = (
        f" of this pair alone; corrected, {_p_value(second['worse_p_value'])}"
        if gap > second["difference_interval"]
        else ""
    )
    return (
        f"{_listed(alike)} may each be the best {over}: they can't be told apart with "
        f"{first['seeds']:.0f} seeds ({first['method']} leads {second['method']} by {round(gap, 2) + 0.0:.2f} ± "
        f"{second['difference_interval']:.2f}{unit}, {_SURE} interval{alone}); "
        + (f"{worse} {'other is' if worse == 1 else 'others are'} worse." if worse else "no method is out.")
    )


def _hangs(found: Overall | None, table: pd.DataFrame, metric: Metric) -> Iterator[str]:
    """The budgets without which another method would have the highest score."""
    if found is None:
        return
    names = dict(zip(table["method_text"], table["method"], strict=True))
    budgets = dict(zip(table["asked"], table["budget"], strict=True))
    for size, leader in reversed([*zip(found.budgets, found.leaders, strict=bool(found.leaders))]):
        if leader != found.best:
            yield f"Without {budgets[size]}, {names[found.methods[leader]]} has the highest {mean(metric)}."


def _values(rows: pd.DataFrame, metric: Metric) -> Iterator[str]:
    """How much less the best method stores for the same score than the next, and than the others at the extremes."""
    ordered = rows.sort_values("score", ascending=not metric.higher, kind="stable")
    first, others = ordered.iloc[0], ordered.iloc[1:]
    known = others[others["size_for_the_same"].notna()]
    if len(known):
        shares = [(1 / row["size_for_the_same"], row["method"]) for _, row in known.iterrows()]
        # The next is named first; then where the method gains least, or loses, and where it gains most.
        ends = dict.fromkeys([max(shares[1:]), min(shares[1:])]) if len(shares) > 1 else ()
        further = [f"{share:.2f} of {method}" for share, method in ends]
        yield (
            f"For the same {metric.label}, {first['method']} stores {shares[0][0]:.2f} times the {first['unit']} of "
            + " and ".join(filter(None, [", ".join([shares[0][1], *further[:-1]]), *further[-1:]]))
            + " (averaged over what both reach)."
        )


def _as_good(table: pd.DataFrame, metric: Metric) -> Iterator[str]:
    """Which methods are as good as dense, and down to which size."""
    if metric.unit != "%" or not (table["role"] == REFERENCE).any():
        return
    good = table[table["as_good_as_dense"].fillna(False).astype(bool)]
    claim = f"sure ({_SURE}) to lose at most {MARGIN} {metric.points} against dense"
    if not len(good):
        if table["difference_interval"].notna().any():
            yield f"At no size is a method {claim}."
        return
    smallest = good.sort_values("size").drop_duplicates("method")
    shown = [f"{row['method']} at {row['ratio']:.1f}x" for _, row in smallest.head(_NAMED).iterrows()]
    more = f" and {len(smallest) - _NAMED} more" if len(smallest) > _NAMED else ""
    yield f"{_capital(claim)}: {', '.join(shown)}{more}."


def comparisons(summary: pd.DataFrame, metric: Metric) -> list[str]:
    """For each budget of a setting: which methods may be the best, and which difference its seeds could show."""
    lines = []
    unit = f" {metric.points}" if metric.points else ""
    sized = _with_short_names(summary[summary["asked"].notna()])
    for (_, budget), rows in sized.groupby(["asked", "budget"], sort=True):
        at = f"At {budget} ({rows['asked'].iloc[0]:,.0f} {rows['unit'].iloc[0]})"
        compared = rows[rows["compared_seeds"] > 0]
        if len(compared):
            ordered = compared.sort_values("worse_p_value", ascending=False, kind="stable")
            best = ordered.loc[ordered["standing"] == Standing.BEST, "method"].tolist()
            wide = ordered.loc[ordered["standing"] == Standing.WIDE, "method"].tolist()
            left = len(rows) - len(compared)
            least = compared[["least_difference", "least_difference_5_seeds"]].iloc[0]
            lines.append(
                f"{at}: {_listed(best)} may be the best of {len(compared)}"
                + (f"; {_listed(wide)}: the seeds spread too widely to tell" if wide else "")
                + (f"; {left} with fewer than two seeds in common not compared" if left else "")
                + f". A difference of {least.iloc[0]:.2f}{unit} would mostly show, with five seeds {least.iloc[1]:.2f}."
            )
        elif len(rows) > 1:
            lines.append(f"{at}: not compared, since no two methods share at least two seeds.")
    lines.reverse()
    if len(lines) > 1:
        lines.append(
            "Each budget is tested separately. If all methods are equally good at a budget, one of them is still not "
            "bold by chance at about one budget in ten."
        )
    return lines


VERDICT_HEADINGS = ("at", "highest mean", "ahead of the next (p, corrected)", "may be as good", f"worse ({_SURE})")


def verdict_table(analysis: Analysis, setting: str, metric: Metric) -> list[tuple[str, ...]]:
    """A row for each budget, the largest first, under VERDICT_HEADINGS: the method to choose there, and how sure that
    is. The p-value tests whether the next method is worse only by chance, corrected for the number of others."""
    table = analysis.summary[(analysis.summary["setting"] == setting) & analysis.summary["asked"].notna()]
    pairs = analysis.pairwise[analysis.pairwise["setting"] == setting]
    short = short_names(table["method"], _LETTERS)
    found: list[tuple[str, ...]] = []
    for (asked, budget), rows in table.groupby(["asked", "budget"], sort=True):
        ordered = rows.sort_values("score_adjusted", ascending=not metric.higher, kind="stable")
        first, others = ordered.iloc[0], ordered.iloc[1:]
        before = ""
        if len(others):
            next_one = others.iloc[0]
            pair = pairs[
                (pairs["asked"] == asked)
                & (pairs["method"] == next_one["method"])
                & (pairs["other"] == first["method"])
            ]
            gap = pair["difference"].iloc[0] if len(pair) else next_one["score_adjusted"] - first["score_adjusted"]
            gap *= -1 if metric.higher else 1
            # Use the same test that decides which methods may be as good: an interval of this pair alone could
            # disagree.
            known = _p_value(pair["worse_p_value"].iloc[0]) if len(pair) else ""
            sure = f" ({known})" if known else ""
            before = f"{abs(gap) if round(gap, 2) == 0 else gap:.2f} ahead of {short[next_one['method']]}{sure}"
        alike = others["standing"].isin([Standing.BEST, Standing.WIDE])
        others = others.assign(method=others["method"].map(short))
        out = others.loc[others["standing"] == Standing.WORSE, "method"].tolist()
        unknown = others.loc[~alike & (others["standing"] != Standing.WORSE), "method"].tolist()
        not_said = [f"not compared: {_listed(unknown)}"] if unknown else []
        score = f"{short[first['method']]} {first['score_adjusted']:.2f}{f' {metric.unit}' if metric.unit else ''}"
        likely = "; ".join(filter(None, [_listed(others.loc[alike, "method"].tolist()), *not_said]))
        found.append((str(budget), score, before, likely or "none", _listed(out) or "none"))
    return found[::-1]


def left_out_of_the_verdict(analysis: Analysis, setting: str) -> list[str]:
    """The methods and budgets that the verdict over all budgets leaves out, and why."""
    found = analysis.verdicts.get(setting)
    if found is None:
        return []
    table = analysis.summary[analysis.summary["setting"] == setting]
    sized = table[table["asked"].notna()]
    budgets = sized.drop_duplicates("asked").set_index("asked")["budget"]
    others = [str(budget) for asked, budget in budgets.items() if asked not in set(found.budgets)]
    names = sized.drop_duplicates("method_text").set_index("method_text")["method"]
    lines = []
    if others:
        missed = sized[~sized["asked"].isin(found.budgets)]
        absent = [
            str(names[str(text)]) for text in found.methods if len(missed[missed["method_text"] == text]) < len(others)
        ]
        lines.append(f"Not in the verdict: {', '.join(others)}, not met by {_listed(absent)}.")
    if found.left_out:
        fewer = _listed([str(names[str(text)]) for text in found.left_out])
        lines.append(f"Not in the verdict: {fewer}, with fewer budgets met.")
    return lines


def _with_short_names(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(method=rows["method"].map(short_names(rows["method"], _LETTERS)))


def _budgets(text: str) -> str:
    names = text.split()
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}" if len(names) > 2 else " and ".join(names)


def _listed(names: Sequence[str]) -> str:
    shown, more = [*names[:_NAMED]], len(names) - _NAMED
    if more > 0:
        return f"{', '.join(shown)} and {more} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)


def _p_value(value: float) -> str:
    """With its sign; empty if there is none."""
    text = p_value(value)
    return text and f"p {text if text.startswith('<') else f'= {text}'}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def over_settings_lines(analysis: Analysis) -> list[str]:
    """Sentences on mean ranks over settings: the methods with the lowest, and which methods differ. Empty if there is
    only one setting."""
    found = analysis.over_settings
    if found is None:
        return []
    names = [analysis.label(text) for text in found.methods]
    ranked = ", ".join(f"{name} {rank:.2f}" for name, rank in zip(names[:_NAMED], found.mean_ranks, strict=False))
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    lines = [f"Mean ranks over {len(found.settings)} settings (1 is the best of {len(names)}): {ranked}{more}."]
    if analysis.not_ranked:
        others = f"{len(analysis.not_ranked)} setting{'s' if len(analysis.not_ranked) > 1 else ''}"
        lines.append(f"They have budgets in {analysis.unit_ranked}; the ranks leave out {others} in another unit.")
    if np.isnan(found.critical_difference):
        return [*lines, f"With fewer than {FEWEST} settings no test can tell whether ranks differ by more than chance."]
    lines.append(
        f"Two methods differ ({_SURE}) if their mean ranks are {found.critical_difference:.2f} or more apart "
        f"(Nemenyi's test; that all are the same has p = {found.p_value:.2g}, Friedman's)."
    )
    out = [
        name
        for name, rank in zip(names, found.mean_ranks, strict=True)
        if rank - found.mean_ranks[0] >= found.critical_difference
    ]
    return [*lines, f"Worse than {names[0]} over these settings: {', '.join(out) or 'none, as far as these can tell'}."]
