"""Steps between a dataset's images and a network: validation split, augmentation, normalisation, batches."""
