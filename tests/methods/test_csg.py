"""CSG: the totals of its authors, the product of codes and slices, the variants, and what it costs to generate."""

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from csg_networks import compressed, context, group, of, saved
from hypothesis import given
from hypothesis import strategies as st
from inside import groups_of, kernels_of
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from bench import budget, count, testing
from bench.errors import BudgetError
from bench.files import artifact
from bench.generated import GeneratedNetwork
from bench.kernels.code_length import CodeLength, Cost, solve_code_lengths
from bench.kernels.combinations import SliceGroup
from bench.method import Compressed
from bench.methods.csg import generator as generators
from bench.methods.csg.csg import CSG
from bench.methods.csg.generator import Structure
from bench.methods.csg.papers_layers import papers_choice
from bench.plan import plan
from bench.plugins import networks
from bench.selection import select


def plain_kernels(made: Compressed) -> dict[str, Tensor]:
    """Every kernel by the formula of the paper, a layer at a time: codes times slices, reshaped, tiled, cropped."""
    kernels = {}
    for part in groups_of(made, SliceGroup).values():
        row = 0
        for name, tiling in part.tilings.items():
            size_in, size_out = tiling.slice
            rows, columns = tiling.grid
            codes = part.codes[row : row + tiling.slices]
            slices = codes @ part.slices[: codes.shape[1]]
            row += tiling.slices
            if tiling.kind == "view":
                padded = slices.reshape(rows * size_out, columns * size_in, *tiling.taps)
            else:
                blocks = slices.reshape(rows, columns, size_out, size_in, *tiling.taps)
                padded = torch.cat([torch.cat(list(line), dim=1) for line in blocks], dim=0)
            weight = padded[: tiling.shape[0], : tiling.shape[1]]
            kernels[f"{name}.weight"] = weight.reshape(tiling.shape)
    return kernels


# Totals of the authors' code: slices, code length, stored values.
TABLE = [
    ("resnet20", 10, 16, 72, 176_698),
    ("resnet20", 10, 12, 72, 115_426),
    ("resnet20", 10, 16, 128, 312_218),
    ("resnet56", 10, 16, 128, 347_162),
    ("resnet56", 10, 12, 72, 160_450),
    ("densenet-bc-40-36", 10, 12, 72, 842_842),
    ("densenet-bc-40-48", 10, 12, 72, 1_416_394),
    ("mobilenetv2-cifar", 10, 16, 16, 1_595_322),
    ("shufflenetv2-x0.5-cifar", 10, 16, 16, 171_818),
    ("shufflenetv2-x1-cifar", 10, 16, 16, 822_510),
    ("resnet18", 1000, 16, 128, 7_527_976),
    ("resnet34", 1000, 16, 128, 2_177_832),
    ("resnet50", 1000, 16, 128, 15_163_432),
    ("resnet101", 1000, 16, 128, 24_685_608),
]


@pytest.mark.parametrize(("model", "classes", "side", "code", "stored"), TABLE)
@pytest.mark.parametrize("tiling", ["block", "view"])
@pytest.mark.slow
def test_totals_of_the_authors_code(model: str, classes: int, side: int, code: int, stored: int, tiling: Any) -> None:
    found = networks.find(model).model
    method, network = CSG(slice=(side, side), code=code, tiling=tiling), found.build(3, classes)
    made = of(method, network, given=context(family=found.family))
    assert count.stored_values(made.network) == stored


@pytest.mark.parametrize(
    ("model", "number", "first", "last"),
    [
        ("resnet20", 18, "stage1.0.conv1", "stage3.2.conv2"),
        ("densenet-bc-40-12", 18, "dense1.0.conv2", "dense3.5.conv2"),
        ("mobilenetv2-cifar", 17, "layers.0.conv1", "layers.16.conv1"),
        ("shufflenetv2-x1-cifar", 1, "conv2", "conv2"),
        ("resnet18", 8, "layer1.0.conv1", "layer4.1.conv1"),
        ("resnet34", 32, "layer1.0.conv1", "layer4.2.conv2"),
        ("resnet50", 16, "layer1.0.conv2", "layer4.2.conv2"),
        ("mobilenet_v2", 16, "features.2.conv.0.0", "features.17.conv.0.0"),
        ("shufflenet_v2_x1_0", 1, "conv5.0", "conv5.0"),
        ("squeezenet1_1", 8, "features.3.expand3x3", "features.12.expand3x3"),
    ],
)
def test_what_the_paper_generates_in_each_family(model: str, number: int, first: str, last: str) -> None:
    found = networks.find(model).model
    with torch.device("meta"):
        network = found.build(3, 10)
    names = list(select(network, papers_choice(network, found.family)))
    assert (len(names), names[0], names[-1]) == (number, first, last)


