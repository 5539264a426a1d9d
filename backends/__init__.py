"""Native kernels by library and by compiler: faster than the core, never different."""

from qcore.backends.service import Report, Service, report

__all__ = ["Report", "Service", "report"]
