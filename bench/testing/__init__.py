"""The conformance kit: checks that every method must pass, each with a message that names the fault.

`bench check NAME` runs them; so can pytest in your own plugin:

    @pytest.mark.parametrize("check", testing.CHECKS)
    def test_it_plays_by_the_rules(check: str) -> None:
        testing.run(check, "mine", plugins=["mine.py"])

A check raises CheckFailed, or unittest's SkipTest with a reason, which pytest counts as a skip. Use `network` and
`compress` to test the special properties of a method.
"""

from bench.testing.checks import CHECKS, CheckFailed
from bench.testing.kit import FAMILIES, Result, compress, network, run, run_all

__all__ = ["CHECKS", "FAMILIES", "CheckFailed", "Result", "compress", "network", "run", "run_all"]
