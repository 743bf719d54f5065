"""A few hundred odd names through everything that lists files; benchmarks/fuzz_names.py tries more."""

from scripts import load_script


def test_every_name_is_converted() -> None:
    files, folders = load_script("benchmarks/fuzz_names.py").fuzz(200, seed=7)
    assert files > 180
    assert folders == 4
