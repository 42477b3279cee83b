"""Logs: the places that get a sweep's figures while it runs, one file for each. Their contract is `bench.logs._log`."""
