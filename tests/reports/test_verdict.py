"""The verdict in words, and reports on other metrics than top-1."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import Command
from records import TOP1, record, write_store

from bench.metric import Metric
from bench.reports.columns import PAIR_COLUMNS
from bench.reports.frame import results
from bench.reports.load import load
from bench.reports.report import write
from bench.reports.summary import analyse
from bench.reports.verdict import comparisons, left_out_of_the_verdict, verdict, verdict_table
from bench.store.record import MISSED, Record

SETTING = "net, data, quick"
SEEDS = (0.0, 1.3, -0.9)
NOISE = np.random.default_rng(2).normal(0, 0.15, (20, 3, 3))


def runs(**scores: tuple[float, ...]) -> list[Record]:
    """For each method its scores at 2x, 4x and 8x, by and large; dense has one."""
    made = []
    for place, (method, levels) in enumerate(scores.items()):
        for budget, level in zip([None] if method == "dense" else ["2x", "4x", "8x"], levels, strict=False):
            for seed, shift in enumerate(SEEDS):
                noise = NOISE[place, seed, 0 if budget != "4x" else 1]
                made.append(record(method, seed, round(level + shift + noise, 2), budget))
    return made


def lines(records: list[Record]) -> list[str]:
    frame = results(records)
    return verdict(frame, analyse(frame), SETTING)


def test_which_keeps_the_most_by_how_much_and_how_sure() -> None:
    found = lines(runs(dense=(90,), good=(89.9, 85), fair=(87, 82), poor=(80, 70)))
    assert re.fullmatch(
        r"good keeps the most on average over 2x and 4x: its top-1 is [23]\.\d\d ± [01]\.\d\d points better than that "
        r"of fair, the next \(95 % interval; paired over 3 seeds\)\.",
        found[0],
    )
    assert re.match(r"For the same top-1, good stores 0\.\d\d times the values of fair", found[1])
    assert found[2] == "Sure (95 %) to lose at most 0.5 points against dense: good at 2.0x."


def test_a_verdict_that_hangs_on_one_budget_says_so() -> None:
    found = lines(runs(dense=(90,), good=(80, 79, 78), other=(85, 84, 40)))
    assert found[0].startswith("good keeps the most on average over 2x to 8x")
    assert found[1] == "Without 8x, other has the highest mean top-1."
    assert not any(line.startswith("Without") for line in lines(runs(dense=(90,), a=(80, 79, 78), b=(81, 80, 79))))


def test_for_the_same_score_the_next_and_the_extremes_are_named() -> None:
    levels = {"good": (80, 78, 76), "next": (79, 77, 75), "steep": (90, 80, 40), "worst": (77, 70, 60)}
    (said,) = (line for line in lines(runs(dense=(90,), **levels)) if line.startswith("For the same"))
    shares = dict(re.findall(r"([\d.]+)(?: times the values)? of (\w+)", said))
    assert list(shares.values()) == ["next", "steep", "worst"]
    # By hand: from 76 to 80 the next needs half an octave more, and steep 0.05 less; from 76 to 77 the worst 1.68 more.
    expected = [2**-0.5, 2**0.05, 2**-1.68]
    assert [float(share) for share in shares] == pytest.approx(expected, abs=0.08)


def test_what_can_not_be_told_apart_is_said() -> None:
    found = lines(runs(dense=(90,), one=(85, 82), two=(85, 82), poor=(70, 60)))
    assert re.match(
        r"(one and two|two and one) may each be the best on average over 2x and 4x: they can't be told apart", found[0]
    )
    assert "; 1 other is worse." in found[0]
    assert found[-1] == "At no size is a method sure (95 %) to lose at most 0.5 points against dense."


def test_what_is_said_agrees_with_the_interval_that_is_shown() -> None:
    """The test is one-sided, and the interval has two sides."""
    random = np.random.default_rng(0)
    for _ in range(60):
        noise = random.normal(0, 0.5, (2, 3))
        frame = results(
            [
                record(method, seed, round(float(80 + shift + noise[place, seed]), 2), "2x")
                for place, method in enumerate("ab")
                for seed, shift in enumerate(SEEDS)
            ]
        )
        analysis = analyse(frame)
        other = analysis.overall.set_index("standing", drop=False).sort_values("score").iloc[0]
        holds = abs(other["difference"]) <= other["difference_interval"]
        assert ("may each be the best" in verdict(frame, analysis, SETTING)[0]) == holds


def test_one_seed_or_one_method_is_no_verdict() -> None:
    lone = [made for made in runs(dense=(90,), a=(85, 82), b=(84, 80)) if made["seed"] == 0]
    assert re.match(
        r"a has the highest mean top-1 on average over 2x and 4x, 1\.\d\d points before b: one seed can't tell",
        lines(lone)[0],
    )
    assert lines(runs(dense=(90,), a=(85, 82)))[0].startswith(
        "There is no verdict on which method keeps the most: a verdict needs two"
    )
    failed = [record("dense", 0, None, status="failed", reason="x", stored_values=None)]
    assert lines(failed) == ["Nothing to compare: no run finished.", "failed: dense, seed 0: x"]


def test_budgets_that_a_method_missed_are_named() -> None:
    records = [made for made in runs(dense=(90,), a=(85, 82), b=(84, 80), c=(83, 80)) if made["id"] != "x"]
    kept = [made for made in records if (made["method"], made["budget"]) != ("c", "4x")]
    kept += [record("c", seed, None, "4x", status=MISSED, reason="too small") for seed in range(3)]
    frame = results(kept)
    analysis = analyse(frame)
    assert left_out_of_the_verdict(analysis, SETTING) == ["Not in the verdict: c, with fewer budgets met."]
    assert analysis.overall["method"].tolist() == ["a", "b"]


def test_each_budget_has_a_line_with_what_its_seeds_could_tell() -> None:
    frame = results(runs(dense=(90,), good=(89, 87), fair=(86, 83)))
    found = comparisons(analyse(frame).summary, TOP1)
    assert re.fullmatch(
        r"At 2x \(500 values\): good may be the best of 2\. A difference of \d\.\d\d points would mostly show, with "
        r"five seeds \d\.\d\d\.",
        found[0],
    )
    assert found[-1].startswith("Each budget is tested separately")


def test_pairs_are_in_a_file_both_ways_and_with_dense() -> None:
    pairs = analyse(results(runs(dense=(90,), a=(89, 87), b=(86, 83)))).pairwise
    assert list(pairs.columns) == list(PAIR_COLUMNS)
    at = pairs[pairs["budget"] == "2x"].set_index(["method", "other"])
    assert set(at.index) == {("a", "b"), ("b", "a"), ("a", "dense"), ("b", "dense")}
    assert at.loc[("a", "b"), "difference"] == -at.loc[("b", "a"), "difference"]
    assert at.loc[("b", "a"), "worse_p_value"] < 0.05 < at.loc[("a", "b"), "worse_p_value"]
    inside = (at["difference"].abs() <= at["difference_interval"]).tolist()
    assert inside == (at["p_value"] >= 0.05).tolist()


# ---------------------------------------------------------------------- another metric

ERROR = Metric("rmse", "RMSE", "mm", higher=False)


def of_another_metric() -> list[Record]:
    """Where less is better, in another unit."""
    made = []
    for one in runs(dense=(90,), good=(89.5, 88), fair=(86, 83)):
        score = round((100 - one["test_top1"]) / 10, 3)
        own = {**ERROR.columns(), "test_rmse": score, "validation_rmse": score + 0.1}
        gone = dict.fromkeys(["test_top1", "test_top5", "validation_top1"])
        made.append({**one, **own, **gone})
    return made


def test_less_may_be_better_and_nothing_says_top_1() -> None:
    frame = results(of_another_metric())
    analysis = analyse(frame)
    table = analysis.summary.set_index(["method", "budget"])
    assert table.loc[("good", "2x"), "standing"] == "may be the best"
    assert table.loc[("fair", "2x"), "standing"] == "not the best"
    assert table.loc[("fair", "2x"), "difference"] > 0
    assert table["as_good_as_dense"].isna().all()
    found = verdict(frame, analysis, SETTING)
    assert re.match(
        r"good keeps the most on average over 2x and 4x: its RMSE is 0\.\d\d ± 0\.\d\d mm better than that of fair",
        found[0],
    )


@pytest.mark.slow
def test_a_whole_report_on_another_metric(tmp_path: Path, command: Command) -> None:
    store = write_store(tmp_path / "store", [record("dense", 0, 90.0)])
    records = of_another_metric()
    for folder in (store / "runs").iterdir():
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
    for made in records:
        made["id"] = f"{made['id']}rmse"
    write_store(tmp_path / "store", [{**made, "status": "finished"} for made in records], epochs=0)
    loaded = load([store])
    write(loaded, tmp_path / "report")
    for name in ("summary.md", "summary.tex", "index.html"):
        text = (tmp_path / "report" / name).read_text()
        words = re.sub(r"(?s)<script.*?</script>", "", text)
        assert "RMSE mm" in words
        about = re.sub(r"Top-1 and top-5 accuracy are both given|top-5", "", words)  # ShrinkBench's own demand
        assert not re.search(r"top-?1", about, re.IGNORECASE), name
    _, out, _ = command("report", str(store), "--out", str(tmp_path / "again"))
    assert "RMSE mm" in out
    assert "top-1" not in out
    _, shown, _ = command("show", str(store))
    assert "RMSE mm" in shown
    assert isinstance(analyse(loaded.runs).summary, pd.DataFrame)


def test_each_budget_has_a_row_on_top() -> None:
    """The highest mean, how far before the next with its interval, who may be as good, who is worse."""
    frame = results(runs(dense=(90,), a=(85, 82), b=(84.9, 82), c=(60, 50)))
    found = verdict_table(analyse(frame), SETTING, TOP1)
    pairs = analyse(frame).pairwise.set_index(["budget", "method", "other"])
    assert [row[0] for row in found] == ["2x", "4x"]
    gap, p_value = (pairs.loc[("2x", "b", "a"), name] for name in ("difference", "worse_p_value"))
    assert gap < 0
    assert found[0][1].startswith("a 8")
    assert found[0][2:] == (f"{-gap:.2f} ahead of b (p = {p_value:.3f})", "b", "c")
    assert p_value > 0.1


def test_an_interval_that_is_surer_than_the_test_is_said_to_be_of_one_pair() -> None:
    """Among many methods the test asks for more than the interval of two."""
    random = np.random.default_rng(3)
    seen = set()
    for lead in np.linspace(0.3, 2, 12):
        levels = {"a": lead, **{f"b{place}": 0.0 for place in range(9)}}
        made = [
            record(method, seed, round(float(80 + level + shift + random.normal(0, 0.4)), 2), "2x")
            for method, level in levels.items()
            for seed, shift in enumerate(SEEDS)
        ]
        said = lines(made)[0]
        pattern = (
            r"leads (\w+) by ([\d.]+) ± ([\d.]+) points, 95 % interval( of this pair alone; corrected, p = (.+))?\)"
        )
        found = re.search(pattern, said)
        if found:
            gap, interval = float(found[2]), float(found[3])
            assert gap == interval or (gap > interval) == bool(found[4])
            # Who may be the best is listed before the colon; the p-value agrees.
            assert not found[5] or (found[1] in said.partition(":")[0]) == (float(found[5]) >= 0.05)
            seen.add(bool(found[4]))
    assert seen == {True, False}
