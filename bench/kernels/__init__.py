"""Shared code of methods that generate kernels: how slices tile kernels, are combined, and are initialised."""
