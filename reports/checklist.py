"""ShrinkBench's checklist for comparisons of compression methods, and whether this comparison satisfies it.

Blalock, Gonzalez Ortiz, Frankle and Guttag, "What is the State of Neural Network Pruning?", MLSys 2020, appendix. The
last two lines are from later work (Liu et al., "Rethinking the Value of Network Pruning", ICLR 2019).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from bench.metric import IMAGES
from bench.reports.audit import every
from bench.reports.frame import texts
from bench.roles import GIVEN, GLOBAL_PRUNING, LAYERWISE_PRUNING, NARROWER, RANDOM_PRUNING, REFERENCE
from bench.store.record import COMPRESSED, FINISHED

Answer = Literal["yes", "partly", "no"]

# The numbers of compression ratios and of pairs of network and data are from the paper's checklist. Three seeds are the
# default of a sweep.
_RATIOS, _PAIRS, _SEEDS = 5, 3, 3
_ALL = 100.0


@dataclass(frozen=True)
class Line:
    """One demand, the answer, and the reason for it."""

    demand: str
    answer: Answer
    because: str


def checklist(runs: pd.DataFrame, summary: pd.DataFrame) -> list[Line]:
    """The checklist for all runs of a report together, with its summary."""
    finished = runs[runs["status"] == FINISHED]
    compressed = summary[(summary["role"] != REFERENCE) & summary["asked"].notna()]
    return [
        Line(
            "The exact architecture, dataset and metric are identified",
            "yes",
            f"networks {every(runs['model'])}; hashes of images, labels and split; "
            f"{every(runs['headline_label'])} on the whole test split",
        ),
        _pairs(runs),
        Line(
            "Compression ratio and theoretical speed-up are both given, and defined once",
            "yes" if finished["macs"].notna().all() and len(finished) else "partly",
            "dense / stored values; multiply-accumulates as deployed, and separately those of generating kernels",
        ),
        *_top5(runs, finished),
        _in_each_setting(
            f"At least {_RATIOS} compression ratios for each method, such as 2, 4, 8, 16 and 32", compressed, _points
        ),
        _start(finished),
        _spread(summary[summary["role"] != GIVEN]),
        _in_each_setting("Random, global and layerwise magnitude pruning are among the methods", finished, _baselines),
        Line(
            "Augmentation, optimiser and schedule are the same for all",
            "partly" if finished["exceptions"].notna().any() else "yes",
            "one schedule for each setting (its hash is in the audit); "
            + ("learning rates are chosen alike, by validation; " if runs["rates_tried"].max() > 1 else "")
            + (
                f"declared exceptions: {every(finished['exceptions'])}"
                if finished["exceptions"].notna().any()
                else "no method declares an exception"
            ),
        ),
        _in_each_setting("The methods include a plain narrower network with as many values", finished, _narrower),
        _in_each_setting(
            "A method that compresses a trained network is also trained from scratch, at the same size",
            finished,
            _scratch,
        ),
    ]


def _start(finished: pd.DataFrame) -> Line:
    said = "a run's seed makes its network's weights, whatever the method, and the order of its batches"
    compressed = every(finished.loc[finished["weights_form"] == COMPRESSED, "method"])
    if compressed:
        said += f"; from a backbone that another run compressed, {compressed} take the compressed form"
        said += ", and the other methods take the kernels"
    return Line("All methods start from the same initial weights", "partly" if compressed else "yes", said)


def _pairs(runs: pd.DataFrame) -> Line:
    pairs = runs[["data", "model"]].drop_duplicates()
    answer: Answer = "yes" if len(pairs) >= _PAIRS else "no" if len(pairs) == 1 else "partly"
    return Line(f"At least {_PAIRS} pairs of dataset and architecture", answer, f"{len(pairs)} here")


def _top5(runs: pd.DataFrame, finished: pd.DataFrame) -> list[Line]:
    """The line about top-5, for settings that classify whole images. Top-5 is informative only with more than five
    classes."""
    if not (runs["headline_counts"] == IMAGES).any():
        return []
    finished = finished[finished["headline_counts"] == IMAGES]
    known = finished.get("test_top5", pd.Series(np.nan, finished.index)).notna()
    if not len(finished) or not known.all():
        return [Line("Top-1 and top-5 accuracy are both given", "no", "some runs have no top-5")]
    says = (finished["test_top5"].astype(float) < _ALL).any()
    because = "in the table" if says else "top-5 is 100 % everywhere: five classes or fewer, or an easy dataset"
    return [Line("Top-1 and top-5 accuracy are both given", "yes" if says else "partly", because)]


def _in_each_setting(demand: str, rows: pd.DataFrame, judge: Callable[[pd.DataFrame], tuple[Answer, str]]) -> Line:
    """A demand that every setting must meet by itself. Where settings differ, the reasons say which is which."""
    judged = {str(setting): judge(of_it) for setting, of_it in rows.groupby("setting", sort=False)}
    if not judged:
        return Line(demand, "no", "no such runs")
    answers = {answer for answer, _ in judged.values()}
    answer = answers.pop() if len(answers) == 1 else "partly"
    settings: dict[str, list[str]] = {}
    for setting, (_, because) in judged.items():
        settings.setdefault(because, []).append(setting)
    if len(settings) == 1:
        return Line(demand, answer, next(iter(settings)))
    return Line(demand, answer, "; ".join(f"{because} ({' / '.join(names)})" for because, names in settings.items()))


def _points(compressed: pd.DataFrame) -> tuple[Answer, str]:
    counts = compressed.groupby("method")["asked"].nunique()
    fewer = counts[counts < _RATIOS]
    if not len(fewer):
        return "yes", "met by all"
    if len(fewer) == len(counts):
        return "no", f"at most {counts.max()}"
    return "partly", f"fewer met by {', '.join(sorted(map(str, fewer.index)))}"


def _spread(summary: pd.DataFrame) -> Line:
    demand = f"The spread over at least {_SEEDS} seeds is given"
    if not len(summary):
        return Line(demand, "no", "no finished runs")
    least, most = int(summary["n"].min()), int(summary["n"].max())
    answer: Answer = "yes" if least >= _SEEDS else "partly" if most > 1 else "no"
    found = f"{least}" if least == most else f"{least} to {most}"
    return Line(demand, answer, f"{found} seed{'' if most == 1 else 's'}")


def _baselines(finished: pd.DataFrame) -> tuple[Answer, str]:
    """The baselines that a pruning criterion must beat, found by the roles of methods."""
    roles = (RANDOM_PRUNING, GLOBAL_PRUNING, LAYERWISE_PRUNING)
    lacking = [role for role in roles if not (finished["role"] == role).any()]
    answer: Answer = "yes" if not lacking else "no" if len(lacking) == len(roles) else "partly"
    because = "all three" if not lacking else f"lacking: {', '.join(lacking)} (roles that methods declare)"
    return answer, because


def _narrower(finished: pd.DataFrame) -> tuple[Answer, str]:
    names = sorted(set(texts(finished.loc[finished["role"] == NARROWER, "method_name"])))
    if not names:
        return "no", f"no method here has the role {NARROWER!r}"
    return "yes", f"by {', '.join(names)}"


def _scratch(finished: pd.DataFrame) -> tuple[Answer, str]:
    """Whether each method that starts from a trained network was also trained from scratch. Liu et al. train the shape
    that the trained network had in the end. Here a method chooses a shape of the same size before training."""
    trained = finished[finished["compress_epoch"].astype(float) > 0]
    if not len(trained):
        return "yes", "no method here starts from a trained network"
    scratch = finished[~(finished["compress_epoch"].astype(float) > 0)]
    lacking = sorted(set(trained["method_name"]) - set(scratch["method_name"]))
    answer: Answer = "yes" if not lacking else "no" if len(lacking) == trained["method_name"].nunique() else "partly"
    because = "each, in the shape that it chooses before training"
    if lacking:
        because = f"not {', '.join(map(str, lacking))} (to have it: compress_at=0)"
    return answer, because
