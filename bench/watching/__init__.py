"""What a store shows of a sweep under way, and how a person sees it (`bench watch`). Nothing here imports torch."""
