"""The scales at which a sweep is tested are part of what its runs are, and of nothing that training leaves."""

from typing import Any

import pytest

from bench.errors import InputError
from bench.plan import plan, spec
from bench.plan.plan import Plan
from bench.plan.setting import prefix_id

DEEPLAB = "test_scales=0.5x0.75x1x1.25x1.5x1.75:test_flip=true"


def made(schedule: str, **more: Any) -> Plan:
    asked = {"methods": ["lowrank"], "dataset": "shapes", "schedule": schedule, "seeds": 1, **more}
    return plan.from_spec(spec.check(asked))


def ids(schedule: str) -> set[str]:
    return {run.id for run in made(schedule).runs}


def test_ids_are_others_with_views_and_the_same_without() -> None:
    schedules = ["quick", "quick:test_flip=true", "quick:test_scales=0.5x1", f"quick:{DEEPLAB}"]
    found = [ids(schedule) for schedule in schedules]
    assert len(set().union(*found)) == sum(map(len, found))
    assert ids("quick:test_scales=1:test_flip=false") == found[0]
    assert ids("quick:test_scales=0.50x1.0") == found[2]


def test_they_go_with_a_spec_that_is_written_and_read_again() -> None:
    first = made(f"quick:{DEEPLAB}")
    table = first.spec.model_dump(exclude_none=True)
    assert [run.id for run in plan.from_spec(spec.check(table)).runs] == [run.id for run in first.runs]
    assert all(run.setting.schedule.views.text.startswith("6 scales") for run in first.runs)


def test_states_in_training_are_the_same_however_the_test_is() -> None:
    def state(schedule: str) -> str:
        return prefix_id(made(schedule).setting, 0, 2, {})

    assert state("quick") == state(f"quick:{DEEPLAB}")
    assert state("quick") != state("quick:epochs=3")


def test_what_tells_whole_images_apart_has_no_pixels_to_average() -> None:
    message = (
        "test_scales and test_flip average outputs for pixels, and glyphs is for classification, which says "
        "nothing of pixels; leave them out"
    )
    for option in ("test_flip=true", "test_scales=0.5x1"):
        with pytest.raises(InputError) as error:
            made(f"quick:{option}", dataset="glyphs")
        assert str(error.value) == message
    made("quick:test_scales=1", dataset="glyphs")
