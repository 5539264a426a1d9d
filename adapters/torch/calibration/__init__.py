"""Calibration of whole models: data in, ranges out."""
