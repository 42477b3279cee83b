"""From a spec to the list of runs."""
