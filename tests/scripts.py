"""Scripts of the repository that are in no package, as modules."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[1]


def load_script(path: str) -> ModuleType:
    """`tools/golden.py` -> its module, loaded once."""
    name = path.removesuffix(".py").replace("/", "_") + "_script"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, ROOT / path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)  # dataclasses look themselves up there
        sys.path.append(str((ROOT / path).parent))  # as for a script that is run: it may import those beside it
        try:
            spec.loader.exec_module(sys.modules[name])
        finally:
            sys.path.pop()
    return sys.modules[name]
