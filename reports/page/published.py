"""Published results to show beside measured ones. They come from other code, schedules and images, and are never mixed
with measured ones."""

from functools import lru_cache
from importlib import resources

import pandas as pd

# The image sets of published points: the name, the number of training images (including held-out ones) and the number
# of test images.
# A run's images are recognised by these numbers. They may still be other images, like a copy in another format, so
# reports name the images of both.
IMAGES = {
    "cifar10": ("CIFAR-10, the original images", {50_000}, 10_000),
    "imagenet": ("ImageNet's validation images", {1_281_167}, 50_000),
    "voc": ("Pascal VOC 2012's validation images", {1_464, 10_582}, 1_449),
}


@lru_cache
def everything() -> pd.DataFrame:
    """All published points.

    The columns are `images` (the image set), `model` (bench's name), `method` (the authors' words), `stored_values`,
    `metric` (bench's name), `score` (in percent), `source`, and `remark` (how the point differs from ours).
    """
    with resources.as_file(resources.files("bench.reports.page") / "published.csv") as path:
        points: pd.DataFrame = pd.read_csv(path, keep_default_na=False)
        return points


def images_of(runs: pd.DataFrame) -> str | None:
    """The image set with the same numbers of images as the runs of one setting; None if there is none."""
    first = runs.iloc[0]
    training = (first["train_images"] or 0) + (first["validation_images"] or 0)
    fitting = (name for name, (_, some, test) in IMAGES.items() if training in some and first["test_images"] == test)
    return next(fitting, None)


def beside(runs: pd.DataFrame) -> pd.DataFrame:
    """The published points with the same network, metric and images as the runs of one setting."""
    points, first = everything(), runs.iloc[0]
    chosen = points["images"].eq(images_of(runs) or "") & points["metric"].eq(first["headline"])
    found: pd.DataFrame = points[chosen & points["model"].eq(first["model"])]
    return found


def measured_on(runs: pd.DataFrame) -> str:
    """The name of the published points' images for these runs; empty if there are none."""
    images = images_of(runs)
    return "" if images is None else IMAGES[images][0]
