"""How long a sweep still takes, by the speed of what is trained."""

from collections.abc import Sequence

from bench.store.record import FINISHED, Record
from bench.watching.look import STOPPED, UNDER_WAY, WAITING, Run


def seconds_left(runs: Sequence[Run]) -> float | None:
    """Until the last run is made, if as many go on as do now; None if nothing is under way, or no epoch was trained.

    A run under way goes on at its own speed, one that waits at the mean of all. What is left is shared out among those
    that are at work, and takes no less than the one that has most to do.
    """
    at_work = [run for run in runs if run.status == UNDER_WAY]
    worked, seconds = 0.0, 0.0
    for run in runs:
        if run.status == FINISHED and run.record is not None:
            worked += run.planned.work
            seconds += _took(run.record)
        elif run.making is not None and run.making.told is not None:
            worked += run.making.told.trained
            seconds += run.making.told.seconds
    if not at_work or not worked or not seconds:
        return None
    mean = seconds / worked
    rests = [_rest(run, mean) for run in at_work]
    waiting = mean * sum(run.planned.work for run in runs if run.status in (WAITING, STOPPED))
    return max(*rests, (sum(rests) + waiting) / len(at_work))


def _took(record: Record) -> float:
    """Of a run that was stopped and gone on with, the total is of its last process alone."""
    own = (record["train_seconds"] or 0.0) - (record["prefix_seconds"] or 0.0)
    return max(record["total_seconds"] or 0.0, own)


def _rest(run: Run, mean: float) -> float:
    told = None if run.making is None else run.making.told
    if run.making is None or told is None:
        return mean * run.planned.work
    # Of less than half an epoch its own speed says little.
    own = told.seconds / told.trained if told.trained >= 0.5 else mean
    done = max(run.making.epoch - told.run.begins, 0.0)
    return own * max(run.planned.work - done, 0.0)
