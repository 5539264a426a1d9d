"""Statistics of many processes, as if one had seen all."""
