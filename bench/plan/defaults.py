"""Every default of a sweep. It imports nothing else of bench, so that `--help` is quick."""

from typing import Final

# Three sizes, and the fewest seeds that show a spread. Both were chosen, and not measured.
BUDGETS = ("2x", "4x", "8x")
SEEDS = 3
# Factors of the schedule's learning rate. Every method is trained at each, and so is dense.
LEARNING_RATES = ("1x",)
MODEL, DATASET, SCHEDULE = "resnet8", "glyphs", "quick"
# What `--distill` sets: the teacher's part of the loss.
DISTILLATION = 0.5
DEVICE: Final = "auto"
DATA_DIR = "data"
# The executor that makes the runs: a file of `bench/executors`. It changes no result, so it is not in specs.
EXECUTOR = "here"
# How many runs are made at once. It changes no result, so it is not in specs.
JOBS = "auto"
# Of torch, in each process that makes runs. The last bits of results depend on it.
THREADS = 1
# Whether training steps are compiled. Auto: if that saves more time than it takes.
COMPILE: Final = "auto"
KEEP_WEIGHTS: Final = "all"
SAVE_EVERY = 60.0  # seconds
# A sweep measures the latency of its networks for so long. The next sweep on the store measures the rest.
LATENCY_SECONDS = 600.0
# Of decoded images that are kept. They also take no more than half of the free space.
CACHE_GB = 20.0

# Of `bench compress`: methods whose networks are smaller where they run, with the plain narrower network, and csg. A
# search has time for three. It leaves out width, which trains from scratch: few epochs are not enough for that.
FINE_TUNING = "finetune"
TRIED_METHODS = ("lowrank", "pruning", "width", "csg:init=svd")
SEARCHED_METHODS = ("lowrank", "pruning", "csg:init=svd")

# The value of `--corruptions` without a folder: corrupted images are computed from the test images.
COMPUTED = "computed"
