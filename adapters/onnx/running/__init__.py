"""Models in ONNX Runtime, and what is seen inside of them as they run."""
