"""Image-to-image translation: photographs in, a trained translator out, pictures converted anywhere.

    from translate import Engine, Picture
    engine = Engine("model.onnx")
    result = engine.apply(Picture.from_array(image)).to_array()   # uint8 (H, W, 3) in and out

    from translate import convert_folder
    convert_folder("photos", "large", "super-resolution")

Names are imported when first used, so `import translate` costs nothing.
"""

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from translate.conversion import Conversion
    from translate.convert import convert_folder
    from translate.engine import Engine
    from translate.errors import (
        ConfigError,
        DataError,
        ImageError,
        MissingExtra,
        ModelError,
        SnapshotError,
        TooLarge,
        TranslateError,
    )
    from translate.images import Picture
    from translate.spec import ModelSpec

__all__ = [
    "ConfigError",
    "Conversion",
    "DataError",
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
    "Engine": "engine",
    "ModelSpec": "spec",
    "Picture": "images",
    "Conversion": "conversion",
    "convert_folder": "convert",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'translate' has no attribute {name!r}")
    return getattr(importlib.import_module(f"translate.{_HOMES.get(name, 'errors')}"), name)
