"""Published results to lay measured ones beside: from other code, schedules and images, and never mixed with them."""

from functools import lru_cache
from importlib import resources

import pandas as pd

# What every published point was measured on.
IMAGES = "CIFAR-10, the original images"
_TRAINING, _TEST = 50_000, 10_000


@lru_cache
def everything() -> pd.DataFrame:
    """All points: `model` as bench calls it, `method` in its authors' words, `stored_values`, `test_top1` in percent,
    `source`, and a `remark` on what makes it another thing than ours."""
    with resources.as_file(resources.files("bench.reports.page") / "published.csv") as path:
        points: pd.DataFrame = pd.read_csv(path, keep_default_na=False)
        return points


def beside(runs: pd.DataFrame) -> pd.DataFrame:
    """The points to lay beside the runs of one setting: those of its network, if they are of its metric and its images
    are as many as CIFAR-10's. (They may be other images all the same, as a copy in another format is; reports say what
    both were measured on.)"""
    first = runs.iloc[0]
    training = (first["train_images"] or 0) + (first["validation_images"] or 0)
    if f"test_{first['headline']}" not in everything() or (training, first["test_images"]) != (_TRAINING, _TEST):
        return everything().iloc[:0]
    points: pd.DataFrame = everything()
    return points[points["model"].eq(first["model"])]
