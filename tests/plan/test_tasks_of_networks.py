"""A dataset names its task and its network, and a network may name its task."""

import pytest

from bench.errors import InputError
from bench.plan import plan as plans
from bench.plan import spec as specs


def planned(**settings: str) -> plans.Plan:
    return plans.from_spec(specs.check({"methods": ["csg"], **settings}))


def test_a_dataset_s_own_network_is_taken_where_none_is_named() -> None:
    of_pixels, of_images = planned(dataset="shapes"), planned()
    assert (of_pixels.spec.model, of_pixels.setting.dataset.task.name) == ("deeplabv3-resnet8", "segmentation")
    assert (of_images.spec.model, of_images.setting.dataset.task.name) == ("resnet8", "classification")
    assert planned(dataset="shapes", model="resnet8").spec.model == "resnet8"
    assert planned(model="resnet8").runs[0].id == of_images.runs[0].id


def test_a_network_for_another_task_is_refused() -> None:
    with pytest.raises(
        InputError, match="is a network for segmentation, and glyphs a dataset for classification: choose"
    ):
        planned(dataset="glyphs", model="deeplabv3-resnet8")
