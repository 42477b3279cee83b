"""The command line. What imports torch is imported inside the commands, so that `bench --help` answers at once."""
