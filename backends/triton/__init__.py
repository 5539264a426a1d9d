"""Kernels in Triton, which compile for the GPU that the data is on.

They compile when first called; under ``TRITON_INTERPRET=1``, set before triton is
imported, they run on the CPU instead, slowly and to the same bits. `backends.torch`
registers them.
"""