def test_in_a_network_without_spatial_kernels_the_others_are_generated() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 16, 1))
    assert list(select(network, papers_choice(network, ""))) == ["2"]


class Zoo(nn.Module):
    """Odd layers in a row: 3x3 and 1x1, 5x5, groups, depthwise, dilation, bias, one channel, a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 7, 3, padding=1)
        self.plain = nn.Conv2d(7, 10, 3, padding=1, bias=True)
        self.pointwise = nn.Conv2d(10, 9, 1, bias=False)
        self.groups = nn.Conv2d(9, 6, 3, padding=1, groups=3)
        self.depthwise = nn.Conv2d(6, 6, 3, padding=1, groups=6, bias=False)
        self.dilated = nn.Conv2d(6, 5, 3, padding=2, dilation=2, stride=2)
        self.wide = nn.Conv2d(5, 1, 5, padding=2)
        self.last = nn.Conv2d(1, 4, 3, padding=1)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        for layer in (self.stem, self.plain, self.pointwise, self.groups, self.depthwise, self.dilated, self.wide):
            x = torch.tanh(layer(x))
        logits: Tensor = self.head(self.last(x).mean(dim=(2, 3)))
        return logits


def zoo() -> Zoo:
    torch.manual_seed(3)
    return Zoo().double()


EVERYTHING = {"layers": "*", "kernel": "all", "grouped": True, "linear": True, "skip_first": False}


@pytest.mark.parametrize("options", [{}, {"layers": "*", "kernel": "all"}, {"grouped": True}, EVERYTHING])
@pytest.mark.parametrize("slice_", [(4, 4), (3, 5), (16, 16)])
@pytest.mark.parametrize("tiling", ["block", "view"])
def test_outputs_and_gradients_are_those_of_the_per_layer_formula(
    options: dict[str, Any], slice_: tuple[int, int], tiling: Any
) -> None:
    """The one product, one gather path against functional_call on kernels made a layer at a time, in float64."""
    made = of(CSG(slice=slice_, code=3, tiling=tiling, **options), zoo())
    network = made.network
    images = torch.randn(4, 2, 9, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    parameters = list(network.parameters())
    network(images).square().sum().backward()
    got = [parameter.grad for parameter in parameters]
    outputs = torch.func.functional_call(_with_holes_filled(made), plain_kernels(made), (images,))
    expected = torch.autograd.grad(outputs.square().sum(), parameters)
    assert torch.allclose(network(images), outputs, rtol=1e-9, atol=1e-12)
    for mine, theirs in zip(got, expected, strict=True):
        assert mine is not None
        assert torch.allclose(mine, theirs, rtol=1e-6, atol=1e-6 * float(theirs.abs().max()) + 1e-15)


def _with_holes_filled(made: Compressed) -> nn.Module:
    """The plain network that shares every other parameter, for functional_call to put kernels into."""
    network = made.network
    assert isinstance(network, GeneratedNetwork)
    network.train()  # takes the last forward pass's kernels out
    filled = copy.copy(network.network)
    filled._modules = dict(network.network._modules)
    for name in plain_kernels(made):
        path, _, parameter = name.rpartition(".")
        layer = copy.copy(filled.get_submodule(path))
        layer._parameters = {**layer._parameters, parameter: nn.Parameter(torch.zeros(()))}
        filled._modules[path] = layer
    return filled


def test_everything_is_generated_where_everything_is_asked_for() -> None:
    made = of(CSG(code=2, slice=(4, 4), **EVERYTHING), zoo())
    assert set(kernels_of(made)) == {f"{name}.weight" for name, _ in zoo().named_children()}
    assert list(groups_of(made, SliceGroup)) == ["3x3", "1x1", "5x5"]


def test_kernel_sizes_have_a_generator_each() -> None:
    """K (D + N) each, counted by hand: 3x3 has 6 + 4 + 1 slices of 144 values, 1x1 has 9 of 16, and 5x5 has 2 of 100,
    since its one layer has one output, to which slices are cut."""
    method = CSG(code=2, slice=(4, 4), layers="*", kernel="all")
    made, dense = of(method, zoo()), zoo()
    slices = {"3x3": 6 + 4 + 1, "1x1": 9, "5x5": 2}
    values = {"3x3": 144, "1x1": 16, "5x5": 100}
    generated = [dense.plain, dense.pointwise, dense.dilated, dense.wide, dense.last]
    kept = count.stored_values(dense) - sum(layer.weight.numel() for layer in generated)
    assert count.stored_values(made.network) == kept + sum(2 * (slices[size] + values[size]) for size in slices)
    assert {size: group(made, size).codes.shape[0] for size in slices} == slices
    assert made.solved["code.3x3"] == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "authors_choice"),
    [("mobilenetv2-cifar", {"layers": "layers.*.conv1", "kernel": "1x1"}), ("resnet18", {"layers": "layer*.conv1"})],
)
def test_more_is_generated_where_the_authors_choice_cannot_reach_the_budget(
    model: str, authors_choice: dict[str, Any]
) -> None:
    asked = round(count.stored_values(testing.network(model)) / 8)
    with pytest.raises(BudgetError, match="what is not generated stores"):
        compressed(CSG(**authors_choice), model, asked)
    assert budget.met(asked, count.stored_values(compressed(CSG(), model, asked).network))


@pytest.mark.slow
@pytest.mark.parametrize("model", ["resnet8", "densenet-bc-40-12", "mobilenetv2-cifar", "shufflenetv2-x0.5-cifar"])
@pytest.mark.parametrize("options", [{}, {"generator": "binary"}, {"hidden": 24}, {"layers": "*", "kernel": "all"}])
def test_budgets_are_met(model: str, options: dict[str, Any]) -> None:
    asked = round(0.8 * count.stored_values(testing.network(model)))
    stored = count.stored_values(compressed(CSG(**options), model, asked).network)
    assert budget.met(asked, stored)
    if options != {"hidden": 24}:
        assert asked - stored in (0, 1)


@given(
    st.integers(0, 200_000),
    st.lists(st.builds(Cost, st.integers(1, 400), st.integers(0, 2500), st.integers(1, 2500)), min_size=1, max_size=3),
)
def test_code_lengths_use_the_budget_to_the_value(asked: int, costs: list[Cost]) -> None:
    lengths = solve_code_lengths(asked, costs)
    least = sum(cost.slices + cost.stored for cost in costs)
    if lengths is None:
        assert asked < least
        return
    used = sum(length.whole * (cost.slices + cost.stored) for length, cost in zip(lengths, costs, strict=True))
    first, partial = costs[0], lengths[0]
    used += partial.partial_codes + (partial.partial_values if first.stored else 0)
    assert partial.partial_codes <= first.slices
    assert all(length.whole >= 1 for length in lengths)
    assert used <= asked
    assert asked - used <= (1 if first.stored else 0)


def test_kernels_are_codes_times_slices_also_where_one_slice_is_partial() -> None:
    part = group(compressed(CSG(slice=(12, 12)), budget=70_000))
    assert part.partial_codes is not None
    assert part.partial_slice is not None
    with torch.no_grad():
        part.partial_slice.normal_()
    kernels = part()
    row = 0
    for name, tiling in part.tilings.items():
        flat = []
        for _ in range(tiling.slices):
            total = part.codes[row] @ part.slices
            if row < len(part.partial_codes):
                total = total.clone()
                total[: len(part.partial_slice)] += part.partial_codes[row] * part.partial_slice
            flat.append(total)
            row += 1
        made = kernels[f"{name}.weight"].permute(0, 2, 3, 1).flatten()
        assert torch.allclose(made, torch.cat(flat)[tiling.index()], atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"generator": "binary"}, {"generator": "gaussian"}, {"hidden": 32}])
@pytest.mark.parametrize("codes", ["normal", "uniform", "orthogonal"])
def test_kernels_start_at_the_scale_of_the_networks_own(options: dict[str, Any], codes: Any) -> None:
    made = compressed(CSG(codes=codes, **options), "resnet56", budget=300_000)
    for name, kernel in kernels_of(made).items():
        he = math.sqrt(2 / (kernel.shape[0] * 9))
        assert kernel.std().item() == pytest.approx(he, rel=0.06), name


@pytest.mark.parametrize("generator", ["learned", "binary"])
def test_the_authors_initialisation_is_twenty_times_as_large(generator: Any) -> None:
    """Codes N(0.001, 1): kernels of deviation sqrt(2) from a Kaiming generator, 0.5 sqrt(K) from plus and minus 0.5."""
    part = group(compressed(CSG(code=72, init="authors", generator=generator), "resnet20"))
    expected = math.sqrt(2) if generator == "learned" else 0.5 * math.sqrt(72)
    assert torch.cat([kernel.flatten() for kernel in part().values()]).std().item() == pytest.approx(expected, rel=0.05)
    assert part.codes.std().item() == pytest.approx(1, rel=0.05)
    if generator == "binary":
        assert set(part.slices.unique().tolist()) == {-0.5, 0.5}


def test_all_kernels_come_from_one_product_and_one_gather() -> None:
    class Seen(TorchDispatchMode):
        def __init__(self) -> None:
            super().__init__()
            self.names: list[str] = []

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            self.names.append(func._schema.name.removeprefix("aten::"))
            return func(*args, **(kwargs or {}))

    made = compressed(CSG(tiling="view", slice=(12, 12), code=30), "resnet56")
    with Seen() as seen:
        kernels_of(made)
    views = {"t", "view", "_unsafe_view", "split_with_sizes", "permute", "detach", "alias"}
    assert sorted(name for name in seen.names if name not in views) == ["index_select", "mm"]


@pytest.mark.parametrize("kind", ["binary", "gaussian"])
def test_a_random_generator_stores_nothing_and_comes_back_from_its_seed(kind: Any) -> None:
    method = CSG(code=72, generator=kind)
    made = compressed(method, "resnet20")
    # 16x16 slices: 116 of them, and 10,810 - 116 * 72 values that are not generated.
    assert count.stored_values(made.network) == 10_810
    assert count.trained_values(made.network) == 10_810
    again = method.rebuild(testing.network("resnet20"), made.structure(), context(9))
    assert torch.equal(group(again).slices, group(made).slices)
    assert not torch.equal(group(compressed(method, "resnet20", seed=1)).slices, group(made).slices)
    if kind == "binary":
        assert len(group(made).slices.unique()) == 2


def test_a_hidden_layer_makes_it_nonlinear() -> None:
    """K N + K H + H D values; kernels are no longer linear in the codes."""
    made = compressed(CSG(code=6, hidden=10), "resnet20")
    assert count.stored_values(made.network) == 10_810 - 116 * 72 + 6 * 116 + 6 * 10 + 10 * 2304
    part = group(made)
    before = part()
    with torch.no_grad():
        part.codes.neg_()
    after = part()
    assert not any(torch.allclose(after[name], -kernel) for name, kernel in before.items())


def test_what_stands_at_its_default_changes_no_id() -> None:
    from conftest import tiny_spec

    for written, short in [("csg:compress_at=0", "csg"), ("csg:init=svd:compress_at=0.5", "csg:init=svd")]:
        assert plan.from_spec(tiny_spec([written])).runs[1].id == plan.from_spec(tiny_spec([short])).runs[1].id


def test_a_network_that_is_only_called_like_a_family_gets_the_general_rule() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 1))
    assert list(select(network, papers_choice(network, "resnet18"))) == ["1"]


def test_options_apply_before_the_rule_falls_back_to_pointwise_kernels() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, groups=2), nn.Conv2d(8, 16, 1))
    assert list(select(network, papers_choice(network, ""))) == ["2"]
    assert list(kernels_of(of(CSG(code=2, grouped=True), network))) == ["1.weight"]


def test_dead_codes_are_reported_and_stay_at_zero() -> None:
    """ResNet-56 in 12x12 slices has 105 of 861, by a reading of the authors' code. Decay must do nothing to them."""
    made = compressed(CSG(slice=(12, 12), code=72, tiling="view"), "resnet56")
    part = group(made)
    assert (len(part.codes), int(part.dead().sum()), made.solved["dead_slices"]) == (861, 105, 105)
    small = compressed(CSG(slice=(12, 12), code=4, tiling="view"), "resnet8")
    dead = group(small).dead()
    optimizer = torch.optim.SGD(small.network.parameters(), lr=1e-3, momentum=0.9, weight_decay=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        images = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
        small.network(images).logsumexp(1).sum().backward()
        gradient = group(small).codes.grad
        assert gradient is not None
        assert not gradient[dead].any()
        assert gradient[~dead].any(dim=1).all()
        optimizer.step()
    assert not group(small).codes[dead].any()


def test_half_precision_loses_nothing_more_when_saved(tmp_path: Path) -> None:
    made = compressed(CSG(code=8, half=True), "resnet8")
    full = saved(tmp_path / "full.safetensors", made).stat().st_size
    made.network(torch.randn(4, 3, 8, 8))
    made.settle()
    made.network.eval()
    file = saved(tmp_path / "half.safetensors", made)
    assert file.stat().st_size < 0.6 * full
    images = torch.randn(2, 3, 8, 8)
    loaded = artifact.load(file).network
    assert torch.equal(loaded(images), made.network(images))
    assert count.stored_values(loaded) == count.stored_values(made.network)


def test_what_is_wrong_is_named() -> None:
    for options, message in [
        ({"slice": (0, 16)}, "slice can't be 0x16"),
        ({"code": 0}, "code can't be 0"),
        ({"hidden": 0}, "hidden can't be 0"),
        ({"generator": Path("/none")}, "generator can't be '/none': no such file; it is learned, binary, gaussian, or"),
        ({"generator": "binary", "init": "svd"}, "init=svd makes its own generator"),
        ({"generator": "binary", "hidden": 3}, "hidden=3 makes its own generator"),
        ({"hidden": 3, "init": "svd"}, "init=svd is for a linear generator"),
        ({"kernel": "all"}, r"kernel=all goes with layers that are named; write layers=\*:kernel=all"),
        ({"layers": "*", "kernel": "big"}, "kernel can't be 'big'"),
        ({"layers": ""}, "layers can't be empty"),
        ({"init": "svd", "codes": "uniform"}, "init=svd works the codes out; leave codes=uniform out"),
    ]:
        with pytest.raises(ValueError, match=message):
            CSG(**options)  # type: ignore[arg-type]
    with pytest.raises(BudgetError, match="none called nothing fits kernel=spatial; one is called conv1"):
        compressed(CSG(layers="nothing", code=2))
    with pytest.raises(BudgetError, match=r"stores 1,818 values, and a code length of 1 with .* 2,584; 3,000 were"):
        compressed(CSG(slice=(16, 16)), budget=3_000)
    with pytest.raises(ValueError, match="csg needs a budget, or a code length: code=8"):
        compressed(CSG())
    made = compressed(CSG(code=2, half=True), "resnet8")
    with torch.no_grad():
        group(made).codes[0, 0] = 1e6
    with pytest.raises(ArithmeticError, match=r"generator\.groups\.3x3\.codes has values too large for half precision"):
        made.settle()


def test_with_the_code_given_the_budget_decides_nothing() -> None:
    assert CSG().sized_by_budget
    assert not CSG(code=8).sized_by_budget


def test_a_structure_that_says_too_little_is_refused() -> None:
    whole = compressed(CSG(code=2), "resnet8").structure()
    with pytest.raises(ValueError, match=r"structure is incomplete \('tiling'\)"):
        Structure.of({name: value for name, value in whole.items() if name != "tiling"})
    other = Structure.of({**whole, "lengths": {"5x5": [2, 0, 0]}})
    assert other.lengths == {"5x5": CodeLength(2)}
    with pytest.raises(ValueError, match="it generates kernels of 5x5; the network has 3x3"):
        generators.groups_of(testing.network("resnet8"), other)
