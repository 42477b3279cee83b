"""Records of older forms: brought to today's, once and for all."""

import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from records import RECORDS

from bench.errors import InputError, TooNew
from bench.metric import Metric
from bench.plan.method_choice import find_methods
from bench.plugins import discovery, options
from bench.reports.frame import results
from bench.roles import GLOBAL_PRUNING, LAYERWISE_PRUNING, NARROWER, RANDOM_PRUNING, REFERENCE
from bench.runs.steps.columns import flat
from bench.store.record import COLUMNS, FORMAT, problem
from bench.store.upgrade import LATER_OPTIONS, upgraded
from bench.training.schedule import Schedule

ROOT = Path(__file__).resolve().parents[1]

# What the columns of today were not in version 0.1.
SINCE = {"format", "role", "task", "headline", "model_code", "model_package", "bench_code"}


def old(text: str) -> dict[str, Any]:
    """What version 0.1 wrote of this method, so far as it matters here."""
    (choice,) = find_methods([text])
    known = {name: value for name, value in RECORDS[2].items() if name not in SINCE}
    given = options.everything(choice.method).items()
    flat = {f"option.{name}": options.text_of(value) if isinstance(value, list) else value for name, value in given}
    return {**known, "method_name": choice.name, "method_text": text, "method_code": "a", "dataset_code": "b", **flat}


# What was given came later.
PLAIN = [*discovery.available(discovery.METHODS).keys() - {"given"}, "csg:generator=binary", "pruning:until=0.75"]
SPARSE = [
    f"sparse:criterion={criterion}:training={training}"
    for criterion, training in product(("global", "layerwise", "random"), ("one-shot", "gradual", "rigl"))
]
PRUNING = [
    f"pruning:importance={importance}:scope={scope}"
    for importance, scope in product(
        ("lamp", "group-norm", "magnitude", "bn-scale", "taylor", "random"), ("global", "layerwise")
    )
]


def possible(text: str) -> bool:
    try:
        find_methods([text])
    except InputError:
        return False
    return True


@pytest.mark.slow
def test_old_records_get_the_role_that_their_method_has_today() -> None:
    texts = [*filter(possible, [*PLAIN, *SPARSE, *PRUNING])]
    assert len(texts) > 25
    for text in texts:
        (choice,) = find_methods([text])
        assert upgraded(old(text))["role"] == (choice.method.role or None), text


@pytest.mark.parametrize(
    ("text", "role"),
    [
        ("dense", REFERENCE),
        ("width", NARROWER),
        ("csg", None),
        ("sparse", GLOBAL_PRUNING),
        ("sparse:criterion=layerwise:training=gradual", LAYERWISE_PRUNING),
        ("sparse:criterion=random", RANDOM_PRUNING),
        ("sparse:training=rigl", None),
        ("pruning", GLOBAL_PRUNING),
        ("pruning:importance=magnitude:scope=layerwise", LAYERWISE_PRUNING),
        ("pruning:importance=random:scope=layerwise", RANDOM_PRUNING),
        ("pruning:importance=taylor", None),
    ],
)
def test_roles_by_hand(text: str, role: str | None) -> None:
    assert upgraded(old(text))["role"] == role


def test_an_old_record_is_one_of_today_and_stays_it() -> None:
    made = upgraded(old("csg"))
    assert problem(made) is None
    assert made.keys() >= COLUMNS.keys()
    assert made["format"] == FORMAT
    assert Metric.of(made) == Metric("top1", "top-1", "%", higher=True, counts_images=True)
    # Hashes of then say nothing of today's, and neither do those that were not there.
    assert {made[name] for name in ("method_code", "dataset_code", "model_code", "bench_code")} == {None}
    assert upgraded(made) == made
    assert made["test_top1"] == RECORDS[2]["test_top1"]


@pytest.mark.parametrize(("text", "slice_"), [("csg", None), ("csg:half=true", None), ("csg:slice=12x12", "12x12")])
def test_slices_of_16x16_were_what_nothing_said_stood_for(text: str, slice_: str | None) -> None:
    then = {**old(text), "option.slice": slice_ or "16x16", "format": 5}
    assert upgraded(then)["option.slice"] == slice_


def test_a_record_of_today_is_left_as_it_is() -> None:
    made = {**LATER_OPTIONS, **RECORDS[2], "role": "something", "method_code": "a"}
    assert upgraded(made) == made
    assert upgraded({**made, "schedule.blur": 0.5})["schedule.blur"] == 0.5


def test_a_run_from_before_an_option_of_schedules_is_of_one_setting_with_a_later_one() -> None:
    """Every option that version 0.1 did not have is among them, at the default with which it came."""
    (old_one, *_) = (ROOT / "store" / "format_0" / "runs").glob("*/record.json")
    then = json.loads(old_one.read_bytes())
    now = flat("schedule", options.everything(Schedule(epochs=1)))
    assert {name: now[name] for name in now.keys() - then.keys()} == LATER_OPTIONS
    runs = [{**RECORDS[2], "id": "early"}, {**RECORDS[2], **LATER_OPTIONS, "id": "late", "seed": 9}]
    assert results(map(upgraded, runs))["setting"].nunique() == 1
    runs[1]["schedule.blur"] = 0.5
    assert results(map(upgraded, runs))["setting"].nunique() == 2


def test_a_newer_record_is_refused_by_its_number() -> None:
    with pytest.raises(TooNew, match=f"it has format {FORMAT + 1}, of a newer bench; this one reads up to {FORMAT}"):
        upgraded({**RECORDS[0], "format": FORMAT + 1})
