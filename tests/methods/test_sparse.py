"""Unstructured pruning: how many weights, which, and when."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from conftest import tiny_trainer
from torch import Tensor, nn

from bench import count, masks, testing
from bench.errors import BudgetError
from bench.measure import account
from bench.method import Compressed
from bench.methods.sparse import Sparse, cubic, erdos_renyi, largest, move
from bench.selection import Rule, select

VARIANTS: list[dict[str, Any]] = [
    {},
    {"criterion": "layerwise"},
    {"criterion": "random"},
    {"training": "gradual"},
    {"training": "gradual", "criterion": "layerwise"},
    {"training": "rigl"},
]
# Of resnet8 for 1 channel and 3 classes: the batch norm of 7 convolutions, and a classifier.
FIXED = 2 * (16 * 3 + 32 * 2 + 64 * 2) + 64 * 3 + 3
LAYERS = 7


def dense() -> nn.Module:
    return testing.network("resnet8", channels=1, num_classes=3)


def compress(method: Sparse, budget: int, seed: int = 0) -> Compressed:
    network = testing.network("resnet8", channels=1, num_classes=3, seed=seed)
    return account.compress(method, network, budget, seed, trained=True)


class Watched(Compressed):
    """A compressed network with somebody who looks after each step."""

    def __init__(self, made: Compressed, look: Callable[[], None]) -> None:
        super().__init__(made.network)
        self.made = made
        self.look = look

    def after_step(self, progress: float) -> bool:
        replaced = self.made.after_step(progress)
        self.look()
        return replaced


def masks_of(made: Compressed) -> dict[str, Tensor]:
    return masks.of(made.network)


def stored_values(made: Compressed) -> int:
    return count.stored_values(made.network)


@pytest.mark.parametrize("options", VARIANTS)
@pytest.mark.parametrize("budget", [FIXED + 2 * LAYERS, 1_000, 5_001, 40_000])
def test_budgets_are_met_to_the_value(options: dict[str, Any], budget: int) -> None:
    method = Sparse(**options)
    made = compress(method, budget)
    if method.at_size == "at the end":
        assert stored_values(made) == count.stored_values(dense())
        made.after_step(1.0)
    assert stored_values(made) == budget
    assert min(int(mask.sum()) for mask in masks_of(made).values()) > 0
    masks.enforce(masks.pairs(made.network))
    fixed = FIXED if budget > 3 * FIXED else FIXED - 64 * 3
    assert sum(int(made.network.get_parameter(name).count_nonzero()) for name in masks_of(made)) == budget - fixed


@pytest.mark.parametrize(("budget", "is_pruned"), [(3 * FIXED, False), (3 * FIXED - 1, True)])
def test_the_classifier_is_pruned_where_what_is_left_alone_would_take_more_than_a_third(
    budget: int, is_pruned: bool
) -> None:
    made = compress(Sparse(), budget)
    assert stored_values(made) == budget
    assert len(masks_of(made)) == LAYERS + is_pruned
    assert ("classifier.weight" in masks_of(made)) == is_pruned


def test_budgets_out_of_reach_are_refused_with_the_numbers() -> None:
    with pytest.raises(BudgetError, match="what is not pruned stores 483 values, and 8 layers at least two"):
        compress(Sparse(), 483 + 2 * 8 - 1)


def test_no_network_becomes_larger() -> None:
    with pytest.raises(BudgetError, match="80,000 values were asked for, but the dense network stores only 74,547"):
        compress(Sparse(), 80_000)


def test_global_keeps_the_largest_and_no_layer_dies() -> None:
    scores = {"small": torch.tensor([0.1, 0.3, 0.2] + [0.0] * 17), "large": torch.arange(1.0, 21.0)}
    kept = largest(scores, 20)  # half of all: each layer keeps at least a tenth of that half, one weight
    assert kept["small"].nonzero().flatten().tolist() == [1]
    assert kept["large"].nonzero().flatten().tolist() == list(range(1, 20))


def test_of_equal_scores_the_first_are_kept() -> None:
    kept = largest({"a": torch.ones(4), "b": torch.ones(4)}, 4)
    # One of each layer comes first, so that no layer dies.
    assert [mask.int().tolist() for mask in kept.values()] == [[1, 1, 1, 0], [1, 0, 0, 0]]


def test_layerwise_keeps_the_same_share_of_the_largest() -> None:
    found, network = masks_of(compress(Sparse(criterion="layerwise"), 8_000)), dense()
    shares = [float(mask.float().mean()) for mask in found.values()]
    assert max(shares) - min(shares) < 0.01
    for name, mask in found.items():
        sizes = network.get_parameter(name).abs()
        assert sizes[mask].min() >= sizes[~mask].max()


def test_random_keeps_as_many_as_layerwise_but_others() -> None:
    random, again, other, layerwise = (
        masks_of(compress(Sparse(criterion=criterion), 8_000, seed))  # type: ignore[arg-type]
        for criterion, seed in (("random", 1), ("random", 1), ("random", 2), ("layerwise", 1))
    )
    for name, mask in random.items():
        assert torch.equal(mask, again[name])
        assert int(mask.sum()) == int(layerwise[name].sum())
    assert any(not torch.equal(mask, other[name]) for name, mask in random.items())


def test_the_law_of_zhu_and_gupta() -> None:
    """s = s_f - s_f (1 - x)^3, worked out for a final sparsity of 0.9: at half the time 0.9 * 7 / 8."""
    assert [cubic(1000, 100, done) for done in (0, 0.5, 1)] == [1000, 1000 - round(900 * 0.875), 100]


def test_gradual_training_ends_at_the_budget_and_only_ever_prunes() -> None:
    made = compress(Sparse(training="gradual", updates=5), 5_000)
    stored: list[int] = []
    gone: set[int] = set()

    def look() -> None:
        mask = masks_of(made)["stage3.0.conv1.weight"]
        now = set((~mask).flatten().nonzero().flatten().tolist())
        assert gone <= now
        gone.update(now)
        stored.append(stored_values(made))

    tiny_trainer(batch_size=8).run(Watched(made, look), 1, 4)  # from 0.25 of the schedule on
    assert stored == sorted(stored, reverse=True)
    assert len(set(stored)) == 6
    assert stored[-1] == 5_000
    reached = stored.index(5_000) + 1
    assert reached / len(stored) == pytest.approx((0.75 - 0.25) / (1 - 0.25), abs=0.05)


@pytest.mark.parametrize("options", [options for options in VARIANTS if options.get("training") == "gradual"])
def test_what_the_optimiser_makes_of_pruned_weights_does_not_bring_them_back(options: dict[str, Any]) -> None:
    """They have gradients, which are huge behind dead units. So at 32x the largest gave other layers' places away."""
    made = compress(Sparse(**options, updates=4), 5_000)
    for progress in (0.3, 0.4, 0.55, 0.7, 0.8):
        before = {name: mask.clone() for name, mask in masks_of(made).items()}
        with torch.no_grad():
            for name, mask in before.items():
                made.network.get_parameter(name).masked_fill_(~mask, 100.0)
        made.step_done(progress)
        for name, mask in masks_of(made).items():
            assert not (mask & ~before[name]).any()
            assert made.network.get_parameter(name).abs().max() < 100
    assert stored_values(made) == 5_000


