"""Whether a sweep uses all cores of this machine by making runs at once."""

from collections.abc import Sequence

from bench.dataset import Data
from bench.measure.cores import cores
from bench.plan.run import Run
from bench.runs.progress import epochs_of

# Work that takes one core some seconds, as long as workers take to start. It is in pixels that go through training, as
# many as 20,000 images of 32x32 have.
_SHORT = 20_000 * 32 * 32


def is_short(runs: Sequence[Run], data: Data) -> bool:
    """Whether the runs would be done before workers had started."""
    _, height, width = data.image_shape
    return sum(map(epochs_of, runs)) * len(data.train) * height * width < _SHORT


def idle(runs: Sequence[Run], data: Data, threads: int) -> str | None:
    """A line if many cores stay idle, and the sweep is long. The number of threads is never chosen here, since the last
    bits of results would depend on how many runs are left."""
    have, busy = cores(), len(runs) * threads
    if not runs or have < 2 * busy or is_short(runs, data):
        return None
    return (
        f"{len(runs)} runs, with {threads} threads each, leave {have - busy} of {have} cores idle; "
        f"--threads {have // len(runs)} uses them, with results that differ in their last bits"
    )
