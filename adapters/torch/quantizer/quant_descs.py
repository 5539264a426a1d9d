"""Descriptors that come ready-made, under the names of pytorch-quantization."""

from qcore.adapters.torch.quantizer.descriptor import ScaledQuantDescriptor

QUANT_DESC_8BIT_PER_TENSOR = ScaledQuantDescriptor(num_bits=8)
QUANT_DESC_UNSIGNED_8BIT_PER_TENSOR = ScaledQuantDescriptor(num_bits=8, unsigned=True)
QUANT_DESC_8BIT_CONV1D_WEIGHT_PER_CHANNEL = ScaledQuantDescriptor(num_bits=8, axis=0)
QUANT_DESC_8BIT_CONV2D_WEIGHT_PER_CHANNEL = ScaledQuantDescriptor(num_bits=8, axis=0)
QUANT_DESC_8BIT_CONV3D_WEIGHT_PER_CHANNEL = ScaledQuantDescriptor(num_bits=8, axis=0)
QUANT_DESC_8BIT_LINEAR_WEIGHT_PER_ROW = ScaledQuantDescriptor(num_bits=8, axis=0)
QUANT_DESC_8BIT_CONVTRANSPOSE1D_WEIGHT_PER_CHANNEL = ScaledQuantDescriptor(
    num_bits=8, axis=1
)
QUANT_DESC_8BIT_CONVTRANSPOSE2D_WEIGHT_PER_CHANNEL = ScaledQuantDescriptor(
    num_bits=8, axis=1
)
QUANT_DESC_8BIT_CONVTRANSPOSE3D_WEIGHT_PER_CHANNEL = ScaledQuantDescriptor(
    num_bits=8, axis=1
)
