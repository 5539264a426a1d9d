"""What wins back accuracy that quantization has cost a model, layer by layer."""
