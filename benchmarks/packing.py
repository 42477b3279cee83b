"""Images a second of runs side by side on one GPU: one run alone, then two at once, four, and so on.

Run it by hand: `python benchmarks/packing.py --help`. The README beside it says what it measures and why.
"""

import argparse
import statistics
from collections.abc import Sequence

from measuring import rotated
from throughput import sweep


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    jobs = options.jobs.split(",")
    found: dict[str, list[float]] = {number: [] for number in jobs}
    for round_number in range(options.rounds):
        for number in rotated(jobs, round_number):
            found[number].append(sweep(options.network, options.images, int(number), number, options.device))
    print(f"| {options.network} at once | images/s of all | of each | times one |")
    print("| --: | --: | --: | --: |")
    alone = statistics.median(found[jobs[0]]) / int(jobs[0])
    for number in jobs:
        rate = statistics.median(found[number])
        print(f"| {number} | {rate:,.0f} | {rate / int(number):,.0f} | {rate / alone:.2f} |", flush=True)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="resnet20")
    parser.add_argument("--jobs", default="1,2,4,8,16", help="numbers of runs at once")
    parser.add_argument("--images", type=int, default=20_000, help="of an epoch")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--device", default="cuda")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
