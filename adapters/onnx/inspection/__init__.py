"""What a model holds, or would if it were quantized: read off its file, as data."""
