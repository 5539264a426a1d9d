"""Native kernels, one module per library: faster than the core, never different."""
