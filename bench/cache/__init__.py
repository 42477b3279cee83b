"""Images of datasets, decoded once and kept on the disk for all sweeps and their processes."""
