"""The suite that every method passes, unedited: the conformance kit, on one network of each family."""

from typing import Any

import pytest

from bench import testing
from bench.plugins import discovery

# Every method is tried on these two, and these three methods on every family of small networks; the rest only in the
# whole suite.
NETWORKS = ("resnet8", "shufflenetv2-x0.5-cifar")
LARGE = ("resnet18",)
EVERYWHERE = ("csg", "lowrank", "pruning")
# What segments, which every method is tried on too; the longest checks in the whole suite alone.
OF_PIXELS = "deeplabv3-resnet8"
# Other ways of a method: those whose shape or state changes in training.
VARIANTS = (
    *("csg:init=svd", "csg:generator=binary", "csg:half=true", "basis:compress_at=0.5", "gcnn:group=p4"),
    *("hashing:compress_at=0.5", "hashing:block=144", "hashing:share=network", "lego:until=0.5", "lowrank:kind=cp"),
    *("lowrank:weight_decay=scaled", "pruning:until=0.75", "pruning:importance=taylor", "separable:between=norm-relu"),
    *("sparse:training=gradual", "sparse:training=rigl"),
)


# The longest of them are tried on the first network alone.
LONGEST = (
    "goes_on_from_any_step",
    "meets_budgets",
    "is_deterministic",
    "keeps_masks_and_count",
    "stores_one_value_a_number",
)


def case(method: str, model: str, *marks: pytest.MarkDecorator) -> Any:
    # A method on a network is made once for all checks, so that they go to one process where pytest has several.
    return pytest.param(method, model, marks=[pytest.mark.xdist_group(f"{method} {model}"), *marks])


def marks(method: str, model: str) -> list[pytest.MarkDecorator]:
    # What is given is the network itself, as dense is.
    tried = NETWORKS[:1] if method == "given" else testing.FAMILIES if method in EVERYWHERE else NETWORKS
    if model in LARGE or model not in tried:
        return [pytest.mark.whole]
    return [pytest.mark.slow]


CASES = [
    *(case(name, model, *marks(name, model)) for name in discovery.available("methods") for model in testing.FAMILIES),
    *(case(text, NETWORKS[0], pytest.mark.slow) for text in VARIANTS),
    *(
        case(name, OF_PIXELS, pytest.mark.slow if name in EVERYWHERE else pytest.mark.whole)
        for name in discovery.available("methods")
    ),
]


@pytest.mark.parametrize("check", [check for check in testing.CHECKS if check not in LONGEST])
@pytest.mark.parametrize(("method", "model"), CASES)
def test_it_plays_by_the_rules(method: str, model: str, check: str) -> None:
    testing.run(check, method, model)


@pytest.mark.parametrize("check", LONGEST)
@pytest.mark.parametrize(
    ("method", "model"),
    [
        *(case(name, NETWORKS[0], pytest.mark.slow) for name in (*discovery.available("methods"), *VARIANTS)),
        *(
            case(name, model, pytest.mark.whole)
            for name in discovery.available("methods")
            for model in testing.FAMILIES
            if model != NETWORKS[0]
        ),
    ],
)
def test_it_plays_by_the_longest_rules(method: str, model: str, check: str) -> None:
    testing.run(check, method, model)
