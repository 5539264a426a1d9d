"""Native kernels, one package per library: faster than the core, never different."""

from qcore.backends.service import Report, Service, report

__all__ = ["Report", "Service", "report"]
