"""What may stand in a record file of AMCT: messages, fields, numbers and types.

The messages are those of ``scale_offset_record_pytorch.proto`` (proto2) of AMCT (Ascend
Model Compression Toolkit). Two fields of an entry differ: `value` and `kv_cache_value`
are optional there. As repeated ones they read alike, but each of several blocks is seen
by itself, where protobuf would string their lists together.
"""

SCHEMA = {
    "ScaleOffsetRecord": {
        "record": (1, "MapFiledEntry[]"),
        "prune_record": (2, "PruneRecord[]"),
    },
    "MapFiledEntry": {
        "key": (1, "string"),
        "value": (2, "SingleLayerRecord[]"),
        "kv_cache_value": (3, "SingleLayerKVCacheRecord[]"),
    },
    "SingleLayerRecord": {
        "scale_d": (1, "float"),
        "offset_d": (2, "int32"),
        "scale_w": (3, "float[]"),
        "offset_w": (4, "int32[]"),
        "shift_bit": (5, "uint32[]"),
        "tensor_balance_factor": (6, "float[]"),
        "skip_fusion": (9, "bool"),
        "dst_type": (10, "string"),
        "act_type": (11, "string"),
        "wts_type": (12, "string"),
        "fakequant_precision_mode": (13, "string"),
        "scale_h": (21, "float"),
        "offset_h": (22, "int32"),
        "scale_r": (23, "float[]"),
        "offset_r": (24, "int32[]"),
    },
    "SingleLayerKVCacheRecord": {
        "scale": (1, "float[]"),
        "offset": (2, "int32[]"),
    },
    "PruneRecord": {
        "producer": (1, "PruneNode[]"),
        "consumer": (2, "PruneNode[]"),
        "selective_prune": (3, "PruneNode"),
    },
    "PruneNode": {
        "name": (1, "string"),
        "attr": (2, "AttrProto[]"),
    },
    "AttrProto": {
        "name": (1, "string"),
        "type": (2, "AttrType"),
        "f": (3, "float"),
        "i": (4, "int64"),
        "s": (5, "bytes"),
        "floats": (6, "float[]"),
        "ints": (7, "int64[]"),
        "strings": (8, "bytes[]"),
    },
}
"""Of each message: its fields, with their numbers and types; ``[]`` is repeated."""

ENUMS = {
    "AttrType": ("UNDEFINED", "FLOAT", "INT", "STRING", "FLOATS", "INTS", "STRINGS")
}
"""Of each enumeration: its values, numbered from 0."""

ROOT = "ScaleOffsetRecord"
"""The message that a whole file is."""
