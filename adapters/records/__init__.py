"""The files in which other toolkits keep what they decided: scales, offsets, ranges."""
