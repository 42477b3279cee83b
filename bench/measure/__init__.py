"""Measuring a network: what it stores and computes, how long it takes, whether two are the same."""
