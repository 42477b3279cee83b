"""bench.compress: a network in memory, trained in a loop of one's own, is what the harness would have made of it."""

import copy
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import HALVES, PLUGINS, tiny_trainer
from torch import Tensor, nn
from torch.nn import functional

import bench
from bench import count, masks, testing
from bench.errors import BudgetError, InputError, PluginEnded
from bench.measure import account
from bench.method import Compressed
from bench.methods.lowrank.lowrank import LowRank
from bench.plan.at_start import find_at_start
from bench.seeding import seed_all
from bench.training.loop import Trainer


def network(seed: int = 0) -> nn.Module:
    return testing.network("resnet8", 1, 3, seed)


def train_like_a_person(compressed: Compressed, trainer: Trainer) -> None:
    """As docs/your-own-loop.md has it, over the batches and learning rates of the harness."""
    schedule = trainer.schedule

    def make_optimizer() -> torch.optim.Optimizer:
        groups = compressed.parameter_groups(schedule.weight_decay, schedule.learning_rate)
        return torch.optim.SGD(groups, lr=schedule.learning_rate, momentum=schedule.momentum)

    optimizer, step = make_optimizer(), 0
    compressed.network.train()
    for epoch in range(schedule.epochs):
        for images, labels in trainer.train.batches(epoch):
            for group in optimizer.param_groups:
                group["lr"] = group["rate"] * schedule.learning_rate_at((step + 0.5) / trainer.total_steps)
            loss = functional.cross_entropy(compressed.network(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            if compressed.step_done(step / trainer.total_steps):
                optimizer = make_optimizer()
    compressed.settle()


@pytest.mark.slow
@pytest.mark.parametrize(
    "method",
    [
        *("csg", "csg:init=svd", "csg:half=true", "lowrank:weight_decay=scaled", "pruning", "pruning:until=0.75"),
        *("sparse", "sparse:training=gradual", "sparse:training=rigl", "lego"),
    ],
)
def test_a_loop_of_ones_own_gives_the_weights_of_the_harness_to_the_bit(method: str) -> None:
    trainer = tiny_trainer(momentum=0.9, weight_decay=0.01)
    mine = bench.compress(network(), method, "2x", seed=3)
    train_like_a_person(mine, trainer)

    chosen, dense = find_at_start(method).method, network()
    theirs = account.compress(chosen, dense, round(count.stored_values(dense) / 2), seed=3, trained=True)
    trainer.run(theirs, 0, trainer.schedule.epochs)
    theirs.settle()

    assert mine.structure() == theirs.structure()
    ours, others = mine.network.state_dict(), theirs.network.state_dict()
    assert ours.keys() == others.keys()
    assert [name for name, value in ours.items() if not torch.equal(value, others[name])] == []
    assert bench.count_values(mine.network) == pytest.approx(bench.count_values(network()) / 2, rel=0.01)


def test_the_network_that_is_given_stays_as_it_is() -> None:
    given = network().eval()
    before = copy.deepcopy(given.state_dict())
    for method in ("csg", "pruning", "sparse", "lowrank"):
        made = bench.compress(given, method, "4x")
        assert made.network.training
        assert all(module.training for module in made.network.modules())
        for parameter in made.network.parameters():
            parameter.data.fill_(7.0)
    assert not given.training
    assert masks.of(given) == {}
    after = given.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_random_numbers_follow_from_the_seed_alone() -> None:
    seed_all(1)
    state = torch.get_rng_state()
    first = bench.compress(network(), "csg", "4x", seed=5).network.state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    seed_all(2)
    again, other = (bench.compress(network(), "csg", "4x", seed=seed).network.state_dict() for seed in (5, 6))
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert not all(torch.equal(value, other[name]) for name, value in first.items())


def test_the_same_call_makes_the_module_that_a_state_dict_goes_into() -> None:
    made = bench.compress(network(1), "csg:init=svd", "4x")
    other = bench.compress(network(2), "csg:init=svd", "4x")
    other.network.load_state_dict(made.network.state_dict())
    images = torch.randn(4, 1, 8, 8)
    with torch.inference_mode():
        assert torch.equal(made.network.eval()(images), other.network.eval()(images))


def test_a_narrower_network_is_drawn_anew_by_the_seed_and_by_the_law_of_torchs_layers() -> None:
    def narrow(given: nn.Module, seed: int) -> dict[str, Tensor]:
        return bench.compress(given, "width", "2x", seed=seed).network.state_dict()

    larger = network(1)
    for parameter in larger.parameters():
        parameter.data.mul_(7.0)
    one, other, of_seed = narrow(network(), 3), narrow(larger, 3), narrow(network(), 4)
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert not torch.equal(one["conv1.weight"], of_seed["conv1.weight"])
    kernel = one["stage3.0.conv2.weight"]
    # Uniform up to 1 / sqrt(fan in): a variance of a third of that squared.
    assert float(kernel.var() * 3 * kernel[0].numel()) == pytest.approx(1.0, abs=0.05)
    assert sum(one[name].numel() for name in one if "running" not in name and "num_" not in name) == pytest.approx(
        bench.count_values(network()) / 2, rel=0.01
    )


def test_what_a_mask_leaves_out_is_zero_after_each_step_and_replaced_parameters_are_told() -> None:
    sparse = bench.compress(network(), "sparse", "4x")
    for parameter in sparse.network.parameters():
        parameter.data.fill_(1.0)
    assert not sparse.step_done(0.5)
    for name, mask in masks.of(sparse.network).items():
        assert torch.equal(sparse.network.get_parameter(name) != 0, mask)
    pruning = bench.compress(network(), "pruning:until=0.5:stages=2", "4x")
    assert [pruning.step_done(progress) for progress in (0.1, 0.3, 0.4, 0.6, 1.0)] == [False, True, False, True, False]


def test_it_compresses_now_unless_told_otherwise() -> None:
    assert find_at_start("pruning:until=0.5").method.compress_at == 0
    assert find_at_start("csg:init=svd").method.compress_at == 0
    assert find_at_start("small=sparse").method.compress_at == 0
    assert find_at_start("pruning:compress_at=0.25:until=0.5").method.compress_at == 0.25
    assert find_at_start("width").text == "width"


def test_methods_come_as_objects_and_from_files() -> None:
    made = bench.compress(network(), LowRank(kind="svd-spatial", compress_at=0.0), 0.25)
    assert bench.count_values(made.network) == pytest.approx(bench.count_values(network()) / 4, rel=0.01)
    values = bench.count_values(network()) // 3
    assert bench.count_values(bench.compress(network(), "csg", values).network) == values
    halves = bench.compress(network(), "halves", plugins=[HALVES])
    # Two kernels of 16x16x3x3 are one.
    assert bench.count_values(halves.network) == bench.count_values(network()) - 9 * 16**2


def frozen() -> nn.Module:
    made = network()
    made.get_parameter("conv1.weight").requires_grad = False
    return made


def scripted() -> nn.Module:
    with warnings.catch_warnings(action="ignore"):  # that torch will do without it some day
        made: nn.Module = torch.jit.script(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(2, 2, 3)))
    return made


def hooked() -> nn.Module:
    with warnings.catch_warnings(action="ignore"):
        return nn.Sequential(nn.utils.weight_norm(nn.Conv2d(1, 2, 3)))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (frozen, r"conv1.weight is frozen"),
        (lambda: nn.Linear(4, 2).half(), r"weight is float16"),
        (lambda: network().bfloat16(), r"conv1.weight is bfloat16, and bench trains in float32"),
        (
            lambda: network().to("meta"),
            r"is on torch's meta device, without values; give it",
        ),
        (scripted, r"the network is a TorchScript module, whose layers are code by now"),
        (lambda: nn.Sequential(scripted()), r"the network's 0 is a TorchScript module"),
        (lambda: network, r"the network must be a torch.nn.Module, not a function"),
        (nn.ReLU, "no parameters"),
        (hooked, "computes its weight in a hook"),
        (lambda: nn.LazyLinear(3), "has no shape yet"),
        (lambda: "resnet8", "the network must be a torch.nn.Module, not a str"),
    ],
)
def test_a_network_that_cant_be_used_is_refused_as_in_a_sweep(make: Callable[[], nn.Module], said: str) -> None:
    with pytest.raises(InputError, match=said):
        bench.compress(make(), "csg", "4x")


