"""Folders and archives of which something is there already: what is made again, under which name."""

import dataclasses
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import INVERT, save_model
from PIL import Image
from test_convert import engine as engine
from test_convert import tree

from translate.cli.main import main
from translate.conversion.folder import convert_folder
from translate.conversion.manifest import Manifest
from translate.conversion.resume import Existing, Result
from translate.conversion.worker import Conversion
from translate.errors import ConfigError, DataError
from translate.inference.engine import Engine
from translate.pictures.operations import Picture, read_picture, write_picture


def levels(folder: Path) -> dict[str, int]:
    """Name -> first value of each picture."""
    return {name: int(read_picture(folder / name).rgb_HWC[0, 0, 0]) for name in tree(folder)}


def paint(path: Path, level: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_picture(path, Picture(np.full((16, 20, 3), level, np.uint8)))


def counts(source: Path, out: Path, engine: Engine, existing: Existing = "continue", **how: object) -> tuple[int, int]:
    report = convert_folder(source, out, engine, Conversion(**how), existing=existing)
    assert report.failed == ()
    return report.converted, report.skipped


def test_only_what_is_missing_changed_or_asked_for_otherwise_is_made(tmp_path: Path, engine: Engine) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    for number in range(4):
        paint(source / f"{number}.png", number)
    assert counts(source, out, engine) == (4, 0)
    assert counts(source, out, engine) == (0, 4)
    (out / "0.png").unlink()
    paint(source / "1.png", 11)  # other pixels
    os.utime(source / "2.png", ns=(1, 1))  # another time, the same pixels
    (out / "3.png").write_bytes(b"retouched by hand")
    assert counts(source, out, engine) == (2, 2)
    assert (out / "3.png").read_bytes() == b"retouched by hand"
    assert counts(source, out, engine) == (0, 4)
    assert counts(source, out, engine, metadata="strip") == (4, 0)
    assert counts(source, out, engine) == (4, 0)  # the results are those of other options
    assert levels(out) == {"0.png": 255, "1.png": 244, "2.png": 253, "3.png": 252}
    assert counts(source, out, engine, "overwrite") == (4, 0)


def test_another_model_makes_other_results(tmp_path: Path, engine: Engine) -> None:
    paint(tmp_path / "in" / "a.png", 1)
    assert counts(tmp_path / "in", tmp_path / "out", engine) == (1, 0)
    other = Engine(save_model(tmp_path / "m.onnx", dataclasses.replace(INVERT, name="other")), device="cpu")
    assert counts(tmp_path / "in", tmp_path / "out", other) == (1, 0)


def test_what_another_model_had_replaced_when_it_was_killed_is_made_again(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint(tmp_path / "in" / "a.png", 1)
    assert counts(tmp_path / "in", tmp_path / "out", engine) == (1, 0)
    with monkeypatch.context() as patch:
        patch.setattr(Manifest, "add", lambda *_: None)  # as if it had been killed before it wrote the line
        other = Engine(save_model(tmp_path / "m.onnx", dataclasses.replace(INVERT, name="other")), device="cpu")
        assert counts(tmp_path / "in", tmp_path / "out", other) == (1, 0)
    assert counts(tmp_path / "in", tmp_path / "out", engine) == (1, 0)
    assert counts(tmp_path / "in", tmp_path / "out", engine) == (0, 1)


def test_files_that_are_there(tmp_path: Path, engine: Engine) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    paint(source / "a.png", 1)
    paint(source / "a-2.png", 2)
    paint(out / "a.png", 99)
    assert counts(source, out, engine, "skip") == (1, 1)
    assert levels(out) == {"a.png": 99, "a-2.png": 253}
    for expected in ((1, 1), (0, 2)):
        assert counts(source, out, engine, "rename") == expected
    assert levels(out) == {"a.png": 99, "a-2.png": 253, "a-3.png": 254}
    assert counts(source, out, engine) == (1, 1)
    assert levels(out) == {"a.png": 254, "a-2.png": 253, "a-3.png": 254}


def test_names(tmp_path: Path, engine: Engine) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    for name in ("a.png", "a.jpg", "b/a.webp"):
        paint(source / name, 1)
    assert counts(source, out, engine, output_format="png", name="{stem}-{model}-x{scale}") == (3, 0)
    assert tree(out) == ["a-invert-x1.jpg.png", "a-invert-x1.png", "b/a-invert-x1.png"]


def test_patterns_and_limit(tmp_path: Path, engine: Engine) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    for name in ("a.png", "b.png", "c.webp", "old/a.png", "old/d.png"):
        paint(source / name, 1)
    chosen = {"include": ("*.png",), "exclude": ("old/d*",)}
    assert convert_folder(source, out, engine, limit=2, **chosen).converted == 2
    assert convert_folder(source, out, engine, limit=2, **chosen).converted == 1
    assert tree(out) == ["a.png", "b.png", "old/a.png"]
    with pytest.raises(DataError, match="no picture matches --include and --exclude"):
        convert_folder(source, out, engine, include=("*.gif",))


@pytest.mark.parametrize(
    ("options", "out", "message"),
    [
        (
            {"include": ("*.jpg",)},
            "out",
            r"a\.png: a single file, so --include and --exclude have no effect; leave them",
        ),
        ({"exclude": ("*.png",)}, "b.webp", "have no effect"),
        (
            {"how": Conversion(name="{stem}-x")},
            "b.webp",
            r"--name \{stem\}-x has no effect, since the result is to be b\.webp; omit one of them",
        ),
    ],
)
def test_what_has_no_effect_on_a_single_picture(
    tmp_path: Path, engine: Engine, options: dict[str, Any], out: str, message: str
) -> None:
    paint(tmp_path / "a.png", 1)
    with pytest.raises(ConfigError, match=message):
        convert_folder(tmp_path / "a.png", tmp_path / out, engine, **options)
    assert tree(tmp_path) == ["a.png", "invert.onnx"]
    assert counts(tmp_path / "a.png", tmp_path / "out", engine, name="{stem}-x") == (1, 0)
    assert tree(tmp_path / "out") == ["a-x.png"]


@pytest.mark.parametrize("pattern", ["*.png", "*.PNG", "sub/*.pNg"])
def test_case_does_not_matter_to_patterns(tmp_path: Path, engine: Engine, pattern: str) -> None:
    source = tmp_path / "in"
    paint(source / "a.png", 1)
    (source / "Sub").mkdir()
    (source / "a.png").rename(source / "Sub" / "DSC01.PNG")
    paint(source / "b.webp", 1)
    assert convert_folder(source, tmp_path / "out", engine, include=(pattern,)).converted == 1
    assert convert_folder(source, tmp_path / "rest", engine, exclude=(pattern,)).converted == 1
    assert tree(tmp_path / "out") == ["Sub/DSC01.PNG"]
    assert tree(tmp_path / "rest") == ["b.webp"]


@pytest.mark.parametrize("stored", ["M\u00fcller.png", "Mu\u0308ller.png"])
def test_how_an_accent_is_stored_does_not_matter_to_patterns(tmp_path: Path, engine: Engine, stored: str) -> None:
    """Keyboards give one character, Macs have stored names as two, and archives that they make still do."""
    paint(tmp_path / "in" / stored, 1)
    paint(tmp_path / "in/b.png", 1)
    for number, typed in enumerate(("m\u00fcll*", "mu\u0308ll*")):
        only, rest = tmp_path / f"only{number}", tmp_path / f"rest{number}"
        convert_folder(tmp_path / "in", only, engine, include=[typed])
        convert_folder(tmp_path / "in", rest, engine, exclude=[typed])
        assert (tree(only), tree(rest)) == ([stored], ["b.png"])


def test_zip_in_and_out(tmp_path: Path, engine: Engine) -> None:
    for name in ("a.png", "sub/b.png", "sub/.hidden.png"):
        paint(tmp_path / "in" / name, 7)
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for path in (tmp_path / "in").rglob("*.png"):
            archive.write(path, path.relative_to(tmp_path / "in"))
        archive.writestr("../up.png", b"x")
        archive.writestr("sub/c.png", b"no picture")
        archive.writestr("__MACOSX/sub/b.png", b"x")
    report = convert_folder(tmp_path / "in.zip", tmp_path / "out.zip", engine)
    assert report.converted == 2
    assert [(failure.source, failure.reason) for failure in report.failed] == [
        (
            f"{tmp_path}/in.zip/../up.png",
            f"{tmp_path}/in.zip/../up.png: its name points outside the archive; pack it again",
        ),
        (
            f"{tmp_path}/in.zip/sub/c.png",
            report.failed[1].reason,
        ),
    ]
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert sorted(archive.namelist()) == ["a.png", "sub/b.png"]
        archive.extractall(tmp_path / "out")
    assert levels(tmp_path / "out") == {"a.png": 248, "sub/b.png": 248}
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []
    with pytest.raises(DataError, match=r"out\.zip already exists"):
        convert_folder(tmp_path / "in.zip", tmp_path / "out.zip", engine)
    (tmp_path / "bad.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"bad\.zip: not a readable zip archive"):
        convert_folder(tmp_path / "bad.zip", tmp_path / "other", engine)


def test_a_dry_run_says_what_would_be_refused(
    tmp_path: Path, engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    paint(tmp_path / "in" / "a.png", 7)
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.write(tmp_path / "in" / "a.png", "a.png")
        archive.writestr("../up.png", b"x")
    command = ["convert", f"{tmp_path}/in.zip", f"{tmp_path}/out", "--model", str(engine.path), "--dry-run"]
    reason = f"{tmp_path}/in.zip/../up.png: its name points outside the archive; pack it again"
    assert main(command) == 0
    assert sorted(capsys.readouterr().out.splitlines()) == [
        "1 to convert, 0 to skip, 1 to reject",
        f"convert {tmp_path}/in.zip/a.png -> {tmp_path}/out/a.png",
        f"reject {reason}",
    ]
    assert main([*command, "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"source": f"{tmp_path}/in.zip/../up.png", "reason": reason, "would": "refuse"} in lines
    assert lines[-1] == {"convert": 1, "leave": 0, "refuse": 1}
    assert not (tmp_path / "out").exists()


def test_a_dry_run_refuses_an_archive_that_exists(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = save_model(tmp_path / "m.onnx", INVERT)
    paint(tmp_path / "in" / "a.png", 7)
    (tmp_path / "out.zip").write_bytes(b"another")
    assert main(["convert", str(tmp_path / "in"), str(tmp_path / "out.zip"), "--model", str(model), "--dry-run"]) == 2
    captured = capsys.readouterr()
    assert "out.zip already exists; remove it or choose another name" in captured.err
    assert captured.out == ""


def test_an_archive_is_finished_after_an_interruption(tmp_path: Path, engine: Engine) -> None:
    for number in range(6):
        paint(tmp_path / "in" / f"{number}.png", number)
    seen: list[Result] = []

    def stop(outcome: Result) -> None:
        seen.append(outcome)
        if len(seen) == 3:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        convert_folder(tmp_path / "in", tmp_path / "out.zip", engine, workers=1, on_progress=stop)
    assert not (tmp_path / "out.zip").exists()
    report = convert_folder(tmp_path / "in", tmp_path / "out.zip", engine)
    assert (report.converted, report.skipped) == (3, 3)
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert len(archive.namelist()) == 6


def test_an_archive_holds_nothing_of_an_interrupted_command_with_other_options(tmp_path: Path, engine: Engine) -> None:
    """Nor results of pictures that are gone or damaged since then."""
    for name in ("a.png", "b.png", "gone.png"):
        paint(tmp_path / "in" / name, 1)

    def stop(outcome: Result) -> None:
        if outcome.source.endswith("gone.png"):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        convert_folder(tmp_path / "in", tmp_path / "out.zip", engine, workers=1, on_progress=stop)
    (tmp_path / "in/gone.png").unlink()
    (tmp_path / "in/b.png").write_bytes(b"damaged")
    report = convert_folder(tmp_path / "in", tmp_path / "out.zip", engine, Conversion(name="{stem}-new"))
    assert (report.converted, len(report.failed)) == (1, 1)
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert archive.namelist() == ["a-new.png"]


def test_an_archive_holds_no_half_written_files(tmp_path: Path, engine: Engine) -> None:
    """Whatever process left them, and if it cannot be known that it was killed."""
    paint(tmp_path / "in" / "a" / "1.png", 1)
    unfinished = tmp_path / ".out.zip.unfinished"
    (unfinished / "a").mkdir(parents=True)
    (unfinished / "a" / ".0123456789abcdef.part.png").write_bytes(b"half")
    convert_folder(tmp_path / "in", tmp_path / "out.zip", engine)
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert archive.namelist() == ["a/1.png"]
    assert not unfinished.exists()


def test_the_next_archive_of_a_name_may_begin_while_the_last_one_is_tidied_up(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint(tmp_path / "in" / "a.png", 1)
    rmdir = Path.rmdir

    def next_one(folder: Path) -> None:
        monkeypatch.setattr(Path, "rmdir", rmdir)
        (tmp_path / "out.zip").rename(tmp_path / "first.zip")
        assert convert_folder(tmp_path / "in", tmp_path / "out.zip", engine).failed == ()
        folder.mkdir()  # and a third one
        (folder / "a.png").touch()
        rmdir(folder)

    monkeypatch.setattr(Path, "rmdir", next_one)
    convert_folder(tmp_path / "in", tmp_path / "out.zip", engine)
    assert (tmp_path / ".out.zip.unfinished" / "a.png").exists()
    for name in ("first.zip", "out.zip"):
        with zipfile.ZipFile(tmp_path / name) as archive:
            assert archive.namelist() == ["a.png"]


_COUNT = """
import sys
opened = []
sys.addaudithook(lambda event, found: opened.append(found[0]) if event == "open" else None)
from translate.cli.main import main
status = main(["convert", "in", "out", "--model", "m.onnx", "--workers", "1"])
print(*(sum(str(one).endswith(f"in/{name}") for one in opened) for name in sys.argv[1:]), status)
"""


def test_every_picture_is_opened_once(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    (tmp_path / "in").mkdir()
    for suffix in ("png", "jpg", "webp", "gif", "tif", "avif"):
        several = {"save_all": True, "append_images": frames[1:]} if suffix in ("webp", "gif", "tif") else {}
        frames[0].save(tmp_path / "in" / f"a-{suffix}.{suffix}", **several)
    save_model(tmp_path / "m.onnx", INVERT)
    names = [path.name for path in sorted((tmp_path / "in").iterdir())]
    done = subprocess.run(
        [sys.executable, "-c", _COUNT, *names], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    # A GIF is opened once more beforehand: the name of its result depends on whether it is an animation.
    expected = ["2" if name.endswith(".gif") else "1" for name in names]
    assert done.stdout.splitlines()[-1].split() == [*expected, "0"], done.stdout
