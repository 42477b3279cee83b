"""From a finished network to a smaller file for deployment: the work of `bench compress`."""
