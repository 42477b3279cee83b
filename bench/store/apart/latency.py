"""A run's latency: it depends on what else the machine does, so it is measured when all runs of a sweep are made. Its
file also has `measured`, the run whose network was measured: another seed's of the same shape stands for it."""

from bench.store.apart.apart import Apart

# Until 1 the median of passes during the run, with all threads, is all that the file has.
LATENCY = Apart(
    "latency.json",
    2,
    frozenset({"latency_ms", "latency_128_ms", "latency_spread", "latency_threads"}).__contains__,
)
