"""Learning rates by layer group: a head's, times a method's own, and the lowest where a parameter serves several."""

import pytest
import torch
from torch import Tensor, nn

from bench import count
from bench.errors import InputError
from bench.measure import account
from bench.method import Compressed
from bench.model import Model
from bench.models._build import build_network
from bench.models._head import rate_of_layer
from bench.plan.method_choice import find_methods
from bench.plugins import networks
from bench.training.optimizer import make_optimizer
from bench.training.schedule import Schedule

TENFOLD = Schedule(epochs=1, learning_rate=0.1, head_rate=10.0)


def rates(method: str, model: str = "deeplabv3-resnet8", ratio: int = 4, seed: int = 0) -> dict[str, float]:
    """Each trained parameter's learning rate, by its name in the compressed network, over the schedule's."""
    chosen, (choice,) = networks.find(model).model, find_methods([method])
    network = build_network(chosen, 3, 10, seed)
    values = round(count.stored_values(network) / ratio) if choice.method.sized_by_budget else None
    made = account.compress(choice.method, network, values, seed, True, chosen.family)
    optimizer = make_optimizer(made, TENFOLD, rate_of_layer(chosen, 3, 10, TENFOLD.head_rate))
    names = {id(parameter): name for name, parameter in made.network.named_parameters()}
    return {names[id(parameter)]: group["rate"] for group in optimizer.param_groups for parameter in group["params"]}


def test_all_that_is_not_the_backbone_is_the_head() -> None:
    found = rates("dense")
    assert {name.partition(".")[0] for name, rate in found.items() if rate == 1} == {"backbone"}
    assert {name.partition(".")[0] for name, rate in found.items() if rate == 10} == {
        *("pyramid", "head", "classifier", "aux_classifier")
    }


def test_without_a_backbone_the_head_is_what_depends_on_the_classes() -> None:
    found = rates("dense", "resnet8")
    assert {name for name, rate in found.items() if rate == 10} == {"classifier.weight", "classifier.bias"}
    assert set(found.values()) == {1, 10}


def test_a_generator_that_serves_both_has_the_lowest_rate_and_one_of_each_its_own() -> None:
    both = {name: rate for name, rate in rates("csg:layers=*").items() if name.startswith("generator.")}
    assert both
    assert set(both.values()) == {1}
    apart = {name: rate for name, rate in rates("csg").items() if name.startswith("generator.")}
    assert {rate for name, rate in apart.items() if ".3x3-pyramid." in name} == {10}
    assert {rate for name, rate in apart.items() if ".3x3." in name} == {1}


@pytest.mark.parametrize("share", ["layer", "network"])
def test_a_hash_table_has_the_lowest_rate(share: str) -> None:
    """The tables of all layers are one parameter."""
    assert {rate for name, rate in rates(f"hashing:share={share}").items() if name.startswith("generator.")} == {1}


def test_it_is_multiplied_with_the_methods_own() -> None:
    """Of a chain of three convolutions each has a third of the rate, since a kernel moves with all of them."""
    found = {name: rate for name, rate in rates("lowrank", ratio=2).items() if rate not in (1, 10)}
    in_backbone = {rate for name, rate in found.items() if name.startswith("backbone.stage")}
    in_head = {rate for name, rate in found.items() if name.startswith(("pyramid.dilated.", "head."))}
    assert [*in_backbone] == [pytest.approx(1 / 3)]
    assert [*in_head] == [pytest.approx(10 / 3)]


def test_layers_that_share_a_parameter_have_the_lowest_rate() -> None:
    class Tied(nn.Module):
        def __init__(self, num_classes: int) -> None:
            super().__init__()
            self.body, self.more = nn.Conv2d(3, 6, 3), nn.Linear(6, 6)
            self.fc = nn.Linear(6, 6)
            self.fc.weight = self.more.weight
            self.out = nn.Linear(6, num_classes)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.fc(self.more(self.body(x).mean((2, 3)))))

    def factor(layer: str) -> float:
        return {"more": 3.0, "fc": 2.0}.get(layer, 1.0)

    network = Tied(4)
    groups = Compressed(network).parameter_groups(0.0, 1.0, factor)
    found = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    assert [found[id(own)] for own in (network.fc.weight, network.fc.bias, network.more.bias)] == [2, 2, 3]


def test_a_step_moves_the_head_ten_times_as_far() -> None:
    model = networks.find("deeplabv3-resnet8").model
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    moved = []
    for head_rate in (1.0, 10.0):
        schedule = Schedule(epochs=1, learning_rate=0.1, momentum=0.0, weight_decay=0.0, head_rate=head_rate)
        network = build_network(model, 3, 5, 0)
        before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
        optimizer = make_optimizer(Compressed(network), schedule, rate_of_layer(model, 3, 5, head_rate))
        outputs = network.train()(images)
        (outputs["out"].square().mean() + outputs["aux"].square().mean()).backward()
        optimizer.step()
        moved.append({name: parameter.detach() - before[name] for name, parameter in network.named_parameters()})
    assert any(name.startswith("backbone.") for name in moved[0])
    for name, change in moved[0].items():
        times = 1 if name.startswith("backbone.") else 10
        torch.testing.assert_close(moved[1][name], times * change, rtol=1e-3, atol=1e-6)


def test_a_network_without_a_head_is_refused() -> None:
    model = Model(lambda: nn.Conv2d(3, 10, 1))
    with pytest.raises(InputError, match="head_rate=10 needs a network that has a head"):
        rate_of_layer(model, 3, 10, 10.0)
