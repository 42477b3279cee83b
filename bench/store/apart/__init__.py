"""What is measured of finished runs and stands in files beside those that are sealed: a file here for each kind."""
