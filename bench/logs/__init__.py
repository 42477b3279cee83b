"""Where the figures of a sweep go as they come: a file for each way; the contract is `bench.logs._log`."""