@pytest.mark.parametrize(
    ("method", "settings", "said"),
    [
        ("csg", {}, "the method needs a budget"),
        ("csg", {"budget": "4y"}, "'4y' is not a budget"),
        ("csgg", {"budget": "4x"}, "did you mean 'csg'"),
        ("csg:slize=8x8", {"budget": "4x"}, "did you mean 'slice'"),
        ("all", {"budget": "4x"}, "which method"),
        (7, {"budget": "4x"}, "a method is text"),
        ("csg:code=8", {"budget": "4x"}, "leave budget='4x' out"),
        ("csg:init=svd", {"budget": "4x", "trained": False}, "compresses a trained network"),
        ("halves", {"budget": "4x", "plugins": ["nowhere.py"]}, "no such plugin: nowhere.py"),
        ("halves", {"budget": "4x", "plugins": HALVES}, r"plugins are a list of files; give plugins=\['.*halves.py'\]"),
        ("csg", {"budget": "4x", "seed": 1.5}, "seed can't be 1.5; it is a whole number from 0 to 4294967295"),
        ("csg", {"budget": "4x", "seed": -1}, "seed can't be -1"),
        ("csg", {"budget": "4x", "seed": True}, "seed can't be True"),
        ("csg", {"budget": "4x", "seed": None}, "seed can't be None"),
        ("csg", {"budget": "4x", "seed": 2**32}, "seed can't be 4294967296"),
    ],
)
def test_what_cant_be_asked_is_one_line(method: str, settings: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        bench.compress(network(), method, **settings)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", ["csg", "pruning", "pruning:until=0.5", "sparse:training=gradual", "lowrank"])
def test_a_budget_that_cant_be_met_is_said_before_anything_is_trained(method: str) -> None:
    with pytest.raises(BudgetError, match=r"\d") as caught:
        bench.compress(network(), method, "500x")
    assert "\n" not in str(caught.value)
    with pytest.raises(BudgetError, match="there is nothing to compress"):
        bench.compress(network(), method, 10**7)


def test_what_is_no_module_is_not_counted() -> None:
    with pytest.raises(InputError, match=r"the network must be a torch.nn.Module, not a OrderedDict"):
        bench.count_values(network().state_dict())  # type: ignore[arg-type]


def test_numpys_whole_numbers_are_seeds() -> None:
    one, other = (bench.compress(network(), "csg", "4x", seed=seed).network.state_dict() for seed in (3, np.int64(3)))
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_a_plugin_that_would_end_the_process_does_not() -> None:
    with pytest.raises(PluginEnded):
        bench.compress(network(), "leaves:at=compress", plugins=[str(Path(PLUGINS) / "leaves.py")])
