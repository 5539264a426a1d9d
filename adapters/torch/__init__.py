"""Quantization of PyTorch models.

The module names are those of pytorch-quantization, whose users change the prefix of
their imports: `tensor_quant`, `nn`, `calib`, `quant_modules`, `optim`, `utils`.
"""
