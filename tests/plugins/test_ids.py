"""Ids and names of runs are those of version 0.1: what was made then is found, and not made again."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench.plan import plan, spec

OLD = json.loads((Path(__file__).parent / "ids_0.1.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("old", OLD["settings"], ids=lambda old: str(old["setting"]))
def test_ids_and_names_are_those_of_version_0_1(old: dict[str, Any]) -> None:
    asked = {"methods": OLD["methods"], "budgets": ["2x", "0.3"], "seeds": [0, 7], **old["setting"]}
    assert [
        [run.choice.label, None if run.budget is None else str(run.budget), run.seed, run.id, run.name]
        for run in plan.make(spec.check(asked)).runs
    ] == old["runs"]
