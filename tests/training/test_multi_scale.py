"""What a network says of an image at several scales, and mirrored, is averaged: by networks whose answer is known."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.data.batches import InOrder
from bench.data.normalise import Normalise
from bench.dataset import IGNORED, Split
from bench.errors import InputError
from bench.models._build import build_network
from bench.plan.task_choice import find_task
from bench.plugins import networks
from bench.plugins.options import everything
from bench.runs.steps.columns import flat
from bench.training.evaluate import evaluate, metered
from bench.training.kept import KeptExamples
from bench.training.multi_scale import averaged, require_scales
from bench.training.schedule import Schedule
from bench.training.views import PLAIN, Views

TASK = find_task("segmentation").task
AS_THEY_ARE = Normalise(torch.zeros(3, 1, 1), torch.ones(3, 1, 1))
DEEPLAB = Views((0.5, 0.75, 1.0, 1.25, 1.5, 1.75), flip=True)


def pixels(images: int, height: int, width: int) -> Tensor:
    return torch.randn(images, 3, height, width, generator=torch.Generator().manual_seed(images + width))


def convolution(classes: int = 4) -> nn.Conv2d:
    """Looks at one pixel, and so knows nothing of left and right."""
    torch.manual_seed(0)
    return nn.Conv2d(3, classes, 1)


def columns(images: Tensor) -> Tensor:
    """Says of each pixel in which column it lies: what it says of class 0 grows from left to right."""
    place = torch.arange(images.shape[3]).float().expand(len(images), images.shape[2], -1)
    return torch.stack([place, torch.zeros_like(place)], 1)


def width(images: Tensor) -> Tensor:
    """Says of each pixel how wide the image is."""
    size = torch.full((len(images), *images.shape[2:]), float(images.shape[3]))
    return torch.stack([size, torch.zeros_like(size)], 1)


@torch.inference_mode()
def seen(logits_of: Callable[[Tensor], Tensor], images: Tensor, views: Views) -> Tensor:
    return averaged(logits_of, images, views)


@torch.inference_mode()
def test_scale_one_without_a_mirror_is_the_plain_test_to_the_bit() -> None:
    network, images = convolution(), pixels(5, 9, 12)
    assert torch.equal(averaged(network, images, Views((1.0,))), network(images))
    assert Schedule(epochs=1, test_scales=(1.0,)) == Schedule(epochs=1)
    split = some_split(23)
    plain = evaluate(network, InOrder(split, AS_THEY_ARE), TASK, 4)
    assert evaluate(network, InOrder(split, AS_THEY_ARE), TASK, 4, views=Views((1.0,))) == plain


@torch.inference_mode()
def test_a_mirror_changes_nothing_where_left_and_right_are_alike() -> None:
    network, images = convolution(), pixels(5, 9, 12)
    found, plain = averaged(network, images, Views(flip=True)), network(images)
    torch.testing.assert_close(found.softmax(1), plain.softmax(1))
    assert torch.equal(found.argmax(1), plain.argmax(1))


def test_a_mirror_makes_both_sides_alike_where_they_are_not() -> None:
    """Five columns: the probability of class 0 is that of the column and of the one opposite, one half each."""
    found = seen(columns, pixels(2, 3, 5), Views(flip=True)).softmax(1)
    one = 1 / (1 + np.exp(-np.arange(5.0)))
    for row in found[:, 0].reshape(-1, 5):
        np.testing.assert_allclose(row, (one + one[::-1]) / 2, rtol=1e-5)
    torch.testing.assert_close(found, found.flip(3))


def test_probabilities_are_averaged_and_not_logits() -> None:
    """Of nine columns 5 are left at half the scale, and 17 at twice."""
    found = seen(width, pixels(2, 9, 9), Views((0.5, 1.0, 2.0))).softmax(1)
    wanted = sum(1 / (1 + np.exp(-float(size))) for size in (5, 9, 17)) / 3
    np.testing.assert_allclose(found[:, 0], wanted, rtol=1e-6)
    np.testing.assert_allclose(found[:, 1], 1 - wanted, rtol=1e-3)


def test_an_even_slope_is_the_same_at_every_scale() -> None:
    """Bilinear interpolation with aligned corners keeps it, whatever the size: so does the answer of a convolution that
    looks at one pixel, up to how sides are rounded, for which a side that scales to a whole number has nothing."""
    down, across = torch.meshgrid(torch.linspace(-1, 1, 17), torch.linspace(-2, 2, 33), indexing="ij")
    image = torch.stack([down, across, down - across])[None]
    found = seen(convolution(), image, Views((0.5, 0.75, 1.0, 1.25, 2.0), flip=True))
    with torch.inference_mode():
        torch.testing.assert_close(found, convolution()(image).log_softmax(1), rtol=1e-4, atol=1e-5)


def bilinear(maps: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    """One side after the other, by the weights of its two neighbours; the outermost pixels stay where they are."""

    def weights(old: int, new: int) -> NDArray[np.float64]:
        found = np.zeros((new, old))
        for place in range(new):
            at = place * (old - 1) / (new - 1) if new > 1 else 0.0
            first = min(int(at), old - 1)
            found[place, first] += 1 - (at - first)
            if at > first:
                found[place, first + 1] += at - first
        return found

    return np.einsum("hi,ncij,wj->nchw", weights(maps.shape[2], height), maps, weights(maps.shape[3], width))


@pytest.mark.parametrize(("height", "across"), [(9, 12), (33, 47), (2, 31), (1, 7)])
def test_by_another_way_to_compute_it(height: int, across: int) -> None:
    """Sizes that no stride divides, and sides of a pixel or two."""
    network, images = convolution(), pixels(3, height, across)
    weight = network.weight.detach().double().numpy()[:, :, 0, 0]
    bias = network.bias.detach().double().numpy()[:, None, None] if network.bias is not None else 0
    total = np.zeros((3, 4, height, across))
    for scale in DEEPLAB.scales:
        for step in (1, -1):
            size = int((height - 1) * scale) + 1, int((across - 1) * scale) + 1
            smaller = bilinear(images.double().numpy()[..., ::step], *size)
            logits = bilinear(np.einsum("oc,nchw->nohw", weight, smaller) + bias, height, across)[..., ::step]
            shares = np.exp(logits - logits.max(1, keepdims=True))
            total += shares / shares.sum(1, keepdims=True) / 12
    np.testing.assert_allclose(seen(network, images, DEEPLAB).double().exp(), total, rtol=1e-4, atol=1e-6)


def test_softmax_of_what_comes_out_is_the_mean_so_that_losses_are_of_it() -> None:
    found = seen(convolution(), pixels(2, 9, 9), DEEPLAB)
    torch.testing.assert_close(found.exp().sum(1), torch.ones(2, 9, 9))
    torch.testing.assert_close(found.softmax(1), found.exp())


def test_a_class_that_float32_takes_for_impossible_has_a_finite_loss() -> None:
    def certain(images: Tensor) -> Tensor:
        return torch.tensor([300.0, -300.0])[None, :, None, None].expand(len(images), 2, *images.shape[2:])

    found = seen(certain, pixels(1, 5, 5), DEEPLAB)
    torch.testing.assert_close(found[:, 1], torch.full((1, 5, 5), -600.0))


@pytest.mark.parametrize("views", [DEEPLAB, Views((0.5,)), Views((1.0,), flip=True), Views((2.0,))])
def test_nothing_larger_than_the_batch_is_looked_at_and_parts_change_nothing(views: Views) -> None:
    network, images = convolution(), pixels(9, 9, 12)
    asked: list[int] = []

    def noting(images: Tensor) -> Tensor:
        asked.append(images.numel())
        return network(images)

    found = seen(noting, images, views)
    assert max(asked) <= images.numel()
    for place in range(9):
        torch.testing.assert_close(seen(network, images[place : place + 1], views), found[place : place + 1])


def some_split(images: int, height: int = 9, width: int = 12) -> Split:
    random = torch.Generator().manual_seed(images)
    masks = torch.randint(3, (images, height, width), generator=random, dtype=torch.uint8)
    masks[torch.rand(masks.shape, generator=random) < 0.2] = IGNORED
    return Split(torch.randint(256, (images, 3, height, width), generator=random, dtype=torch.uint8), masks)


class WithHead(nn.Module):
    """Gives a dictionary, in bfloat16; and runs out of memory with more than so many images."""

    def __init__(self, most: int = 1000) -> None:
        super().__init__()
        self.layer, self.most = convolution(3), most

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        if len(images) > self.most:
            raise torch.OutOfMemoryError("too many")
        out = self.layer(images / 100)
        return {"out": out.bfloat16(), "aux": -out}


def test_all_that_a_test_gives_is_of_the_average() -> None:
    """Scores, figures by class, and the images that are shown; pixels without a class count nowhere."""
    split, network = some_split(6), WithHead()
    kept = KeptExamples(TASK, split)
    meter = metered(network, InOrder(split, AS_THEY_ARE, 4), TASK, 3, kept, views=DEEPLAB)
    network.eval()
    found = seen(lambda images: network(images)["out"].float(), split.images.float(), DEEPLAB)
    assert found.dtype == torch.float32
    taken, named = found.argmax(1), split.targets != IGNORED
    assert (torch.from_numpy(kept.arrays()["predicted"]) == taken).all()
    assert meter.scores()["pixel_accuracy"] == pytest.approx(
        100 * float((taken == split.targets)[named].double().mean())
    )
    own = split.targets.long().clamp(max=2)[:, None]
    assert meter.scores()["loss"] == pytest.approx(-float(found.gather(1, own)[:, 0][named].mean()), rel=1e-5)
    for number, figure in enumerate(meter.by_class()):
        is_own, is_taken = (split.targets == number) & named, (taken == number) & named
        assert figure == pytest.approx(100 * float((is_own & is_taken).sum() / (is_own | is_taken).sum()))
    plain = evaluate(network, InOrder(split, AS_THEY_ARE), TASK, 3)
    assert plain["loss"] != meter.scores()["loss"]


def test_what_does_not_fit_into_memory_is_seen_by_halves() -> None:
    split = some_split(7)
    whole, few = (evaluate(WithHead(most), InOrder(split, AS_THEY_ARE), TASK, 3, views=DEEPLAB) for most in (1000, 1))
    assert whole == pytest.approx(few, rel=1e-6)


@pytest.mark.parametrize(("height", "across"), [(33, 47), (50, 41)])
def test_a_network_with_a_stride_takes_sizes_that_are_none_of_its_multiples(height: int, across: int) -> None:
    network = build_network(networks.find("deeplabv3-resnet8").model, 3, 7, 0).eval()
    require_scales(network, (3, height, across), 7, TASK, DEEPLAB)
    found = seen(lambda images: TASK.output(network(images)), pixels(2, height, across), DEEPLAB)
    assert found.shape == (2, 7, height, across)
    assert found.isfinite().all()


class OneSize(nn.Module):
    """Has a number for each pixel of 8x8."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.places = nn.Conv2d(3, 4, 1), nn.Parameter(torch.zeros(8, 8))

    def forward(self, images: Tensor) -> Tensor:
        return self.layer(images) + self.places


