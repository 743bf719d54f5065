"""The shipped models make what they made, whatever became newer below them; see tools/golden.py."""

import functools
from pathlib import Path

import numpy as np
import pytest
from scripts import load_script

from translate.inference.models import shipped

golden = load_script("tools/golden.py")
MODELS = {model.name: model for model in shipped()}
RESULTS = golden.results
"""The function itself, which tests replace."""


@functools.cache
def made(name: str) -> dict[Path, np.ndarray]:
    """The results of today, which take seconds."""
    return dict(RESULTS(MODELS[name]))


@pytest.mark.parametrize("name", MODELS)
def test_results_are_those_that_are_kept(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(golden, "results", lambda model: made(model.name).items())
    found = golden.differences(MODELS[name])
    assert len(found) == golden.SAMPLES
    for sample, difference in found.items():
        assert difference.max() <= golden.allowed(MODELS[name]), sample


def test_what_moved_is_seen(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    model = MODELS["super-resolution-x2"]
    kept = made(model.name)
    monkeypatch.setattr(golden, "shipped", lambda: [model])
    monkeypatch.setattr(golden, "results", lambda _: ((path, rgb ^ 4) for path, rgb in kept.items()))
    monkeypatch.setattr("sys.argv", ["golden.py"])
    assert golden.main() == 1
    assert np.all(golden.differences(model)["house"] == 4)
    assert "largest difference 4 of 255, 100.00% of the values differ" in capsys.readouterr().out
