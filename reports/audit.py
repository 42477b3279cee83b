"""The fairness audit: what each method was given, and what was the same for all. It uses the frame of
`bench.reports.frame`."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from bench.reports.frame import texts
from bench.reports.statistics import rates
from bench.roles import GIVEN, REFERENCE
from bench.store.record import COMPRESSED, FAILED, FINISHED, MISSED

_COLUMNS = (
    *("setting", "status", "reason", "method", "method_name", "method_text", "role", "variants", "budget", "seed"),
    *(
        "model",
        "dataset",
        "asked",
        "schedule",
        "weights",
        "weights_code",
        "weights_epochs",
        "weights_form",
        "weights_form_reason",
        "normalise",
        "corruptions",
        "compiled",
        "dense_values",
    ),
    *(
        "exceptions",
        "gradients",
        "step_kernels",
        "step_outputs",
        "compress_epoch",
        "compress_seconds",
        "train_seconds",
        "started",
        "data",
        "train_images",
    ),
    *(
        "validation_images",
        "test_images",
        "leaked_images",
        "class_names",
        "method_code",
        "dataset_code",
        "model_code",
        "task_code",
        "precision",
        "batch_parts",
        "device",
        "device_name",
    ),
    *("threads", "processes", "bench_version", "torch_version", "python_version", "platform", "git_commit"),
)


@dataclass(frozen=True)
class MethodAudit:
    """The audit of one method in one setting, in words and numbers."""

    method: str
    start: str
    epochs: str
    variants: int
    rates: str
    seeds: str
    training: str
    own_cost: str
    exceptions: str
    gradients: str
    steps: str
    met: str
    missed: list[str]
    failed: list[str]
    code: str


@dataclass(frozen=True)
class SettingAudit:
    """The audit of one setting.

    `facts` are the conditions that are the same for all runs, as name and text. `warnings` are the conditions that
    should be the same but are not. `curves` has the mean validation score of each learning rate, if several were tried.
    """

    facts: list[tuple[str, str]]
    warnings: list[str]
    methods: list[MethodAudit] = field(default_factory=list)
    curves: rates.Curves | None = None


def audits(runs: pd.DataFrame) -> dict[str, SettingAudit]:
    """The audit of every setting, by name, in the order of the settings. `runs` are the runs at all learning rates;
    only the parts about rates use the runs that don't count."""
    # Records have more than a hundred columns. Keep the few that are grouped below by method and budget.
    schedule = [name for name in runs.columns if str(name).startswith("schedule.")]
    tried: dict[str, list[rates.Tried]] = {}
    for each in rates.tried_in(runs):
        tried.setdefault(each.cell.setting, []).append(each)
    own = rates.chosen(runs)[[*_COLUMNS, *schedule]]
    return {str(name): _audit(rows, tried[str(name)]) for name, rows in own.groupby("setting", sort=False)}


def _audit(runs: pd.DataFrame, tried: list[rates.Tried]) -> SettingAudit:
    finished = runs[runs["status"] == FINISHED]
    dense = finished[finished["role"] == REFERENCE]
    by_text: dict[str, list[rates.Tried]] = {}
    for each in tried:
        by_text.setdefault(each.cell.method_text, []).append(each)
    methods = [
        _method(rows, dense, by_text[str(rows["method_text"].iloc[0])]) for _, rows in runs.groupby("method", sort=True)
    ]
    first = [str(name) for role in (GIVEN, REFERENCE) for name in runs.loc[runs["role"] == role, "method"].unique()]
    methods.sort(key=lambda row: first.index(row.method) if row.method in first else len(first))
    warnings = [*_warnings(runs, finished), *_unlike(runs, tried)]
    return SettingAudit(_facts(runs), warnings, methods, rates.curves_of(tried))


