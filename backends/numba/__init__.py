"""Compiled CPU kernels on NumPy's arrays.

They compile when first called, which takes seconds, and are kept on disk by numba: in
the folder of this package, in the user's cache where that cannot be written, or where
NUMBA_CACHE_DIR says. NUMBA_NUM_THREADS bounds the threads of a call.
"""
