"""How long a sweep still takes."""

import pytest
from records import TOP1, record

from bench.store.record import FAILED, FINISHED
from bench.watching.look import STOPPED, UNDER_WAY, WAITING, Making, Run
from bench.watching.planned import Planned
from bench.watching.time_left import seconds_left
from bench.watching.under_way import Told


def planned(work: float, begins: float = 0.0) -> Planned:
    return Planned("0123456789ab", "csg 4x seed 0", begins, 10, work)


def finished(work: float, **seconds: float) -> Run:
    return Run(planned(work), FINISHED, record=record("csg", 0, 90.0, "4x", **{"train_seconds": None, **seconds}))


def at_work(work: float, epoch: float | None, trained: float = 0, seconds: float = 0, begins: float = 0) -> Run:
    told = Told(planned(work, begins), TOP1, 0, 0, epoch, 1.0, trained, seconds)
    return Run(planned(work, begins), UNDER_WAY, making=Making("here", 1, told))


def waiting(work: float) -> Run:
    return Run(planned(work), WAITING)


def test_where_nothing_is_known_nothing_is_said() -> None:
    assert seconds_left([waiting(4), at_work(4, None)]) is None
    assert seconds_left([waiting(4), finished(4, total_seconds=8)]) is None  # nobody is at work
    assert seconds_left([]) is None


def test_a_run_goes_on_at_its_own_speed_and_others_at_the_mean() -> None:
    # Of 10.2 epochs' work 4 are done, the last 3 of them here, in 6 s: 2 s each, and 6.2 are left.
    one = at_work(10.2, epoch=4, trained=3, seconds=6)
    assert seconds_left([one]) == pytest.approx(12.4)
    # The mean: 4 epochs' work in 8 s and 3 in 6 s, 2 s each. So 5 that wait take 10 s.
    assert seconds_left([finished(4, total_seconds=8), one, waiting(5)]) == pytest.approx(22.4)
    # At 9 s each, those 4 and 3 make 42 s for 7: 6 s each for who waits, and still 2 for who is at work.
    assert seconds_left([finished(4, total_seconds=36), one, waiting(5)]) == pytest.approx(42.4)


def test_what_is_left_is_shared_out_and_takes_no_less_than_the_longest() -> None:
    runs = [at_work(10, epoch=5, trained=5, seconds=10), at_work(10, epoch=9, trained=9, seconds=18)]
    # 10 s and 2 s are left; nobody can help with the 10.
    assert seconds_left(runs) == pytest.approx(10)
    # With 20 s more that wait, two share 32 s.
    assert seconds_left([*runs, waiting(10)]) == pytest.approx(16)
    assert seconds_left([*runs, Run(planned(10), STOPPED)]) == pytest.approx(16)
    assert seconds_left([*runs, Run(planned(10), FAILED)]) == pytest.approx(10)


def test_dense_epochs_that_are_shared_are_no_work_of_a_run_and_a_little_training_says_no_speed() -> None:
    # It begins at epoch 5 of 10, and is at 7: 3.2 of 5.2 are left, at 4 s each.
    assert seconds_left([at_work(5.2, epoch=7, trained=2, seconds=8, begins=5)]) == pytest.approx(12.8)
    # A tenth of an epoch took 3 s, with all that comes first; others took 2 s for each.
    runs = [finished(100, total_seconds=200), at_work(5.0, epoch=0.1, trained=0.1, seconds=3)]
    assert seconds_left(runs) == pytest.approx(4.9 * 203 / 100.1)


def test_a_run_that_was_gone_on_with_took_what_all_of_its_epochs_took() -> None:
    # Its last process took 5 s; its own epochs 60 of 80.
    done = finished(10, total_seconds=5, train_seconds=80, prefix_seconds=20)
    assert seconds_left([done, at_work(10, None)]) == pytest.approx(60)
