"""From what is asked for to the list of runs."""
