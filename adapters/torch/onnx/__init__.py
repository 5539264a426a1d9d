"""Export: quantizers become QuantizeLinear and DequantizeLinear."""
