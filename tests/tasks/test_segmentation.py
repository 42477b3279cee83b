"""Segmentation as a task: its loss, its confusion matrix, and what it refuses. Numbers by hand, by torch, or by
torchmetrics."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics.classification import MulticlassJaccardIndex

from bench.data.normalise import Normalise
from bench.dataset import IGNORED, Split
from bench.method import Compressed
from bench.plan.task_choice import find_task
from bench.training.loop import Trainer, Training
from bench.training.schedule import Schedule

TASK = find_task("segmentation").task
PLAIN = SimpleNamespace(label_smoothing=0.0)


def problem(images: int, classes: int, side: int = 9, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits, and masks of which a tenth has no class."""
    random = torch.Generator().manual_seed(seed)
    logits = torch.randn(images, classes, side, side, generator=random)
    masks = torch.randint(classes, (images, side, side), generator=random).to(torch.uint8)
    masks[torch.rand(masks.shape, generator=random) < 0.1] = IGNORED
    return logits, masks


def certain(classes: list[list[int]], count: int) -> Tensor:
    """Logits of one image that take each pixel for this class."""
    return 9.0 * functional.one_hot(torch.tensor(classes), count).permute(2, 0, 1)[None].float()


def test_scores_by_hand() -> None:
    masks = torch.tensor([[[0, 0, 1], [1, 2, IGNORED]]], dtype=torch.uint8)
    taken_for = certain([[0, 1, 1], [1, 0, 2]], 4)
    meter = TASK.meter(4)
    meter.add(taken_for, masks)
    scores = meter.scores()
    # Class 0: one right of its own two and one of class 2's. Class 1: two right of two and one of class 0's. Class 2:
    # none right. Class 3 occurs nowhere. The last pixel has no class.
    assert scores["miou"] == pytest.approx(100 * (1 / 3 + 2 / 3 + 0) / 3)
    assert scores["pixel_accuracy"] == pytest.approx(60)
    assert meter.by_class() == [pytest.approx(100 / 3), pytest.approx(200 / 3), 0, None]
    chosen = functional.log_softmax(taken_for, 1)[0, masks[0].clamp(max=3).long(), [[0] * 3, [1] * 3], [[0, 1, 2]] * 2]
    assert scores["loss"] == pytest.approx(-float(chosen.flatten()[:5].mean()))


def test_meters_of_parts_merge_into_that_of_the_whole_as_one_by_one_does() -> None:
    outputs, masks = problem(11, 7)
    whole, left, right = (TASK.meter(7) for _ in range(3))
    whole.add(outputs, masks)
    for meter, place in ((left, slice(0, 4)), (right, slice(4, 11))):
        meter.add(outputs[place], masks[place])
    left.merge(right)
    for name, score in whole.scores().items():
        assert left.scores()[name] == pytest.approx(score, rel=1e-6), name
    named, taken_for = masks != IGNORED, outputs.argmax(1)
    shares = []
    for own in range(7):
        is_own, is_taken = (masks == own) & named, (taken_for == own) & named
        shares.append(int((is_own & is_taken).sum()) / int((is_own | is_taken).sum()))
    assert whole.scores()["miou"] == pytest.approx(100 * sum(shares) / 7)
    assert whole.scores()["pixel_accuracy"] == pytest.approx(100 * float((taken_for == masks)[named].float().mean()))
    wanted = functional.cross_entropy(outputs.double(), masks.long(), ignore_index=IGNORED)
    assert whole.scores()["loss"] == pytest.approx(float(wanted), rel=1e-6)


def test_the_mean_over_classes_that_have_a_figure_is_the_headline() -> None:
    outputs, masks = problem(5, 6)
    outputs[:, 4], masks[masks == 4] = -9, 2  # class 4 occurs nowhere
    whole, part, rest = (TASK.meter(6) for _ in range(3))
    whole.add(outputs, masks)
    part.add(outputs[:2], masks[:2])
    rest.add(outputs[2:], masks[2:])
    part.merge(rest)
    figures = whole.by_class()
    assert part.by_class() == figures
    assert [number for number, figure in enumerate(figures) if figure is None] == [4]
    known = [figure for figure in figures if figure is not None]
    assert sum(known) / 5 == pytest.approx(whole.scores()["miou"])


def test_scores_are_those_of_torchmetrics() -> None:
    ours, theirs = TASK.meter(5), MulticlassJaccardIndex(num_classes=5, ignore_index=IGNORED)
    each = MulticlassJaccardIndex(num_classes=5, ignore_index=IGNORED, average=None)
    for images, seed in ((8, 1), (8, 2), (3, 3)):
        outputs, masks = problem(images, 5, seed=seed)
        ours.add(outputs, masks)
        theirs.update(outputs, masks.long())
        each.update(outputs, masks.long())
    assert ours.scores()["miou"] == pytest.approx(100 * float(theirs.compute()), rel=1e-6)
    assert ours.by_class() == pytest.approx((100 * each.compute()).tolist(), rel=1e-6)


