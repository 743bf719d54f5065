"""What is said about newer versions. The second environment needs the package index: `make upgrade`."""

from typing import Any

import pytest
from scripts import load_script

script = load_script("tools/upgrade.py")


def test_what_moved() -> None:
    before = script.pinned("# a comment\nNumPy==2.0\npydantic_core==1\nrich==14\n")
    after = {"numpy": "2.1", "pydantic-core": "1", "tyro": "1.0"}
    assert script.moved(before, after) == ["numpy: 2.0 -> 2.1", "tyro: not there -> 1.0"]


@pytest.mark.parametrize("status", [0, 1])
def test_a_result_that_moved_is_the_exit_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], status: int
) -> None:
    ran: list[list[str]] = []

    class Done:
        returncode = status

    def run(command: list[str], **_: Any) -> Done:
        ran.append([str(part) for part in command][1:])
        return Done()

    monkeypatch.setattr(script, "install", lambda *_: {"numpy": "99"})
    monkeypatch.setattr(script.subprocess, "run", run)
    monkeypatch.setattr("sys.argv", ["upgrade.py"])
    assert script.main() == status
    assert ran == [["tools/golden.py"], ["-m", "pytest", "-q"]]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("numpy: 2")
    assert lines[1:] == [
        f"1 newer packages: {'something moved, see above' if status else 'results are as before'}",
    ]