def test_densities_of_erdos_renyi_kernels() -> None:
    """In proportion to (in + out + kh + kw) / (in out kh kw), and at most 1."""
    layers = select(
        nn.Sequential(nn.Conv2d(3, 16, 3), nn.Conv2d(16, 64, 3), nn.Conv2d(64, 64, 3), nn.Linear(64, 10)),
        Rule(kernel="all", skip_first=False, linear=True),
    )
    counts = list(erdos_renyi(layers, 4_000).values())
    assert sum(counts) == 4_000
    # 3+16+6 = 25, 16+64+6 = 86, 64+64+6 = 134, 64+10 = 74: of 4,000 the last layer would have 928, but it has only 640,
    # and the others share the rest.
    assert counts == [*(pytest.approx(3_360 * size / 245, abs=1) for size in (25, 86, 134)), 640]


def test_an_update_of_rigl_drops_the_smallest_and_grows_where_gradients_are_largest() -> None:
    layer = nn.Linear(4, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, -0.1, 3.0, 0.2], [9.0, 9.0, 9.0, 9.0]]))
    mask = torch.tensor([[True, True, True, True], [False, False, False, False]])
    masks.attach(layer, {"weight": mask})
    layer.weight.grad = torch.tensor([[0.0, -8.0, 0.0, 1.0], [2.0, -5.0, 3.0, 0.0]])
    move(layer, 0.5)
    # -0.1 and 0.2 are dropped; the gradients -8 and -5 win: one of them was dropped just now, and stays as it is.
    (kept,) = masks.of(layer).values()
    assert kept.tolist() == [[True, True, True, False], [False, True, False, False]]
    assert layer.weight[0, 1].item() == pytest.approx(-0.1)
    assert layer.weight[1, 1] == 0


def test_rigl_moves_weights_and_keeps_their_number() -> None:
    made = compress(Sparse(training="rigl", updates=4), 5_000)
    before = {name: mask.clone() for name, mask in masks_of(made).items()}
    last = dict(before)
    seen: list[int] = []

    def look() -> None:
        now = {name: mask.clone() for name, mask in masks_of(made).items()}
        moved = sum(int((mask & ~last[name]).sum()) for name, mask in now.items())
        if moved:
            seen.append(moved)
        last.update(now)

    tiny_trainer().run(Watched(made, look), 0, 4)
    after = masks_of(made)
    assert all(int(mask.sum()) == int(before[name].sum()) for name, mask in after.items())
    # Three updates, the fourth would be the end; each moves fewer: 0.3 (1 + cos(pi k / 4)) / 2 of the weights at most.
    assert len(seen) == 3
    kept = 5_000 - FIXED
    for position, moved in enumerate(seen, 1):
        assert 0 < moved <= 0.3 * (1 + math.cos(math.pi * position / 4)) / 2 * kept


def test_deployed_it_is_a_plain_network() -> None:
    made = compress(Sparse(), 5_000)
    images = torch.randn(2, 1, 8, 8)
    expected = made.network.eval()(images)
    plain = made.finish()
    assert torch.equal(plain(images), expected)
    assert count.stored_values(plain) == count.stored_values(dense())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"criterion": "random", "training": "gradual"}, "criterion=random draws once"),
        ({"criterion": "layerwise", "training": "rigl"}, "training=rigl has a criterion of its own"),
        ({"updates": 0}, "updates can't be 0"),
        ({"drop": 1.0}, r"drop can't be 1\.0"),
        ({"training": "rigl", "compress_at": 0.5}, "training=rigl is sparse from the start"),
        ({"training": "gradual", "until": 0.25}, r"until can't be 0\.25; it lies above compress_at, 0\.25"),
    ],
)
def test_what_does_not_go_together(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Sparse(**options)


def test_moments() -> None:
    assert [Sparse(training=kind).compress_at for kind in ("one-shot", "gradual", "rigl")] == [0.5, 0.25, 0]  # type: ignore[arg-type]
    assert Sparse(compress_at=0.5) == Sparse()
