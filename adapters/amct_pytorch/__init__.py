"""Classes of AMCT (Ascend Model Compression Toolkit) under their original paths."""
