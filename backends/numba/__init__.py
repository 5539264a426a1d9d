"""Compiled CPU kernels on NumPy's arrays.

They compile when first called, which takes seconds, and are kept on disk by numba. They
are not yet registered: the portable functions and NumPy's own natives serve all calls.
"""
