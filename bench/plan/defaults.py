"""What a sweep takes where it is not told. Here alone: the command line says them without loading what checks them."""

from typing import Final

# Chosen: three sizes, and the fewest seeds that show how much they spread.
BUDGETS = ("2x", "4x", "8x")
SEEDS = 3
# Factors of the schedule's learning rate that every method is tried at, and dense.
LEARNING_RATES = ("1x",)
MODEL, DATASET, SCHEDULE = "resnet8", "glyphs", "quick"
# What `--distill` sets: the teacher's part of the loss.
DISTILLATION = 0.5
DEVICE: Final = "auto"
DATA_DIR = "data"
# Who makes the runs: a file of `bench/executors`. It decides no result, so it is no part of a spec.
EXECUTOR = "here"
# How many runs are made at once. It decides no result, so it is no part of a spec.
JOBS = "auto"
# Of torch, in each process that makes runs: bits depend on it.
THREADS = 1
# Of training steps: where that saves more time than it takes.
COMPILE: Final = "auto"
KEEP_WEIGHTS: Final = "all"
SAVE_EVERY = 60.0  # seconds
# At the end of a sweep, for the latency of its networks; what is left then is measured by the next.
LATENCY_SECONDS = 600.0
# Of decoded images that are kept; and no more than half of what they could have.
CACHE_GB = 20.0

# Of `bench compress`: what is smaller where it runs, the plain narrower network among it, and csg. A search has time
# for three, and in few epochs a network that is trained from scratch has no chance.
FINE_TUNING = "finetune"
TRIED_METHODS = ("lowrank", "pruning", "width", "csg:init=svd")
SEARCHED_METHODS = ("lowrank", "pruning", "csg:init=svd")

# What `--corruptions` takes by itself: corrupted images that are computed from the test images.
COMPUTED = "computed"
