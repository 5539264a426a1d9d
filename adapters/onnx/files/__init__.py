"""Files of ONNX models: read, checked and written."""
