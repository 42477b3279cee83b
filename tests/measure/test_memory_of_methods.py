"""Compressing a network adds at most four times its weights to the peak of memory, whatever the method."""

import os
import subprocess
import sys

import pytest

from bench.plan.plan import find_methods

# Of 45 MB: large enough for its weights to count for more than what torch and the allocator take besides.
NETWORK = "resnet18"
RATIO = 8
BOUND = 4
# What a first call of torch's and numpy's functions takes for good, whatever the network, and a layer's temporaries.
CONSTANT = 60_000_000

# These take longer than the other methods together, or find widths as `width` does.
LONG = ("lowrank", "pruning", "crelu", "separable", "sharing")

# A fresh process, for memory that was freed before would be taken again unseen.
MEASURE = """
import sys, torch
from bench import count
from bench.measure import account, memory
from bench.measure.resizable import Resizing
from bench.models._build import build_network
from bench.plan.plan import find_methods
from bench.plugins import networks

name, model, ratio = sys.argv[1], networks.find(sys.argv[2]).model, int(sys.argv[3])
method, device = find_methods([name])[0].method, torch.device("cpu")
torch.set_num_threads(1)
small = networks.find("resnet8").model
for of, classes in ((small, 10), (model, 1000)):  # the first time is for what is loaded once
    network = build_network(of, 3, classes, 0)
    dense = count.stored_values(network)
    asked = dense // ratio if method.sized_by_budget else None
    if not memory.forget_peak(device):
        sys.exit("the system does not let a process forget its peak")
    before = memory.peak_bytes(device)
    resizing = Resizing(of, 3, classes)
    made = account.compress(method, network, asked, 0, method.compress_at > 0, of.family, lambda: resizing.of(0))
    account.to_size(method, made)
print(4 * dense, memory.peak_bytes(device) - before)
"""


def peak_of(method: str) -> tuple[int, int]:
    """Bytes of the network's weights, and what compressing it adds to the peak."""
    # Without these, glibc keeps what is freed, more or less of it by chance.
    steady = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1"}
    arguments = [sys.executable, "-c", MEASURE, method, NETWORK, str(RATIO)]
    done = subprocess.run(arguments, env={**os.environ, **steady}, capture_output=True, text=True)
    if "does not let a process forget its peak" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    weights, added = map(int, done.stdout.split())
    return weights, added


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
@pytest.mark.parametrize(
    "method",
    [
        pytest.param(choice.name, marks=pytest.mark.whole if choice.name in LONG else pytest.mark.slow)
        for choice in find_methods(["all"])
    ],
)
def test_compressing_adds_at_most_four_times_the_weights(method: str) -> None:
    weights, added = peak_of(method)
    assert added <= BOUND * weights + CONSTANT, f"{added / weights:.1f} times the weights"
