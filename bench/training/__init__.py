"""The only training loop, its schedule, and evaluation."""
