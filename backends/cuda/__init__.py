"""CUDA C for every library on a GPU: the kernels, and in which order they are launched.

What a library has of its own is a `Device`: memory, and a way to launch on its stream.
"""
