"""Lightning's `Fabric`, without the seconds that it would take to import.

It finds out the version of torchmetrics by importing all of it, and only its detection of spikes, which is not used
here, needs the answer. With torchmetrics out of sight, importing it takes less than half as long.
"""

import sys
from typing import Any

_modules: dict[str, Any] = sys.modules
_hidden = "torchmetrics" not in _modules
if _hidden:
    _modules["torchmetrics"] = None
try:
    from lightning_fabric import Fabric
finally:
    if _hidden:
        del _modules["torchmetrics"]

__all__ = ["Fabric"]
