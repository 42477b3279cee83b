"""What changed between two stores beyond noise: the same sweep before and after a change to a method, say."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.errors import InputError
from bench.reports import frame
from bench.reports.load import because
from bench.reports.statistics.noise import LEVEL, smallest_variance, spread
from bench.reports.statistics.pairs import holm
from bench.roles import GIVEN
from bench.store.record import FINISHED
from bench.store.store import Store

# The possible verdicts on a method at a budget. The first two are regressions.
WORSE, BROKEN = "worse", "no longer finishes"
BETTER, MENDED, WITHIN_NOISE, SAME = "better", "finishes now", "within noise", "the same"
OTHERWISE = "score the same, other figures not"
ONE_SEED, ONLY_OLD, ONLY_NEW, NEITHER = "one seed: can't tell", "only in OLD", "only in NEW", "finishes in neither"
NO_COMMON_SEED = "no seed in common"
REGRESSIONS = (WORSE, BROKEN)
_UNREMARKABLE = (SAME, NEITHER, ONLY_OLD, ONLY_NEW)

# Figures that a run's seed and code determine: any difference is a change.
EXACT = ("stored_values", "stored_bytes", "macs", "generation_macs")
# This one, too, on the same kind of processor. It is named only where the score is the same, since it moves with it.
_LOSS = "test_loss"

COLUMNS = {
    "setting": "network, data and schedule",
    "method": "how the method is called",
    "budget": "the requested budget; empty for a method of fixed size",
    "learning_rate_factor": "factor on the schedule's learning rate; each rate is compared with itself",
    "verdict": "the outcome",
    "seeds": "number of seeds that finished in both stores",
    "metric": "the score: a column of results.csv",
    "old_score": "mean over these seeds",
    "new_score": "mean over these seeds",
    "change": "new minus old",
    "change_interval": "half the width of its 95 % interval, paired by seed, by moderated variances (Smyth 2004)",
    "p_value": "p-value of the change, two-sided, corrected for all rows that changed (Holm 1979)",
    "other_changes": f"changes of {', '.join(EXACT)}, from and to; of {_LOSS} if the score is the same; missing seeds",
}


def compare(old: str | Path, new: str | Path) -> tuple[pd.DataFrame, list[str]]:
    """A row for each setting, method and budget of either store, with COLUMNS; and a line for each record left out.

    Runs of the same setting, method, budget, learning rate and seed are paired. If the runs of every pair are equal,
    the method is the same. All other methods are tested. Raises InputError if nothing can be compared.
    """
    sides, notes = [], []
    for side, path in (("old", old), ("new", new)):
        records, damaged = Store(Path(path)).records()
        sides += [{**record, "side": side} for record in records]
        notes += damaged
    if not sides:
        raise InputError(f"no finished runs in {old}, {new}{because(notes)}")
    runs = frame.results(sides)
    # Don't group by display names, which may have changed between the stores.
    keys = ["setting", "method_text", "budget", "learning_rate_factor"]
    groups = list(runs.groupby(keys, dropna=False, sort=False))
    rows = [_row(dict(zip(keys, key, strict=True)), group) for key, group in groups]
    if not any(row["seeds"] for row in rows) and not any(row["verdict"] in (BROKEN, MENDED, NEITHER) for row in rows):
        raise InputError(
            f"{old} and {new} have no run with the same network, images, schedule, method, budget and seed"
            f"{because(notes)}"
        )
    _test(rows)
    rows.sort(key=lambda row: (row["setting"], not row["is_given"], row["method"], -row["asked"]))
    return pd.DataFrame(rows, columns=list(COLUMNS)), notes


def remarkable(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of which there is something to say: without those that are the same, or that only one store has."""
    return table[~table["verdict"].isin(_UNREMARKABLE) | (table["other_changes"] != "")]


