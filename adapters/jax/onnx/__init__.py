"""ONNX models of JAX functions, quantized by QuantizeLinear and DequantizeLinear."""
