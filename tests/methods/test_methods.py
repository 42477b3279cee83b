"""The suite that every method passes, unedited: the conformance kit, on one network of each family."""

from typing import Any

import pytest

from bench import testing
from bench.plugins import discovery

# Every method is tried on these two, and these three methods on every family; the rest only in the whole suite.
NETWORKS = ("resnet8", "shufflenetv2-x0.5-cifar")
EVERYWHERE = ("csg", "lowrank", "pruning")
# Other ways of a method: those whose shape or state changes in training.
VARIANTS = (
    *("csg:init=svd", "csg:generator=binary", "csg:half=true", "basis:compress_at=0.5", "gcnn:group=p4"),
    *("hashing:compress_at=0.5", "hashing:block=144", "hashing:share=network", "lego:until=0.5", "lowrank:kind=cp"),
    *("lowrank:weight_decay=scaled", "pruning:until=0.75", "pruning:importance=taylor", "separable:between=norm-relu"),
    *("sparse:training=gradual", "sparse:training=rigl"),
)


def case(method: str, model: str, *marks: pytest.MarkDecorator) -> Any:
    # A method on a network is made once for all checks, so that they go to one process where pytest has several.
    return pytest.param(method, model, marks=[pytest.mark.xdist_group(f"{method} {model}"), *marks])


def marks(method: str, model: str) -> list[pytest.MarkDecorator]:
    if model not in NETWORKS and method not in EVERYWHERE:
        return [pytest.mark.whole]
    return [pytest.mark.slow]


CASES = [
    *(case(name, model, *marks(name, model)) for name in discovery.available("methods") for model in testing.FAMILIES),
    *(case(text, "resnet8", pytest.mark.slow) for text in VARIANTS),
]


@pytest.mark.parametrize("check", testing.CHECKS)
@pytest.mark.parametrize(("method", "model"), CASES)
def test_it_plays_by_the_rules(method: str, model: str, check: str) -> None:
    testing.run(check, method, model)
