"""Estimates the remaining time of a sweep from the speed of training so far."""

from collections.abc import Sequence

from bench.store.record import FINISHED, Record
from bench.watching.look import STOPPED, UNDER_WAY, WAITING, Run


def seconds_left(runs: Sequence[Run]) -> float | None:
    """Seconds until the last run is made, if as many runs as now are made at a time. None if no run is under way or no
    epoch was trained.

    A run under way is assumed to keep its speed, and a waiting run to have the mean speed of all. The remaining work is
    shared among the runs under way. The result is at least the remaining time of the slowest of them.
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
    """Seconds that a run took. For a run that was stopped and continued, the total only covers its last process."""
    own = (record["train_seconds"] or 0.0) - (record["prefix_seconds"] or 0.0)
    return max(record["total_seconds"] or 0.0, own)


def _rest(run: Run, mean: float) -> float:
    told = None if run.making is None else run.making.told
    if run.making is None or told is None:
        return mean * run.planned.work
    # Less than half an epoch says little about a run's own speed.
    own = told.seconds / told.trained if told.trained >= 0.5 else mean
    done = max(run.making.epoch - told.run.begins, 0.0)
    return own * max(run.planned.work - done, 0.0)
