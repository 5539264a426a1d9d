"""The functions of pytorch-quantization's `tensor_quant`, with their gradients."""
