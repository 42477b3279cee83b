"""One run from start to end, and all runs of a sweep."""