def test_a_split_without_any_class_has_scores() -> None:
    meter = TASK.meter(3)
    meter.add(torch.zeros(1, 3, 2, 2), torch.full((1, 2, 2), IGNORED, dtype=torch.uint8))
    assert meter.scores() == {"miou": 0.0, "pixel_accuracy": 0.0, "loss": 0.0}
    assert meter.by_class() == [None, None, None]


def test_the_loss_is_a_mean_over_pixels_with_a_class() -> None:
    outputs, masks = problem(3, 4)
    wanted = functional.cross_entropy(outputs, masks.long(), ignore_index=IGNORED)
    assert float(TASK.loss(outputs, masks, PLAIN)) == pytest.approx(float(wanted))
    smooth = functional.cross_entropy(outputs, masks.long(), ignore_index=IGNORED, label_smoothing=0.1)
    assert float(TASK.loss({"out": outputs}, masks, SimpleNamespace(label_smoothing=0.1))) == pytest.approx(
        float(smooth)
    )
    nothing = torch.full_like(masks, IGNORED)
    assert float(TASK.loss(outputs, nothing, PLAIN)) == 0


def test_an_auxiliary_head_has_half_a_part_in_the_loss_and_none_in_the_output() -> None:
    (main, masks), (other, _) = problem(2, 4), problem(2, 4, seed=1)
    losses = [float(functional.cross_entropy(head, masks.long(), ignore_index=IGNORED)) for head in (main, other)]
    assert float(TASK.loss({"out": main, "aux": other}, masks, PLAIN)) == pytest.approx(losses[0] + 0.5 * losses[1])
    assert torch.equal(TASK.output({"out": main, "aux": other}), main)


@pytest.mark.parametrize(
    ("targets", "outputs", "message"),
    [
        (torch.tensor([0, 1]), None, r"has masks of \(2,\) torch.int64; they must be \(images, h, w\) uint8"),
        (
            torch.full((1, 2, 2), 3, dtype=torch.uint8),
            None,
            "has 3 in masks; classes are 0 to 2, and 255 means no class",
        ),
        (torch.zeros(1, 2, 2, dtype=torch.uint8), {"aux": 1}, "gives a dictionary of aux; it must give one tensor"),
        (torch.zeros(1, 2, 2, dtype=torch.uint8), (1,), "gives tuple; it must give one tensor"),
        (
            torch.zeros(1, 4, 4, dtype=torch.uint8),
            {"out": torch.zeros(1, 3, 2, 2)},
            r"gives outputs of shape \(1, 3, 2, 2\), but \(1, 3, 4, 4\) is needed",
        ),
    ],
)
def test_what_does_not_fit_is_named(targets: Tensor, outputs: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TASK.check(targets, 3, outputs)


def test_masks_of_the_tiny_problem_name_its_classes() -> None:
    split, classes = TASK.tiny()
    TASK.check(split.targets, classes)
    assert len(split) == 8
    assert set(split.targets.flatten().tolist()) == {*range(classes), IGNORED}


def test_a_batch_in_parts_has_the_loss_and_the_gradients_of_the_whole() -> None:
    """Images have very different numbers of pixels with a class, and one has none."""

    class Pixels(nn.Module):
        def __init__(self, most: int) -> None:
            super().__init__()
            self.most, self.layer = most, nn.Conv2d(3, 4, 1)

        def forward(self, images: Tensor) -> dict[str, Tensor]:
            if len(images) > self.most:
                raise torch.OutOfMemoryError
            logits = self.layer(images)
            return {"out": logits, "aux": logits.flip(1)}

    random = torch.Generator().manual_seed(0)
    images = torch.randint(256, (8, 3, 6, 6), generator=random).to(torch.uint8)
    masks = torch.randint(4, (8, 6, 6), generator=random).to(torch.uint8)
    for place in range(8):
        masks[place, : max(0, 6 - place)] = IGNORED
    split = Split(images, masks)
    schedule = Schedule(epochs=2, batch_size=8, learning_rate=0.1)
    trained, losses = [], []
    for most in (8, 3):
        torch.manual_seed(1)
        network = Pixels(most)
        training = Training(
            Trainer.of(split, split, Normalise.of(split), TASK, 4, schedule, seed=0), Compressed(network), 0
        )
        losses.append([row["train_loss"] for row in training.trainer.go_on(training, 2)])
        trained.append(network.layer.weight)
        assert training.parts == (1 if most == 8 else 4)
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    torch.testing.assert_close(*trained)
