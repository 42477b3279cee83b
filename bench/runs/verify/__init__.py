"""Checking a store against its records: the seals first, then every saved network, measured again."""
