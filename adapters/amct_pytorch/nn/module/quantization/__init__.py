"""Modules that quantize or calibrate."""
