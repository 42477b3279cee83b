"""The functions that programs call: `bench.compress` and `bench.run`."""
