"""Published results to lay measured ones beside: from other code, schedules and images, and never mixed with them."""

from functools import lru_cache
from importlib import resources

import pandas as pd

# The sets of images that points were measured on: what they are called, and how many images are trained (or held out)
# and tested on. By these numbers a run's images are told: they may be other images all the same, as a copy in another
# format is, and reports say what both were measured on.
IMAGES = {
    "cifar10": ("CIFAR-10, the original images", {50_000}, 10_000),
    "imagenet": ("ImageNet's validation images", {1_281_167}, 50_000),
    "voc": ("Pascal VOC 2012's validation images", {1_464, 10_582}, 1_449),
}


@lru_cache
def everything() -> pd.DataFrame:
    """All points: the set of `images`, `model` as bench calls it, `method` in its authors' words, `stored_values`, the
    `metric` as bench calls it and its `score` in percent, `source`, and a `remark` on what makes it another thing than
    ours."""
    with resources.as_file(resources.files("bench.reports.page") / "published.csv") as path:
        points: pd.DataFrame = pd.read_csv(path, keep_default_na=False)
        return points


def images_of(runs: pd.DataFrame) -> str | None:
    """The set that the images of one setting's runs are as many as; None if they are none of these."""
    first = runs.iloc[0]
    training = (first["train_images"] or 0) + (first["validation_images"] or 0)
    fitting = (name for name, (_, some, test) in IMAGES.items() if training in some and first["test_images"] == test)
    return next(fitting, None)


def beside(runs: pd.DataFrame) -> pd.DataFrame:
    """The points to lay beside the runs of one setting: those of its network, its metric and its images."""
    points, first = everything(), runs.iloc[0]
    chosen = points["images"].eq(images_of(runs) or "") & points["metric"].eq(first["headline"])
    found: pd.DataFrame = points[chosen & points["model"].eq(first["model"])]
    return found


def measured_on(runs: pd.DataFrame) -> str:
    """In words, what points beside these runs were measured on; empty if there are none."""
    images = images_of(runs)
    return "" if images is None else IMAGES[images][0]
