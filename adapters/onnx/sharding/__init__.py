"""Calibration in parts: by many workers, by many machines, or after an interruption."""
