"""Executors: the ways to carry out the runs of a sweep, one file or folder for each. Their contract is
`bench.runs.executor`."""
