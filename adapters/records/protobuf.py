"""Protobuf's text format, by the protobuf library, without generated code."""

from pathlib import Path
from typing import Any, TypeAlias

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf import text_format as text

from qcore.adapters.records.amct_schema import ENUMS, ROOT, SCHEMA
from qcore.errors import FileFormatError

Message: TypeAlias = Any
"""What the library makes of a schema at run time; it has no type of its own."""

_PACKAGE = "qcore.amct"
_FIELD = descriptor_pb2.FieldDescriptorProto


def parse(path: Path, /) -> Message:
    """Return the message in a file; of fields given twice the last one counts.

    Raises
    ------
    FileFormatError
        If the file is not the text of such a message.
    """
    data = path.read_bytes()
    message = _ROOT()
    try:
        text.Merge(data.decode(), message)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _not_a_record(path, line, "it is not UTF-8") from error
    except text.ParseError as error:
        reason = str(error).rpartition(" : ")[2].rstrip(".")
        raise _not_a_record(path, error.GetLine(), reason) from error
    return message


def printed(message: Message, /) -> str:
    """Return the text of a message, each field on a line of its own."""
    found: str = text.MessageToString(message, as_utf8=True)
    return found


def new_message() -> Message:
    """Return a record of no layers."""
    return _ROOT()


def merge_text(source: str, message: Message, /) -> None:
    """Read text that `printed` gave into a message."""
    text.Merge(source, message)


def _not_a_record(path: Path, line: int | None, reason: str) -> FileFormatError:
    where = "" if line is None else f"line {line}: "
    return FileFormatError(f"{path} must be a record file of AMCT; {where}{reason}.")


def _root_class() -> Any:
    """Return the class of whole files, in a pool apart from that of AMCT itself."""
    file = descriptor_pb2.FileDescriptorProto(
        name="qcore/amct.proto", package=_PACKAGE, syntax="proto2"
    )
    for name, values in ENUMS.items():
        enum = file.enum_type.add(name=name)
        for number, value in enumerate(values):
            enum.value.add(name=value, number=number)
    for name, fields in SCHEMA.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            _add_field(message, field, number, kind)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    root = pool.FindMessageTypeByName(f"{_PACKAGE}.{ROOT}")
    return message_factory.GetMessageClass(root)


def _add_field(message: Message, name: str, number: int, kind: str) -> None:
    single = kind.removesuffix("[]")
    field = message.field.add(name=name, number=number)
    field.label = _FIELD.LABEL_OPTIONAL if kind == single else _FIELD.LABEL_REPEATED
    if single in SCHEMA or single in ENUMS:
        field.type = _FIELD.TYPE_MESSAGE if single in SCHEMA else _FIELD.TYPE_ENUM
        field.type_name = f".{_PACKAGE}.{single}"
    else:
        field.type = getattr(_FIELD, f"TYPE_{single.upper()}")


_ROOT = _root_class()
