"""What training of quantized models needs of the optimizer's side."""
