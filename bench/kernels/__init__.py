"""What methods share that generate kernels: how slices tile them, are combined and start."""
