"""What a sweep takes where it is not told. Here alone: the command line says them without loading what checks them."""

from typing import Final

BUDGETS = ("2x", "4x", "8x")
SEEDS = 3
MODEL, DATASET, SCHEDULE = "resnet8", "glyphs", "quick"
DEVICE: Final = "auto"
DATA_DIR = "data"
KEEP_WEIGHTS: Final = "all"
