"""What protobuf cannot hold in one message."""

from unittest.mock import Mock

import onnx
from google.protobuf.message import EncodeError

from qcore.adapters.onnx.files.protobuf import is_too_large


def test_a_message_whose_size_cannot_be_told_is_too_large():
    said = EncodeError("exceeds maximum protobuf size of 2GB")
    assert is_too_large(Mock(ByteSize=Mock(side_effect=said)))


def test_a_small_message_is_not_too_large():
    assert not is_too_large(onnx.ModelProto(ir_version=8))
