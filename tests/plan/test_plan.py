"""The runs of a plan, and their ids."""

from pathlib import Path
from typing import Any

from conftest import HALVES, tiny_spec

from bench.plan import plan
from bench.plugins import discovery


def test_ids_depend_on_what_is_done_and_on_nothing_else(tmp_path: Path) -> None:
    def ids(*methods: str, **changes: Any) -> list[str]:
        return [run.id for run in plan.from_spec(tiny_spec(list(methods), **changes)).runs]

    base = ids("csg")
    assert ids("csg:tiling=block") == base
    assert ids("other=csg", device="auto", data_dir="/elsewhere", budgets=["0.25"]) == base
    assert ids("csg", dataset="stripes:train=110") == base
    for changes in ({"seeds": [1]}, {"model": "resnet20"}, {"dataset": "stripes:train=111"}, {"schedule": "quick"}):
        assert not set(ids("csg", **changes)) & set(base)
    assert ids("csg:slice=12x12")[0] == base[0]
    assert ids("csg:slice=12x12")[1] != base[1]


def test_all_methods_are_every_one_there_is(tmp_path: Path) -> None:
    runs = plan.from_spec(tiny_spec(["all", "csg:slice=8x8"])).runs
    names = [run.choice.label for run in runs]
    assert {*discovery.available(discovery.METHODS, [HALVES]), "csg:slice=8x8"} - {"given"} == set(names)
    assert len(names) == len(set(names))
    assert names[0] == "dense"
