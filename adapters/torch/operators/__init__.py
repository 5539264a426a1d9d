"""The engine as operators of PyTorch, which no compiler looks into."""
