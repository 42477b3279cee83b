"""Runs the conformance kit for every method on a GPU and writes the results to a JSON file, method by method."""

import json
import sys
import unittest
from pathlib import Path

from bench import testing
from bench.plugins.discovery import METHODS, available

CHECK = "works_on_a_gpu"


def main(out: Path) -> int:
    outcomes = {}
    for method in available(METHODS):
        try:
            testing.run(CHECK, method)
            outcomes[method] = "passed"
        except unittest.SkipTest:
            outcomes[method] = "skipped"
        except testing.CheckFailed as error:
            outcomes[method] = str(error)
        out.write_text(json.dumps(outcomes, indent=1), encoding="utf-8")
        print(method, outcomes[method], flush=True)
    return int(any(said not in ("passed", "skipped") for said in outcomes.values()))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
