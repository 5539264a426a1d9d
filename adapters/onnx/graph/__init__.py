"""What is read off ONNX graphs, and what is put into them."""
