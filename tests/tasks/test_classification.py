"""Classification as a task: its loss, its meters, what it keeps, and what it refuses. Numbers by hand or by torch."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from bench.plan.task_choice import find_task

TASK = find_task("classification").task
PLAIN = SimpleNamespace(label_smoothing=0.0)


def logits(images: int, classes: int, seed: int = 0) -> Tensor:
    return torch.randn(images, classes, generator=torch.Generator().manual_seed(seed))


def test_meters_of_two_halves_merge_into_that_of_the_whole() -> None:
    outputs, targets = logits(11, 7), torch.arange(11) % 7
    whole, left, right = (TASK.meter(7) for _ in range(3))
    whole.add(outputs, targets)
    for meter, place in ((left, slice(0, 4)), (right, slice(4, 11))):
        meter.add(outputs[place], targets[place])
    left.merge(right)
    for name, score in whole.scores().items():
        assert left.scores()[name] == pytest.approx(score, rel=1e-7), name
    ranks = (outputs > outputs.gather(1, targets[:, None])).sum(1)
    assert whole.scores()["top1"] == 100 * int((ranks == 0).sum()) / 11
    assert whole.scores()["top5"] == 100 * int((ranks < 5).sum()) / 11
    assert whole.scores()["loss"] == pytest.approx(float(functional.cross_entropy(outputs.double(), targets)), rel=1e-6)


def test_auxiliary_heads_have_a_part_in_the_loss_and_none_in_the_output() -> None:
    main, one, two = (logits(3, 4, seed) for seed in range(3))
    targets = torch.tensor([0, 3, 1])
    losses = [float(functional.cross_entropy(head, targets)) for head in (main, one, two)]
    assert float(TASK.loss((main, None, one, two), targets, PLAIN)) == pytest.approx(
        losses[0] + 0.3 * (losses[1] + losses[2])
    )
    assert torch.equal(TASK.output((main, one)), main)
    assert float(TASK.loss(main, targets, PLAIN)) == pytest.approx(losses[0])


def test_smoothing_is_the_schedules() -> None:
    outputs, targets = logits(5, 4), torch.tensor([0, 1, 2, 3, 0])
    smooth = -(functional.log_softmax(outputs, 1) * (0.9 * functional.one_hot(targets, 4) + 0.1 / 4)).sum(1).mean()
    assert float(TASK.loss(outputs, targets, SimpleNamespace(label_smoothing=0.1))) == pytest.approx(float(smooth))


@pytest.mark.parametrize(
    ("targets", "outputs", "message"),
    [
        (torch.tensor([0, 3]), None, "has labels outside 0 to 2"),
        (torch.tensor([-1, 0]), None, "has labels outside 0 to 2"),
        (torch.tensor([0.0, 1.0]), None, r"has labels of \(2,\) torch.float32; they must be"),
        (torch.tensor([[0], [1]]), None, r"has labels of \(2, 1\) torch.int64; they must be"),
        (torch.tensor([0, 1]), {"out": torch.zeros(2, 3)}, "gives a dict; it must give one tensor"),
        (torch.tensor([0, 1]), torch.zeros(2, 4), r"gives outputs of shape \(2, 4\) for 2 images, but 3 classes"),
    ],
)
def test_what_does_not_fit_is_named(targets: Tensor, outputs: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TASK.check(targets, 3, outputs)


def test_the_headline_and_what_records_say_of_it() -> None:
    assert TASK.headline.columns() == {
        "headline": "top1",
        "headline_label": "top-1",
        "headline_unit": "%",
        "headline_better": "higher",
        "headline_counts": "images",
    }
    meter = TASK.meter(3)
    meter.add(logits(2, 3), torch.tensor([0, 1]))
    assert [*meter.scores()] == [metric.name for metric in TASK.metrics]