def _unlike(runs: pd.DataFrame, tried: list[rates.Tried]) -> list[str]:
    """A warning if some methods were tried at more learning rates than others. A network without epochs of its own
    doesn't count."""
    has_own = ~(runs["compress_epoch"].astype(float) >= runs["schedule.epochs"].astype(float))
    trained = set(runs.loc[has_own & (runs["role"] != GIVEN), "method_text"])
    by_factors: dict[str, set[str]] = {}
    for each in tried:
        if each.cell.method_text in trained:
            by_factors.setdefault(rates.listed(each.all_factors), set()).add(each.method)
    if len(by_factors) < 2:
        return []
    said = [f"{factors} ({', '.join(sorted(methods))})" for factors, methods in by_factors.items()]
    return [f"Methods were not tried at the same learning rates: {'; '.join(said)}."]


def schedule_hash(runs: pd.DataFrame) -> str:
    """A hash of all options of the schedule: the same for the same schedule, whatever its name."""
    first = runs.iloc[0]
    fields = {name: str(first[name]) for name in sorted(runs.columns) if str(name).startswith("schedule.")}
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:16]


def _facts(runs: pd.DataFrame) -> list[tuple[str, str]]:
    first = runs.iloc[0]
    schedule = {
        str(name).removeprefix("schedule."): first[name] for name in runs.columns if str(name).startswith("schedule.")
    }
    written = ", ".join(f"{name} {value}" for name, value in schedule.items() if not pd.isna(value))
    images = [f"{_whole(first[f'{split}_images'])} {split}" for split in ("train", "validation", "test")]
    facts = [
        ("network", f"{first['model']}, dense {_whole(first['dense_values'])} values"),
        ("images", f"{first['dataset']}: {', '.join(images)}; the test split is evaluated once, after the last epoch"),
        ("test images that are training or validation images too", _leaked(runs)),
        ("hash of images, labels and split", every(runs["data"])),
        ("each test image is seen", _views(schedule)),
        ("schedule", f"{first['schedule']}: {written}"),
        ("hash of the schedule", schedule_hash(runs)),
        ("starts from", _weights(first)),
        ("images are standardised by", _standard(first)),
        ("corrupted images", every(runs["corruptions"])),
        ("seeds", every(runs["seed"])),
        (
            "hardware",
            f"{every(runs['device_name'])} ({every(runs['device'])}), threads {every(runs['threads'])}"
            f"{_processes(runs)}",
        ),
        ("precision of training", every(runs["precision"])),
        (
            "versions",
            f"bench {every(runs['bench_version'])}, torch {every(runs['torch_version'])}, "
            f"Python {every(runs['python_version'])}, {every(runs['platform'])}",
        ),
        ("commits", every(runs["git_commit"]) or "unknown"),
        ("runs", f"{_span(runs['started'])}"),
    ]
    return [(name, text) for name, text in facts if text]


def _processes(runs: pd.DataFrame) -> str:
    """Text about processes; empty if one process made each run."""
    found = every(runs["processes"])
    return "" if found in ("", "1") else f", processes a run {found}"


def _views(schedule: Mapping[str, Any]) -> str:
    """How the test sees each image; empty if it sees each image once, unchanged."""
    # Compare as text: a run of an earlier version has neither option.
    scales, flip = str(schedule.get("test_scales", "1.0")), str(schedule.get("test_flip", False))
    if (scales, flip) == ("1.0", "False"):
        return ""
    mirrored = ", mirrored too" if flip == "True" else ""
    return f"at scales {scales}{mirrored}; probabilities are averaged. Validation images are seen once, as they are"


def _leaked(runs: pd.DataFrame) -> str:
    """How many test images were also trained on; empty for runs of earlier versions, which didn't count them."""
    known = runs["leaked_images"].dropna()
    return "" if known.empty else f"{every(known)} of {_whole(runs['test_images'].iloc[0])}, pixel for pixel"


