"""The folder of finished runs, and the record of each."""
