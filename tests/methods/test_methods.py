"""The suite that every method passes, unedited: the conformance kit, on one network of each family."""

import pytest

from bench import testing
from bench.plugins import discovery

# A method on a network is made once for all checks, so that they go to one process where pytest has several.
CASES = [
    pytest.param(method, model, marks=pytest.mark.xdist_group(f"{method} {model}"))
    for method in discovery.available(discovery.METHODS)
    for model in testing.FAMILIES
]


@pytest.mark.parametrize("check", testing.CHECKS)
@pytest.mark.parametrize(("method", "model"), CASES)
def test_it_plays_by_the_rules(method: str, model: str, check: str) -> None:
    testing.run(check, method, model)
