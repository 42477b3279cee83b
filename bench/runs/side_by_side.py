"""How many runs this machine's cores can make at once, and whether a sweep makes use of it."""

from collections.abc import Sequence

from bench.dataset import Data
from bench.measure.cores import cores
from bench.plan.run import Run
from bench.runs.progress import epochs_of

# To start workers takes some seconds, and on one core so does this work: in pixels that go through training, as many as
# 20,000 images of 32x32 have.
_SHORT = 20_000 * 32 * 32


def is_short(runs: Sequence[Run], data: Data) -> bool:
    """Whether workers would not have begun before it is done."""
    _, height, width = data.image_shape
    return sum(map(epochs_of, runs)) * len(data.train) * height * width < _SHORT


def idle(runs: Sequence[Run], data: Data, threads: int) -> str | None:
    """A line if there are fewer runs than cores, and it matters. Threads are never chosen by how many runs are left:
    bits would depend on it."""
    have, busy = cores(), len(runs) * threads
    if not runs or have < 2 * busy or is_short(runs, data):
        return None
    return (
        f"{len(runs)} runs, with {threads} threads each, leave {have - busy} of {have} cores idle; "
        f"--threads {have // len(runs)} uses them, with results that differ in their last bits"
    )
