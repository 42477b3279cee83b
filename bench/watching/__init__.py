"""The progress of a sweep as a store shows it, and its display (`bench watch`). Nothing here imports torch."""
