"""A run's latency. It depends on the machine's other work, so it is measured once all runs of a sweep are made.

The file also has `measured`, the id of the run whose network was measured. Networks of the same shape share one
measurement, so this may be a run of another seed.
"""

from bench.store.apart.apart import Apart

# A file of format 1 only has the median of passes during the run, with all threads.
LATENCY = Apart(
    "latency.json",
    2,
    frozenset({"latency_ms", "latency_128_ms", "latency_spread", "latency_threads"}).__contains__,
)
