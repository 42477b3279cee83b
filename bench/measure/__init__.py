"""Measuring a network: its size and computation, its speed, and whether it equals another network."""
