"""Image-to-image translation: train on a folder of photographs, export one ONNX file, convert pictures anywhere.

    from translate import Engine, Picture
    engine = Engine("model.onnx")
    result = engine.apply(Picture.from_array(image)).to_array()   # uint8 (H, W, 3) in and out

    from translate import convert_folder
    convert_folder("photos", "large", "super-resolution")

Names are imported lazily, so `import translate` is fast.
"""

import importlib
import os
from typing import TYPE_CHECKING

__version__ = "0.1.0"

# From 1.29 on, ONNX Runtime for Linux and macOS tells its maker which models run, unless this is set before its import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from translate.conversion.folder import convert_folder
    from translate.conversion.worker import Conversion
    from translate.errors import (
        ConfigError,
        DataError,
        DiskFull,
        ImageError,
        MissingExtra,
        ModelError,
        SnapshotError,
        TooLarge,
        TranslateError,
    )
    from translate.inference.engine import Engine
    from translate.pictures.operations import Picture
    from translate.spec import ModelSpec

__all__ = [
    "ConfigError",
    "Conversion",
    "DataError",
    "DiskFull",
    "Engine",
    "ImageError",
    "MissingExtra",
    "ModelError",
    "ModelSpec",
    "Picture",
    "SnapshotError",
    "TooLarge",
    "TranslateError",
    "convert_folder",
]

_HOMES = {
    "Engine": "inference.engine",
    "ModelSpec": "spec",
    "Picture": "pictures.operations",
    "Conversion": "conversion.worker",
    "convert_folder": "conversion.folder",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'translate' has no attribute {name!r}")
    return getattr(importlib.import_module(f"translate.{_HOMES.get(name, 'errors')}"), name)
