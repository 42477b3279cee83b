"""Who carries out the runs of a sweep: a file for each way; the contract is `bench.runs.executor`."""
