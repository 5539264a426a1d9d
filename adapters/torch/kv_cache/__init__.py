"""Keys and values of attention in codes of at most 8 bits."""