def _warnings(runs: pd.DataFrame, finished: pd.DataFrame) -> list[str]:
    """Why runs of this setting are not fully comparable."""
    lines = []
    for column, what in (
        ("torch_version", "versions of torch"),
        ("device_name", "processors; latency and times are not comparable between them"),
        ("threads", "numbers of threads; latency and times are not comparable between them"),
        ("processes", "numbers of processes per run; times are not comparable between them"),
        ("precision", "precisions of training"),
        ("git_commit", "commits of bench"),
        ("dataset_code", "versions of the dataset's file"),
        ("model_code", "versions of the network's code"),
        ("task_code", "versions of the task's code, such as its loss and its metric"),
        ("compiled", "training steps, compiled (yes) or not (no); times are not comparable between them"),
        ("class_names", "names of the classes"),
        ("corruptions", "corrupted images or versions of them"),
    ):
        values = [str(value) for value in dict.fromkeys(finished[column].dropna())]
        if len(values) > 1:
            lines.append(f"Runs were made with different {what}: {', '.join(values)}.")
    changed = sorted({str(commit) for commit in finished["git_commit"].dropna() if str(commit).endswith("+")})
    if changed:
        lines.append(f"Runs were made with code that was changed since its commit: {', '.join(changed)}.")
    in_parts = finished[finished["batch_parts"].astype(float) > 1]
    if len(in_parts):
        lines.append(
            "Batches did not fit into memory and were computed in parts, so that batch norm saw fewer images at once: "
            f"{', '.join(sorted(set(in_parts['method'])))}."
        )
    # By the method's name: its variants are compared with each other, too.
    versions = finished.groupby("method_name")["method_code"].nunique()
    mixed = [f"{method} ({count})" for method, count in versions[versions > 1].items()]
    if mixed:
        lines.append(
            f"Methods whose own code changed between their runs, with the number of versions: {', '.join(mixed)}."
        )
    trained = finished[finished["role"] != GIVEN]
    seeds = trained.groupby(["method", "budget"], dropna=False)["seed"].nunique()
    if seeds.nunique() > 1:
        lines.append(
            f"Methods and budgets have between {seeds.min()} and {seeds.max()} seeds; comparisons are over those that "
            "methods share."
        )
    return lines


def _method(rows: pd.DataFrame, dense: pd.DataFrame, tried: list[rates.Tried]) -> MethodAudit:
    rows = rows.sort_values(["asked", "seed"], ascending=[False, True], kind="stable")
    first = rows.iloc[0]
    finished, epochs = rows[rows["status"] == FINISHED], first["schedule.epochs"]
    before = first["compress_epoch"]
    start = "from scratch"
    if not pd.isna(before) and before > 0:
        start = f"compressed after {_whole(before)} of {_whole(epochs)} dense epochs, which count"
    is_given = first["role"] == GIVEN
    if is_given:
        start = f"{first['weights']} as it came, not trained here"
    elif not pd.isna(first["weights"]):
        start += f", from {first['weights']}{_form(finished)}"
    budgets = list(dict.fromkeys(texts(rows["budget"], "its own size")))
    met = list(dict.fromkeys(texts(finished["budget"], "its own size")))
    return MethodAudit(
        method=str(first["method"]),
        start=start,
        epochs=_whole(0 if is_given else epochs) + _epochs_before(first),
        variants=int(first["variants"]),
        rates=rates.in_words(tried),
        seeds=every(finished["seed"]) or "none",
        training=_relative(finished, dense),
        own_cost=_seconds(finished["compress_seconds"]),
        exceptions=every(finished["exceptions"]) or "none",
        gradients=every(finished["gradients"]) or "unknown",
        steps=_steps(finished),
        met=f"{len(met)} of {len(budgets)}: {', '.join(met)}" if met else f"none of {len(budgets)}",
        missed=_reasons(rows[rows["status"] == MISSED]),
        failed=_reasons(rows[rows["status"] == FAILED]),
        code=every(finished["method_code"]),
    )


