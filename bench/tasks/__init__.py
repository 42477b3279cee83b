"""What networks are trained to do: a file for each task; the contract is `bench.task`."""
