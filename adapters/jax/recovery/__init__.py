"""What wins back accuracy that quantization has cost a function."""
