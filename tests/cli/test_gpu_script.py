"""`make gpu`, with the CPU in place of the GPU: parts are independent of each other, and each ends in time."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scripts import load_script


@pytest.fixture(scope="module")
def script() -> Any:
    return load_script("benchmarks/gpu.py")


def page(script: Any, monkeypatch: pytest.MonkeyPatch, out: Path, *options: str) -> str:
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--pretend", "cpu", "--seconds", "0.01", "--out", str(out), *options])
    script.main()
    return out.read_text(encoding="utf-8")


def test_models_and_conversion(script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = page(script, monkeypatch, tmp_path / "gpu.md", "--parts", "Models", "Folder conversion")
    assert script.PRETEND in found
    assert "\n| sketch-to-photo | 32 x 32 | 1 | " in found
    assert "- largest difference between the results: 0 of 255\n" in found
    assert "Ended early" not in found
    assert "## Tests" not in found


def test_a_part_that_fails_does_not_end_the_others(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ends_badly(bench: Any, clock: Any) -> Iterator[str]:
        yield "a first line"
        bench.output(clock, sys.executable, "-c", "raise SystemExit('no | luck')")

    def never_ends(bench: Any, clock: Any) -> Iterator[str]:
        yield bench.output(script.Clock(time.monotonic() + 0.2), sys.executable, "-c", "import time; time.sleep(300)")

    def has_a_fault(bench: Any, clock: Any) -> Iterator[str]:
        yield str(1 // 0)

    def works(bench: Any, clock: Any) -> Iterator[str]:
        yield bench.output(clock, sys.executable, "-c", "print('fine')").strip()

    parts = [
        script.Part("Bad", 0.2, (), ends_badly),
        script.Part("Endless", 0.2, (), never_ends),
        script.Part("Fault", 0.2, (), has_a_fault),
        script.Part("Absent", 0.2, ("no_such_package", "sys"), works),
        script.Part("Good", 0.2, (), works),
    ]
    monkeypatch.setattr(script, "PARTS", parts)
    _, *sections = page(script, monkeypatch, tmp_path / "docs" / "gpu.md").split("\n## ")
    assert [section.split("\n", 2)[2].strip() for section in sections] == [
        "a first line\n\nEnded early: failed: exit status 1: no / luck.",
        "Ended early: ran out of time.",
        "Ended early: ZeroDivisionError: integer division or modulo by zero.",
        "Skipped: no_such_package is not installed.",
        "fine",
    ]


def test_without_a_gpu_nothing_is_written(script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script.shutil, "which", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--out", str(tmp_path / "gpu.md")])
    with pytest.raises(SystemExit, match="no NVIDIA GPU found"):
        script.main()
    assert list(tmp_path.iterdir()) == []


def test_the_parts_share_the_time(script: Any) -> None:
    assert sum(part.share for part in script.PARTS) == pytest.approx(1.0)