class OfFixedOutputs(OneSize):
    def forward(self, images: Tensor) -> Tensor:
        return self.layer(images[..., :1, :1]) + self.places


class LooksAtValues(nn.Module):
    """Which nothing can on torch's meta device."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 1)

    def forward(self, images: Tensor) -> Tensor:
        assert float(images.sum()) < 1e9
        return self.layer(images)


@pytest.mark.parametrize(
    ("made", "words"), [(OneSize, "RuntimeError: The size of"), (OfFixedOutputs, "gives outputs of")]
)
def test_a_network_of_one_size_is_refused_before_anything_is_trained(made: type[nn.Module], words: str) -> None:
    require_scales(made(), (3, 8, 8), 4, TASK, Views(flip=True))
    with pytest.raises(
        InputError, match=rf"can't be tested at 1.5 times the size, on images of 3x11x11: .*{words}.*"
    ) as e:
        require_scales(made(), (3, 8, 8), 4, TASK, Views((1.0, 1.5)))
    assert "leave this scale out" in str(e.value)


def test_a_network_that_looks_at_values_is_run_where_it_is() -> None:
    network = LooksAtValues()
    require_scales(network, (3, 8, 8), 4, TASK, DEEPLAB)
    assert network.training


@pytest.mark.parametrize(
    ("scales", "message"),
    [
        ((0.5, 20.0), "test_scales can't be 0.5x20; they are factors from 0.1 to 4"),
        ((0.05,), "test_scales can't be 0.05; they are factors from 0.1 to 4"),
        ((), "test_scales can't be empty; they are factors from 0.1 to 4"),
        ((1.0, 0.5), "test_scales can't be 1x0.5; they must rise, like 0.75x1x1.25"),
        ((1.0, 1.0), "test_scales can't be 1x1; they must rise, like 0.75x1x1.25"),
    ],
)
def test_scales_that_can_not_be(scales: tuple[float, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Schedule(epochs=1, test_scales=scales)


@pytest.mark.parametrize("views", [PLAIN, DEEPLAB, Views((0.1, 1 / 3)), Views(flip=True)])
def test_a_record_says_which_views_there_were(views: Views) -> None:
    schedule = Schedule(epochs=1, test_scales=views.scales, test_flip=views.flip)
    record: dict[str, Any] = flat("schedule", everything(schedule))
    assert Views.of(record) == views == schedule.views
    assert Views.of({}) == PLAIN


def test_in_words() -> None:
    assert DEEPLAB.text == "6 scales (0.5x0.75x1x1.25x1.5x1.75), mirrored too"
    assert Views((0.5,)).text == "1 scale (0.5)"
