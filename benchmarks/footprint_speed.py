"""Measures the processor seconds for a row of `bench footprint` on large networks, by method and budget."""

import argparse
import time
from collections.abc import Sequence

import torch

from bench import budget
from bench.plan.method_choice import REFERENCE, find_methods
from bench.plugins import networks
from bench.runs.footprint import Question, footprint

NETWORKS = "wide_resnet50_2,vgg11_bn,densenet121"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--networks", default=NETWORKS, help="like `--model` of `bench footprint`, separated by commas")
    parser.add_argument("--methods", default="all", help="like in `bench footprint`")
    parser.add_argument("--budgets", default="2x,8x", help="like in `bench footprint`")
    parser.add_argument("--pixels", type=int, default=224, help="height and width of an image")
    parser.add_argument("--classes", type=int, default=1000, help="number of classes")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    torch.set_num_threads(options.threads)
    methods, budgets = find_methods(options.methods.split(",")), budget.parse_list(options.budgets)
    print("| network | method | budget | seconds | of these, compressing (wall) | reason |")
    print("| --- | --- | --- | --: | --: | --- |")
    for name in options.networks.split(","):
        question = Question(networks.find(name), (3, options.pixels, options.pixels), options.classes)
        # The reference comes first, since the network is built and examined with it.
        rows = footprint([*find_methods([REFERENCE]), *methods], budgets, question)
        started = time.process_time()
        for row in rows:
            seconds = time.process_time() - started
            compressing = "" if row["compress_seconds"] is None else f"{row['compress_seconds']:.1f}"
            cells = (name, row["method"], row["budget"] or "", f"{seconds:.1f}", compressing, row["reason"] or "")
            print(f"| {' | '.join(cells)} |", flush=True)
            started = time.process_time()


if __name__ == "__main__":
    main()
