"""AMCT's calibration operator and its configuration."""
