"""Low rank: chains that do what the layer did, ranks that meet the budget in each way there is to choose them."""

import copy
import math
import re
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from bench import count, testing
from bench.errors import BudgetError, InputError
from bench.measure import account
from bench.method import Compressed, Context
from bench.methods.lowrank.chain import Chain, factorise, shape_of
from bench.methods.lowrank.decomposition import Kind, Ranks, compose, full_ranks, useful
from bench.methods.lowrank.lowrank import Form, LowRank, by_energy, in_proportion
from bench.plugins import discovery
from bench.testing import kit

KINDS: tuple[Kind, ...] = get_args(Kind)


def made(options: dict[str, Any]) -> LowRank:
    """From options as they are written."""
    method = discovery.find(discovery.METHODS, "lowrank").build(None, options)
    assert isinstance(method, LowRank)
    return method


def compressed(method: LowRank, ratio: float | None, model: str = "resnet8", trained: bool = True) -> Compressed:
    budget = None if ratio is None else round(count.stored_values(testing.network(model)) / ratio)
    return testing.compress(method, model, budget, trained=trained)


def chains(made: Compressed) -> dict[str, Chain]:
    return {name: module for name, module in made.network.named_modules() if isinstance(module, Chain)}


def weights(chain: Chain) -> list[Tensor]:
    return [link.get_parameter("weight") for link in chain]


def some_ranks(kind: Kind, shape: tuple[int, int, int, int]) -> Ranks:
    return useful(kind, shape, tuple(math.ceil(rank / 3) for rank in full_ranks(kind, shape)))


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(6, 8, 3, stride=2, padding=1),
        nn.Conv2d(5, 4, (3, 5), stride=(1, 2), padding=(1, 2), bias=False),
        nn.Conv2d(4, 4, 3, padding=2, dilation=(2, 1), padding_mode="reflect"),
        nn.Conv2d(4, 3, (1, 3), stride=2, padding=(0, 1), padding_mode="circular"),
        nn.Conv2d(3, 4, (4, 3), padding="same", padding_mode="replicate"),
        nn.Conv2d(6, 5, 1, stride=2),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_at_full_rank_it_is_the_same_convolution(kind: Kind, conv: nn.Conv2d, generator: torch.Generator) -> None:
    conv = copy.deepcopy(conv).double()
    images = torch.randn(2, conv.in_channels, 11, 12, generator=generator, dtype=torch.float64)
    for keep_norm in (False, True):
        chain = factorise(conv, kind, full_ranks(kind, shape_of(conv)), keep_norm)
        assert torch.allclose(chain(images), conv(images), atol=1e-10)
    assert all(type(link) is nn.Conv2d for link in chain)


def test_at_full_rank_it_is_the_same_linear_layer(generator: torch.Generator) -> None:
    linear = nn.Linear(7, 4).double()
    features = torch.randn(3, 7, generator=generator, dtype=torch.float64)
    chain = factorise(linear, "svd-channel", (4,), keep_norm=False)
    assert torch.allclose(chain(features), linear(features))


def test_the_chain_stores_what_the_formula_says_and_the_bias() -> None:
    chain = factorise(nn.Conv2d(6, 10, 3), "tucker", (2, 4), keep_norm=False)
    assert count.stored_values(chain) == 6 * 2 + 2 * 4 * 9 + 4 * 10 + 10
    assert chain.share == (6 * 2 + 2 * 4 * 9 + 4 * 10) / (6 * 10 * 9)


@pytest.mark.parametrize("kind", KINDS)
def test_keeping_the_norm(kind: Kind) -> None:
    conv = nn.Conv2d(16, 12, 3, bias=False)
    ranks = some_ranks(kind, (12, 16, 3, 3))
    lost, kept = (factorise(conv, kind, ranks, keep_norm) for keep_norm in (False, True))
    kernels = [compose(weights(chain)) for chain in (lost, kept)]
    norms = [kernel.norm().item() / conv.weight.norm().item() for kernel in kernels]
    assert norms[0] < 0.95
    assert norms[1] == pytest.approx(1, rel=1e-4)
    assert torch.allclose(kernels[1], kernels[0] / norms[0], atol=1e-6)  # nothing else is different


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_of_nothing_stays_nothing(kind: Kind) -> None:
    conv = nn.Conv2d(6, 6, 3)
    nn.init.zeros_(conv.weight)
    chain = factorise(conv, kind, some_ranks(kind, (6, 6, 3, 3)), keep_norm=True)
    assert torch.allclose(chain(torch.ones(1, 6, 8, 8)), conv(torch.ones(1, 6, 8, 8)))


