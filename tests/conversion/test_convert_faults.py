"""What a kill, a full disk or Ctrl-C leaves of a folder."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import INVERT, save_model
from programs import PATIENCE_SECONDS, started, until

from translate.conversion.folder import run_plan
from translate.conversion.plan import make_plan
from translate.conversion.resume import Existing, Result
from translate.conversion.sources import Item
from translate.conversion.worker import Conversion
from translate.errors import DataError, ImageError
from translate.inference.engine import Engine
from translate.pictures.operations import Picture, write_picture
from translate.signals import ending_like_ctrl_c

KILLS, PICTURES = 30, 300
SEED = 5


def pictures(folder: Path, count: int, side: int = 64) -> Path:
    random = np.random.default_rng(SEED)
    for number in range(count):
        path = folder / f"{number % 5}" / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_picture(path, Picture(random.integers(0, 256, (side, side, 3), dtype=np.uint8)))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """All files but the manifest."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".translate.jsonl"
    }


def convert(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "translate.cli", "convert", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_killed_at_30_moments_the_same_tree_in_the_end(tmp_path: Path) -> None:
    source = pictures(tmp_path / "in", PICTURES)
    model = save_model(tmp_path / "m.onnx", INVERT)
    assert convert(source, tmp_path / "undisturbed", "--model", model).returncode == 0

    out = tmp_path / "out"
    out.mkdir()
    script = Path(__file__).parents[1] / "kill_convert.py"
    command = [
        sys.executable,
        script,
        str(SEED),
        str(KILLS),
        "convert",
        source,
        out,
        "--model",
        model,
        "--workers",
        "2",
    ]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    assert int(done.stdout) == KILLS  # each found work to do
    assert 0 < sum(not Path(name).name.startswith(".") for name in contents(out)) < PICTURES
    last = convert(source, out, "--model", model, "--json")
    assert last.returncode == 0
    assert contents(out) == contents(tmp_path / "undisturbed")
    summary = json.loads(last.stdout.splitlines()[-1])
    assert summary["converted"] < PICTURES
    assert summary["converted"] + summary["skipped"] == PICTURES
    again = json.loads(convert(source, out, "--model", model, "--json").stdout.splitlines()[-1])
    assert (again["converted"], again["skipped"]) == (0, PICTURES)


def test_ctrl_c_ends_with_a_summary_and_the_same_command_goes_on(tmp_path: Path) -> None:
    source = pictures(tmp_path / "in", 100, 256)
    model = save_model(tmp_path / "m.onnx", INVERT)
    arguments = ["convert", str(source), str(tmp_path / "out"), "--model", str(model), "--workers", "1"]
    with started(*arguments) as process:
        until(lambda: list(tmp_path.glob("out/*/*.png")), process)
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, errors) == (130, "")
    assert out.endswith("stopped; run the same command to continue\n")
    converted = int(out.split()[0])
    assert 0 < converted < 100
    assert len(list(tmp_path.glob("out/*/*.png"))) == converted
    assert convert(*arguments[1:]).stdout.startswith(f"{100 - converted} pictures converted")


def test_watch_converts_what_comes_until_ctrl_c(tmp_path: Path) -> None:
    model = save_model(tmp_path / "m.onnx", INVERT)
    source = tmp_path / "in"
    source.mkdir()
    arguments = ["convert", str(source), str(tmp_path / "out"), "--model", str(model), "--watch", "--json"]
    with started(*arguments) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stderr.readline() == f"watching {source} for new files; press Ctrl-C to stop\n"
        for name in ("a.png", "b.png"):
            write_picture(source / name, Picture(np.zeros((16, 16, 3), np.uint8)))
            found = json.loads(process.stdout.readline())
            assert (found["status"], found["target"]) == ("converted", str(tmp_path / "out" / name))
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, errors) == (0, "")
    assert json.loads(out.splitlines()[-1])["converted"] == 2


@pytest.mark.parametrize("existing", ["continue", "overwrite"])
def test_what_comes_to_a_watched_folder_starts_nothing_else_again(
    tmp_path: Path, invert_model: Path, existing: Existing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither pictures that failed nor, with --overwrite, those that are done."""
    monkeypatch.setattr("translate.conversion.plan.POLL_SECONDS", 0.01)
    picture, source, seen = Picture(np.zeros((16, 16, 3), np.uint8)), tmp_path / "in", list[str]()

    def next_one(outcome: Result) -> None:
        seen.append(Path(outcome.source).name)
        if len(seen) == 4:
            raise KeyboardInterrupt
        if len(seen) >= 2:
            write_picture(source / f"{len(seen)}.png", picture)

    source.mkdir()
    (source / "0.png").write_bytes(b"broken")
    write_picture(source / "1.png", picture)
    plan = make_plan(source, tmp_path / "out", may_be_empty=True)
    engine = Engine(invert_model, threads=1, device="cpu")
    with pytest.raises(KeyboardInterrupt):
        run_plan(plan, engine, Conversion(), existing=existing, workers=1, on_progress=next_one, watch=True)
    assert seen == ["0.png", "1.png", "2.png", "3.png"]


def test_a_watched_folder_may_be_empty(tmp_path: Path) -> None:
    """Its only picture may be moved away before it is read."""
    (tmp_path / "in").mkdir()
    source = make_plan(tmp_path / "in", tmp_path / "out", may_be_empty=True).source
    item = Item("a.png", 1, 1)
    with pytest.raises(ImageError, match=r"^gone$"), source.load(item):
        raise ImageError("gone")
    (tmp_path / "in").rmdir()
    with pytest.raises(DataError, match="the folder is gone"), source.load(item):
        raise ImageError("gone")


def test_signal_handlers_that_are_not_of_python_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """They could not be restored."""
    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(signal, "getsignal", lambda _: None)
        with ending_like_ctrl_c():
            pass
    assert signal.getsignal(signal.SIGTERM) == before
