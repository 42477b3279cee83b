"""Networks in files: written, read, proved whole in a fresh process, exported."""
