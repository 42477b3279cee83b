"""What happens to images between a dataset and a network: held out, augmented, normalised."""
