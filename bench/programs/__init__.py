"""What programs call: `bench.compress` and `bench.run`."""