FORMS = [(16 * 2 ** ((i + 1) // 4), 16 * 2 ** (i // 4), 3, 3) for i in range(12)]


@pytest.mark.parametrize("share", [0.05, 0.1, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("kind", KINDS)
def test_ranks_in_proportion_fit_and_nothing_more_would(kind: Kind, share: float) -> None:
    forms = [Form(kind, shape) for shape in FORMS]
    budget = round(share * sum(form.dense for form in forms))
    ranks = in_proportion(forms, budget)
    used = sum(form.cost(chosen) for form, chosen in zip(forms, ranks, strict=True))
    assert 0.98 * budget <= used <= budget  # the least step is 160 values, in svd-channel
    shares = [
        chosen[0] / form.full[0] for form, chosen in zip(forms, ranks, strict=True) if form.cost(chosen) < form.dense
    ]
    assert max(shares) - min(shares) <= 2.5 / 16
    for form, chosen in zip(forms, ranks, strict=True):
        for place in range(len(chosen)):
            more = (*chosen[:place], chosen[place] + 1, *chosen[place + 1 :])
            if form.useful(more) == more:
                assert used + form.cost(more) - form.cost(chosen) > budget or form.cost(more) == form.cost(chosen)


def test_a_layer_is_dense_where_that_is_not_larger() -> None:
    form = Form("tucker", (16, 16, 3, 3))
    assert form.cost((16, 16)) == form.cost((15, 15)) == form.dense == 16 * 16 * 9
    assert form.cost((8, 8)) == 2 * 16 * 8 + 8 * 8 * 9
    everything = compressed(LowRank(), 1)
    assert not chains(everything)


def kept_by(matrix: torch.Tensor, fraction: float) -> int:
    """The least rank that keeps this fraction of a matrix's sum of squares."""
    squares = torch.linalg.svdvals(matrix).square()
    return next(rank for rank in range(1, len(squares) + 1) if squares[:rank].sum() >= fraction * squares.sum())


@pytest.mark.parametrize("fraction", [0.3, 0.75])
def test_ranks_by_energy_keep_one_fraction(fraction: float, generator: torch.Generator) -> None:
    convs = []
    for channels_in, channels_out, steepness in ((16, 16, 0.0), (16, 32, 0.7), (32, 32, 1.5)):
        conv = nn.Conv2d(channels_in, channels_out, 3).double()
        kernel = torch.randn(conv.weight.shape, generator=generator, dtype=torch.float64)
        kernel *= (torch.arange(1, channels_out + 1) ** -steepness)[:, None, None, None]
        conv.weight.data = kernel * (torch.arange(1, channels_in + 1) ** -steepness)[:, None, None]
        convs.append(conv)
    wanted: dict[Kind, list[Ranks]] = {
        "svd-channel": [(kept_by(conv.weight.flatten(1), fraction),) for conv in convs],
        "tucker": [
            (kept_by(conv.weight.transpose(0, 1).flatten(1), fraction), kept_by(conv.weight.flatten(1), fraction))
            for conv in convs
        ],
    }
    for kind, ranks in wanted.items():
        forms = [Form.of(conv, kind) for conv in convs]
        budget = sum(form.cost(chosen) for form, chosen in zip(forms, ranks, strict=True))
        assert by_energy(convs, forms, budget) == ranks
    steps = [chosen[0] / full for chosen, full in zip(wanted["svd-channel"], (16, 32, 32), strict=True)]
    assert steps == sorted(steps, reverse=True)  # the steeper, the fewer


def test_by_energy_the_file_says_the_ranks() -> None:
    subject = kit.subject_of("lowrank:ranks=energy", "resnet8", ())
    found = subject.compress(subject.possible)
    assert isinstance(subject.method, LowRank)
    assert subject.method.needs_trained
    # The weights of the network that it is filled into have other ranks.
    fresh = account.compress(subject.method, subject.network(), subject.possible, seed=0, trained=True)
    assert fresh.structure() != found.structure()
    rebuilt = subject.rebuild(found.structure())
    shapes = [{name: tensor.shape for name, tensor in made.network.state_dict().items()} for made in (rebuilt, found)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize(
    ("given", "expected"),
    [({"ranks": "5"}, (5, 5)), ({"ranks": "0.25"}, (4, 4)), ({"ranks": 5.0}, (5, 5)), ({"ranks": "100"}, None)],
)
def test_given_ranks_need_no_budget(given: dict[str, Any], expected: Ranks | None) -> None:
    method = made(given)
    assert not method.sized_by_budget
    found = chains(compressed(method, None))
    first = found.get("stage1.0.conv1")
    assert (first.ranks if first else None) == expected  # with too many, a layer stays dense
    assert bool(found) == (expected is not None)


def test_given_the_number_is_cut_to_what_a_layer_can_use() -> None:
    found = chains(compressed(LowRank(kind="svd-channel", ranks=20), None, "densenet-bc-40-12"))
    assert not found  # of 12 output channels, in all of its larger convolutions
    found = chains(compressed(LowRank(kind="cp", ranks=20), None, "densenet-bc-40-12"))
    assert {chain.ranks for chain in found.values()} == {(20,)}


@pytest.mark.parametrize(
    ("model", "ratio", "sizes"),
    [
        ("densenet-bc-40-12", 2, {(3, 3)}),
        ("densenet-bc-40-12", 8, {(3, 3), (1, 1)}),
        ("shufflenetv2-x0.5-cifar", 4, {(1, 1)}),
    ],
)
def test_more_is_factorised_where_the_budget_needs_it(model: str, ratio: int, sizes: set[tuple[int, int]]) -> None:
    dense = testing.network(model)
    found = compressed(LowRank(), ratio, model)
    layers = [dense.get_submodule(name) for name in chains(found)]
    assert {layer.kernel_size for layer in layers if isinstance(layer, nn.Conv2d)} == sizes
    requested = count.stored_values(dense) / ratio
    assert abs(count.stored_values(found.network) - requested) <= 0.01 * requested


def test_the_classifier_is_factorised_last_of_all() -> None:
    dense = testing.network("resnet8")
    least = count.stored_values(dense) - sum(
        conv.weight.numel() for conv in dense.modules() if isinstance(conv, nn.Conv2d)
    )
    made = testing.compress(LowRank(kind="cp"), "resnet8", least + 500, trained=True)
    linear = [chain for chain in chains(made).values() if isinstance(chain[0], nn.Linear)]
    assert len(linear) == 1
    assert isinstance(chains(made)["conv1"][0], nn.Conv2d)


def test_what_can_not_be_met_is_refused_with_the_numbers() -> None:
    with pytest.raises(BudgetError, match=r"what is not factorised stores 490 values and the other layers at least"):
        compressed(LowRank(kind="svd-channel"), 32)
    with pytest.raises(BudgetError, match="150,580 values were asked for, but the dense network stores only 75,290"):
        compressed(LowRank(), 0.5)
    with pytest.raises(BudgetError, match="it has no convolution or linear layer to factorise"):
        LowRank(ranks=2).compress(nn.Sequential(nn.BatchNorm2d(3)), None, Context(torch.Generator(), trained=True))


def test_scaled_decay_is_by_what_a_layer_stores_and_declared() -> None:
    method = LowRank(weight_decay="scaled")
    made = compressed(method, 4)
    links = {f"{name}.{place}.weight" for name in chains(made) for place in range(3)}
    assert made.decay.keys() == links <= dict(made.network.named_parameters()).keys()
    chain = made.network.get_submodule("stage3.0.conv2")
    stored = sum(parameter.numel() for parameter in chain.parameters())
    assert made.decay["stage3.0.conv2.0.weight"] == pytest.approx(stored / (64 * 64 * 9))
    said, _ = made.own_rules()
    assert re.fullmatch(rf"weight decay times .* for {len(links)} of \d+ parameters", said)
    assert compressed(LowRank(), 4).decay == {}


@pytest.mark.parametrize(("kind", "number"), [("tucker", 3), ("svd-spatial", 2), ("cp", 4)])
def test_each_convolution_of_a_chain_has_its_share_of_the_rate(kind: Kind, number: int) -> None:
    made = compressed(LowRank(kind=kind), 2)
    links = {f"{name}.{place}.weight" for name in chains(made) for place in range(number)}
    assert made.rates == dict.fromkeys(links, 1 / number)
    groups = made.parameter_groups(0.0, 0.3)
    rates = {id(own): group["lr"] for group in groups for own in group["params"]}
    for name, parameter in made.network.named_parameters():
        assert rates[id(parameter)] == pytest.approx(0.3 / number if name in links else 0.3)
    (said,) = made.own_rules()
    assert said.startswith(f"learning rate times {1 / number:g} for {len(links)} of ")
    assert compressed(LowRank(kind=kind, compress_at=1.0), 2, trained=True).own_rules() == []  # nothing is trained


@pytest.mark.parametrize(("compress_at", "trained"), [(0.0, False), (0.5, True), (1.0, True)])
def test_kernels_keep_their_size_if_they_are_trained_on(compress_at: float, trained: bool) -> None:
    dense = testing.network("resnet8")
    made = chains(compressed(LowRank(compress_at=compress_at), 8, trained=trained))
    assert made
    for name, chain in made.items():
        kernel, old = compose(weights(chain)), dense.get_parameter(f"{name}.weight")
        if compress_at < 1:
            assert kernel.norm().item() == pytest.approx(old.norm().item(), rel=1e-3)
        else:  # the nearest: what is left out is orthogonal to it
            assert (kernel * (old - kernel)).sum().item() == pytest.approx(0, abs=1e-3 * old.square().sum().item())


@pytest.mark.slow
@pytest.mark.parametrize("check", ["meets_budgets", "trains_every_value", "can_overfit", "reloads_in_a_fresh_process"])
@pytest.mark.parametrize(
    "options", ["kind=svd-spatial", "kind=svd-channel", "kind=tensor-train", "kind=cp", "ranks=energy"]
)
def test_every_kind_plays_by_the_rules(options: str, check: str) -> None:
    testing.run(check, f"lowrank:{options}")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ranks": 0}, r"ranks can't be 0; a number is whole, and a share lies between 0 and 1"),
        ({"ranks": "2.5"}, r"ranks can't be 2\.5; a number is whole, and a share lies between 0 and 1"),
        ({"ranks": "-3"}, r"ranks can't be -3; a number is whole"),
        ({"kind": "svd"}, r"option kind can't be 'svd'"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        made(options)
