"""How close quantized models are to the float one."""
