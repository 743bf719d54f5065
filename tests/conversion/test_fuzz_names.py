"""A few hundred odd names through everything that lists files; benchmarks/fuzz_names.py tries more."""

import importlib.util
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "fuzz_names.py"


def test_every_name_is_converted() -> None:
    spec = importlib.util.spec_from_file_location("fuzz_names", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    files, folders = script.fuzz(200, seed=7)
    assert files > 180
    assert folders == 4
