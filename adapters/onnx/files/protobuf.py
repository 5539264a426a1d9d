"""What the protobuf library, which holds the messages of ONNX, is limited to."""

import onnx
from google.protobuf.message import EncodeError


def is_too_large(model: onnx.ModelProto, /) -> bool:
    """Return whether a model is more than one message, and so one file, can hold."""
    try:
        return bool(model.ByteSize() >= onnx.checker.MAXIMUM_PROTOBUF)
    except EncodeError:  # what protobuf 7 says from 2 GB on
        return True
