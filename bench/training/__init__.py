"""The one training loop, its schedule, and evaluation."""