def _form(finished: pd.DataFrame) -> str:
    """How each run used a backbone that another method had compressed, by budget if budgets differ."""
    known = finished[finished["weights_form"].notna()]
    budgets: dict[str, list[str]] = {}
    for form, reason, budget in zip(
        known["weights_form"], known["weights_form_reason"], texts(known["budget"], "its own size"), strict=True
    ):
        said = "as it was left, compressed" if form == COMPRESSED else f"its kernels in full ({reason})"
        own = budgets.setdefault(said, [])
        own += [] if budget in own else [budget]
    if len(budgets) < 2:
        return "".join(f": {said}" for said in budgets)
    return ": " + "; ".join(f"{said} at {', '.join(own)}" for said, own in budgets.items())


def _steps(finished: pd.DataFrame) -> str:
    """How far a first step moves the outputs (relative to dense) and the generated kernels: the range over all
    budgets."""
    if len(finished) and finished["role"].iloc[0] == REFERENCE:
        return "1"
    parts = []
    for column, what in (("step_outputs", "outputs"), ("step_kernels", "kernels")):
        found = finished[column].dropna().astype(float)
        if len(found):
            parts.append(f"{what} {_range(found.min(), found.max(), '{:.2g}')}")
    return "; ".join(parts) or "unknown"


def _epochs_before(first: "pd.Series[Any]") -> str:
    if pd.isna(first["weights"]):
        return ""
    before = first["weights_epochs"]
    return " + an unknown number before" if pd.isna(before) else f" + {_whole(before)} before"


def _relative(finished: pd.DataFrame, dense: pd.DataFrame) -> str:
    """Training time, also relative to the dense runs: the least and the most of the budgets' means."""
    seconds = finished.groupby("budget", dropna=False)["train_seconds"].mean().astype(float).dropna()
    if not len(seconds):
        return ""
    text = _range(seconds.min(), seconds.max(), "{:.3g}") + " s"
    base = float(dense["train_seconds"].astype(float).mean()) if len(dense) else float("nan")
    if base > 0:
        text += f", {_range(seconds.min() / base, seconds.max() / base, '{:.2f}')} of dense"
    return text


def _seconds(column: "pd.Series[Any]") -> str:
    known = column.dropna().astype(float)
    return f"{_range(known.min(), known.max(), '{:.2g}')} s" if len(known) else ""


def _range(low: float, high: float, pattern: str) -> str:
    one, other = pattern.format(low), pattern.format(high)
    return one if one == other else f"{one} to {other}"


def _reasons(rows: pd.DataFrame) -> list[str]:
    """A line for each budget and reason, with the seeds."""
    if not len(rows):
        return []
    filled = rows.assign(budget=texts(rows["budget"], "its own size"), reason=texts(rows["reason"], "no reason given"))
    return [
        f"{budget}, seed {every(group['seed'])}: {reason}"
        for (budget, reason), group in filled.groupby(["budget", "reason"], sort=False)
    ]


def _weights(first: "pd.Series[Any]") -> str:
    if pd.isna(first["weights"]):
        return "initial weights that the seed makes, the same for every method"
    epochs = first["weights_epochs"]
    return (
        f"finished weights {first['weights']} ({first['weights_code']}), trained before for "
        f"{'an unknown number of' if pd.isna(epochs) else _whole(epochs)} epochs, the dense run too"
    )


def _standard(first: "pd.Series[Any]") -> str:
    own = "the mean and deviation of the training images"
    return "" if pd.isna(first["normalise"]) else own if first["normalise"] == "dataset" else str(first["normalise"])


def _span(started: "pd.Series[Any]") -> str:
    times = sorted(str(time) for time in started.dropna())
    return f"{len(started)}, started from {times[0]} to {times[-1]}" if times else str(len(started))


def _whole(value: Any) -> str:
    return "unknown" if pd.isna(value) else f"{int(value):,}"


def every(column: "pd.Series[Any]") -> str:
    """The different values of a column, in order of appearance."""
    return ", ".join(str(value) for value in dict.fromkeys(column.dropna()))
