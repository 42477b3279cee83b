"""From a finished network to a smaller file that can be deployed: what `bench compress` does."""
