"""The latency of the networks of a sweep, measured when no run of the sweep is in progress."""