def conclusion(table: pd.DataFrame) -> str:
    """One line with the number of each verdict."""
    counts = table["verdict"].value_counts(sort=False)
    order = (
        *REGRESSIONS,
        BETTER,
        MENDED,
        WITHIN_NOISE,
        OTHERWISE,
        SAME,
        ONE_SEED,
        NEITHER,
        NO_COMMON_SEED,
        ONLY_OLD,
        ONLY_NEW,
    )
    return ", ".join(f"{counts[verdict]} {verdict}" for verdict in order if verdict in counts)


def _row(key: dict[str, Any], group: pd.DataFrame) -> dict[str, Any]:
    last = group.iloc[-1]
    asked = last["asked"]
    row: dict[str, Any] = {
        **key,
        "method": last["method"],
        "differences": np.array([]),
        "other_changes": "",
        "seeds": 0,
        "is_given": last["role"] == GIVEN,
    }
    row["asked"] = 0 if pd.isna(asked) else int(asked)
    old, new = (_by_seed(group[group["side"] == side]) for side in ("old", "new"))
    if not len(old) or not len(new):
        return {**row, "verdict": ONLY_NEW if not len(old) else ONLY_OLD}
    both = old.index.intersection(new.index)
    done = [seed for seed in both if {old.at[seed, "status"], new.at[seed, "status"]} == {FINISHED}]
    lost = [seed for seed in both if old.at[seed, "status"] == FINISHED != new.at[seed, "status"]]
    gained = [seed for seed in both if new.at[seed, "status"] == FINISHED != old.at[seed, "status"]]
    before, after = old.loc[done], new.loc[done]
    row["seeds"] = len(done)
    if lost or gained:
        seeds, side = (lost, new) if lost else (gained, old)
        text = f"seed {', '.join(map(str, seeds))}: " + str(side.at[seeds[0], "reason"])
        return {**row, "verdict": BROKEN if lost else MENDED, "other_changes": text}
    if not done:
        return {**row, "verdict": NEITHER if len(both) else NO_COMMON_SEED}
    metric = frame.metric_of(group)
    differences = after[metric.test].to_numpy(dtype=float) - before[metric.test].to_numpy(dtype=float)
    changes = [
        f"{name} {_amount(before[name].mean())} to {_amount(after[name].mean())}"
        for name in (*EXACT, *(() if differences.any() else (_LOSS,)))
        if (before[name].astype(float).to_numpy() != after[name].astype(float).to_numpy()).any()
        and before[name].notna().all()
        and after[name].notna().all()
    ]
    same = OTHERWISE if changes else SAME
    verdict = same if not differences.any() else ONE_SEED if len(differences) == 1 else ""
    lacking = old.index.difference(new.index)
    if len(lacking):
        changes.append(f"seed {', '.join(map(str, lacking))} only in OLD")
    return {
        **row,
        "verdict": verdict,
        "metric": metric.test,
        "higher": metric.higher,
        "floor": smallest_variance(float(after["test_images"].min())) if metric.counts_images else 0.0,
        "old_score": before[metric.test].astype(float).mean(),
        "new_score": after[metric.test].astype(float).mean(),
        "change": differences.mean(),
        "differences": differences,
        "other_changes": "; ".join(changes),
    }


def _test(rows: Sequence[dict[str, Any]]) -> None:
    """Give a verdict to the methods that have none yet: those that differ and have more than one seed."""
    tested = [row for row in rows if row["verdict"] == ""]
    if not tested:
        return
    found = spread([row["differences"] for row in tested], floor=max(row["floor"] for row in tested))
    p_values = holm(list(found.other()))
    for row, p_value, half_width in zip(tested, p_values, found.half_widths(), strict=True):
        row["p_value"], row["change_interval"] = p_value, half_width
        is_better = (row["change"] > 0) == row["higher"]
        row["verdict"] = WITHIN_NOISE if p_value >= 1 - LEVEL else BETTER if is_better else WORSE


def _by_seed(runs: pd.DataFrame) -> pd.DataFrame:
    return runs.drop_duplicates("seed").set_index("seed")


def _amount(value: float) -> str:
    return f"{value:,.0f}" if value.is_integer() else f"{value:,.10g}"
