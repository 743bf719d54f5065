"""Configurations of Triton Inference Server, read by its own schema."""

from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

SCHEMA = Path(__file__).parent / "to_onnx" / "triton" / "model_config.desc"
"""model_config.proto of Triton, compiled, from tritonclient 2.73.0; that needs an older protobuf than torch does."""


def read(path: Path) -> Any:
    """A configuration; unknown fields and wrong types are errors."""
    file = descriptor_pb2.FileDescriptorProto.FromString(SCHEMA.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)  # pyright: ignore[reportAttributeAccessIssue]
    kind = message_factory.GetMessageClass(pool.FindMessageTypeByName("inference.ModelConfig"))
    return text_format.Parse(path.read_text(), kind())
