"""Objects by name, imported when they are needed."""

import importlib
from typing import Any


def load_object(path: str) -> Any:
    """`module:name` -> the object."""
    module, name = path.split(":")
    return getattr(importlib.import_module(module), name)
