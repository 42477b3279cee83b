"""A sweep: which runs of a plan are missing, what changed since the others were made, and having them made."""
