"""The conformance kit: what every method must keep to, as checks that name what is wrong.

For `bench check NAME`, and for pytest in a plugin of one's own:

    @pytest.mark.parametrize("check", testing.CHECKS)
    def test_it_plays_by_the_rules(check: str) -> None:
        testing.run(check, "mine", plugins=["mine.py"])

A check raises CheckFailed, or unittest's SkipTest (which pytest takes as its own) with a reason. `network` and
`compress` are for tests of what is special about a method.
"""

from bench.testing.checks import CHECKS, CheckFailed
from bench.testing.kit import FAMILIES, Result, compress, network, run, run_all

__all__ = ["CHECKS", "FAMILIES", "CheckFailed", "Result", "compress", "network", "run", "run_all"]
