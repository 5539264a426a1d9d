"""What a quantizer is made of: its descriptor, its settings and its range."""
