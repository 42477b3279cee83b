"""Testing networks on corrupted test images: with noise, blur, weather, or lossy storage."""
