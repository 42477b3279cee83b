"""Tasks: what networks are trained to do, one file for each. Their contract is `bench.task`."""
