"""The change of a method against the dense network, paired by seed, with its interval."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench.reports.statistics.noise import LEVEL, Array, Spread, spread

# A method is as good as dense if we are sure that it loses no more than this, in points.
MARGIN = 0.5


def changes(rows: Sequence[Array], sizes: Sequence[float], floor: float = 0.0) -> Spread:
    """The mean change of each row and how sure it is.

    Each row has the changes by seed of one method and budget of a setting. `sizes` is the stored or requested size of
    each row, and `floor` the least variance of a difference. The test against dense uses the same interval.
    """
    return spread(rows, sizes, floor)


def as_good(found: Spread, margin: float = MARGIN) -> NDArray[np.bool_]:
    """Which rows lose no more than `margin`, with confidence LEVEL, one-sided (nan counts as no)."""
    # The bounds of a two-sided interval at 2 LEVEL - 1 are one-sided bounds at LEVEL.
    lower = found.means - found.half_widths(2 * LEVEL - 1)
    good: NDArray[np.bool_] = np.nan_to_num(lower, nan=-np.inf) >= -margin
    return good
