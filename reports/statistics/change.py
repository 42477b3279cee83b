"""The change of a method against the dense network, paired by seed, with its interval."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench.reports.statistics.noise import LEVEL, Array, Spread, spread

# A method is as good as dense if it surely loses no more than this, in points.
MARGIN = 0.5


def changes(rows: Sequence[Array], sizes: Sequence[float], floor: float = 0.0) -> Spread:
    """The mean change of each row of changes by seed, one row for each method and budget of a setting, and how sure it
    is. `sizes` is what each stores or was asked to store; `floor` the least variance of a difference. The test against
    dense is this interval turned round."""
    return spread(rows, sizes, floor)


def as_good(found: Spread, margin: float = MARGIN) -> NDArray[np.bool_]:
    """Which rows surely lose no more than `margin`, at LEVEL, one-sided (nan counts as no)."""
    # The bounds of a two-sided interval at 2 LEVEL - 1 are one-sided bounds at LEVEL.
    lower = found.means - found.half_widths(2 * LEVEL - 1)
    good: NDArray[np.bool_] = np.nan_to_num(lower, nan=-np.inf) >= -margin
    return good
