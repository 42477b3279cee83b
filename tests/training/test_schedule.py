"""Schedules: the curves at points worked out by hand, and what is refused."""

from pathlib import Path

import pytest

from bench.errors import InputError
from bench.training import schedule
from bench.training.schedule import Schedule


def test_step_drops_at_each_milestone() -> None:
    step = Schedule(epochs=200, learning_rate=0.05, curve="step", milestones=(0.5, 0.75), drop=0.1)
    rates = [step.learning_rate_at(progress) for progress in (0, 0.499, 0.5, 0.749, 0.75, 1)]
    assert rates == pytest.approx([0.05, 0.05, 0.005, 0.005, 0.0005, 0.0005])


def test_cosine_falls_from_full_through_half_to_zero() -> None:
    cosine = Schedule(epochs=1, learning_rate=0.2, curve="cosine")
    assert [cosine.learning_rate_at(p) for p in (0, 0.5, 1)] == pytest.approx([0.2, 0.1, 0])


def test_one_cycle_rises_for_thirty_percent() -> None:
    cycle = Schedule(epochs=1, learning_rate=1.0, curve="one-cycle")
    assert [cycle.learning_rate_at(p) for p in (0, 0.15, 0.3, 0.65, 1)] == pytest.approx([0.04, 0.52, 1, 0.5, 0])


def test_warmup_rises_linearly_and_shifts_the_rest() -> None:
    warm = Schedule(epochs=1, learning_rate=1.0, curve="cosine", warmup=0.2)
    assert [warm.learning_rate_at(p) for p in (0.05, 0.1, 0.2, 0.6)] == pytest.approx([0.25, 0.5, 1, 0.5])


def test_compression_falls_on_whole_epochs() -> None:
    five = Schedule(epochs=5)
    assert [five.compress_epoch(fraction) for fraction in (0, 0.05, 0.5, 0.9, 1)] == [0, 0, 3, 4, 5]
    assert Schedule(epochs=1).compress_epoch(0.5) == 0


def test_the_paper_schedule() -> None:
    _, found = schedule.find("csg-cifar")
    assert (found.epochs, found.batch_size, found.learning_rate, found.weight_decay) == (200, 192, 0.05, 5e-4)
    assert (found.crop_padding, found.flip, found.momentum) == (4, True, 0.9)
    assert [round(m * found.epochs) for m in found.milestones] == [100, 150]


def test_poly_falls_by_a_power_of_what_is_left() -> None:
    poly = Schedule(epochs=1, learning_rate=0.007, curve="poly", power=0.9)
    assert [poly.learning_rate_at(p) for p in (0, 0.5, 1)] == pytest.approx([0.007, 0.007 * 0.5**0.9, 0])


def test_the_papers_other_schedules() -> None:
    _, imagenet = schedule.find("csg-imagenet")
    assert (imagenet.epochs, imagenet.batch_size, imagenet.learning_rate, imagenet.weight_decay) == (
        100,
        256,
        0.1,
        1e-4,
    )
    rates = [imagenet.learning_rate_at(epoch / 100) for epoch in (29, 30, 60, 90)]
    assert rates == pytest.approx([0.1, 0.01, 0.001, 0.0001])
    assert (imagenet.area, imagenet.flip, imagenet.augments) == ((0.08, 1.0), True, True)
    _, voc = schedule.find("csg-voc")
    assert (voc.epochs, voc.batch_size, voc.learning_rate, voc.weight_decay) == (50, 4, 0.007, 5e-4)
    assert (voc.curve, voc.head_rate, voc.scale, voc.flip) == ("poly", 10, (0.5, 2.0), True)


def test_names_with_changes_and_files(tmp_path: Path) -> None:
    name, changed = schedule.find("quick:epochs=3:curve=step")
    assert (name, changed.epochs, changed.curve) == ("quick:epochs=3:curve=step", 3, "step")
    file = tmp_path / "mine.toml"
    file.write_text("epochs = 7\nmilestones = [0.1, 0.2]\n")
    assert schedule.find(str(file)) == ("mine", Schedule(epochs=7, milestones=(0.1, 0.2)))
    file.write_text("epochs = = 7")
    with pytest.raises(InputError, match="is not TOML"):
        schedule.find(str(file))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "quik",
            "unknown schedule 'quik'; did you mean 'quick'? have: cifar-fast, csg-cifar, csg-imagenet, csg-voc, "
            "finetune, imagenet-fast, quick; or give the path",
        ),
        ("none.toml", "no such schedule file: none.toml"),
        ("quick:epocs=3", "unknown option of schedule 'quick': 'epocs'; did you mean 'epochs'?"),
        ("quick:epochs=0", "schedule 'quick': epochs can't be 0; it is at least 1"),
        ("quick:learning_rate=inf", "schedule 'quick': option learning_rate can't be 'inf'"),
        (
            "quick:alternate=true",
            "schedule 'quick': alternate needs mirrored images: give flip=true",
        ),
        ("quick:milestones=0.7x0.3", "schedule 'quick': milestones can't be (0.7, 0.3); they are rising"),
        ("quick:momentum=0", "schedule 'quick': nesterov needs a momentum above 0"),
    ],
)
def test_what_is_wrong_is_named(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        schedule.find(text)
    assert str(caught.value).startswith(message)
