"""Triton: kernels for NVIDIA GPUs, launched by the PyTorch backend."""
