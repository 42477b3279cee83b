"""Networks in files: writing, reading, checking in a fresh process, exporting."""
