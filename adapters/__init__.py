"""The engine as each framework's users expect it: ONNX models, files, a command."""
