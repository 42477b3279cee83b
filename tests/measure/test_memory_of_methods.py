"""Compressing a network that a program holds adds at most four times its weights to the peak of memory, whatever the
method: the copy that is compressed is among them."""

import os
import subprocess
import sys
from functools import lru_cache

import pytest

from bench.plan.method_choice import find_methods

# Of 45 MB: large enough for its weights to count for more than what torch and the allocator take besides.
NETWORK = "resnet18"
# One of 102 MB: the eigenvectors of 2304 values of a slice, and what finds them, take 200 MB whatever the network.
LARGE = {"csg:init=svd": "resnet50"}
RATIO = 8
BOUND = 4
# What a first call of torch's and numpy's functions takes for good, whatever the network, and a layer's temporaries.
CONSTANT = 60_000_000

# These take longer than the other methods together, or find widths as `width` does.
LONG = ("lowrank", "pruning", "crelu", "separable", "sharing", *LARGE)

# A fresh process for each method, for memory that was freed before would be taken again unseen: all are forked from one
# that has imported torch and done nothing else.
MEASURE = """
import os, sys, torch
import bench
from bench import count
from bench.measure import account, memory
from bench.models._build import build_network
from bench.plan.plan import find_methods
from bench.plugins import networks

def measure(name):
    method, device = find_methods([name])[0].method, torch.device("cpu")
    for of, classes in ((small, 10), (model, 1000)):  # the first time is for what is loaded once
        network = build_network(of, 3, classes, 0)
        dense = count.stored_values(network)
        asked = f"{ratio}x" if method.sized_by_budget else None
        if not memory.forget_peak(device):
            sys.exit("the system does not let a process forget its peak")
        before = memory.peak_bytes(device)
        account.to_size(method, bench.compress(network, name, asked))
    print(name, 4 * dense, memory.peak_bytes(device) - before, flush=True)

model, ratio, small = networks.find(sys.argv[1]).model, int(sys.argv[2]), networks.find("resnet8").model
torch.set_num_threads(1)
for name in sys.argv[3:]:
    if not (child := os.fork()):
        measure(name)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        sys.exit(f"{name} failed")
"""


@lru_cache(maxsize=1)
def peaks_of(methods: tuple[str, ...], network: str) -> dict[str, tuple[int, int]]:
    """Of each method, bytes of the network's weights, and what compressing it adds to the peak."""
    # Without these, glibc keeps what is freed, more or less of it by chance.
    steady = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1"}
    arguments = [sys.executable, "-c", MEASURE, network, str(RATIO), *methods]
    done = subprocess.run(arguments, env={**os.environ, **steady}, capture_output=True, text=True)
    if "does not let a process forget its peak" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    return {name: (int(weights), int(added)) for name, weights, added in lines}


ALL = [*(choice.name for choice in find_methods(["all"])), *LARGE]
SHORT = tuple(name for name in ALL if name not in LONG)


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
@pytest.mark.xdist_group("memory of methods")
@pytest.mark.parametrize(
    "method", [pytest.param(name, marks=pytest.mark.whole if name in LONG else pytest.mark.slow) for name in ALL]
)
def test_compressing_adds_at_most_four_times_the_weights(method: str) -> None:
    weights, added = peaks_of(SHORT if method in SHORT else (method,), LARGE.get(method, NETWORK))[method]
    assert added <= BOUND * weights + CONSTANT, f"{added / weights:.1f} times the weights"
