"""Shared by methods that generate kernels: how slices tile them, are combined, and start."""
