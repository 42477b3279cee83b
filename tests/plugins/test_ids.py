"""Ids and names of runs are those of version 0.1: what was made then is found, and not made again.

But for methods whose revision rose since, schedules with augmentation, whose numbers are drawn otherwise, and for
pretrained weights, which are known by their content.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from bench.plan import plan, spec
from bench.training import loop

OLD = json.loads((Path(__file__).parent / "ids_0.1.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize(
    "old", [old for old in OLD["settings"] if "weights" not in old["setting"]], ids=lambda old: str(old["setting"])
)
def test_ids_and_names_are_those_of_version_0_1(old: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {"methods": OLD["methods"], "budgets": ["2x", "0.3"], "seeds": [0, 7], **old["setting"]}
    schedule = asked.get("schedule", "quick")
    if schedule.startswith("quick"):  # as it was
        asked["schedule"] = f"{schedule}:learning_rate=0.15"
    later = {run.id for run in plan.from_spec(spec.check(asked)).runs}
    assert not later & {row[3] for row in old["runs"]}  # all of these augment
    monkeypatch.setattr(loop, "REVISION", 1)
    runs = plan.from_spec(spec.check(asked)).runs
    now = [
        [run.choice.label, None if run.budget is None else str(run.budget), run.seed, run.id, run.name] for run in runs
    ]
    assert [row[:3] for row in now] == [row[:3] for row in old["runs"]]
    for run, row, then in zip(runs, now, old["runs"], strict=True):
        assert (row == then) == (run.choice.method.revision == 1)
    assert sum(run.choice.method.revision == 1 for run in runs) > len(runs) / 2


def test_without_augmentation_a_later_way_of_drawing_it_changes_no_id(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = spec.check({"methods": ["csg"], "schedule": "quick:crop_padding=0"})
    now = [run.id for run in plan.from_spec(asked).runs]
    monkeypatch.setattr(loop, "REVISION", loop.REVISION + 1)
    assert [run.id for run in plan.from_spec(asked).runs] == now
