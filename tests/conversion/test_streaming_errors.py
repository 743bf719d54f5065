"""Pictures that cannot be converted band by band: one line, and nothing is left behind."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
from conftest import save_model
from PIL import Image
from test_streaming import LITTLE, PLAIN, SCENE, SIZED, TWICE, photo

from translate.conversion.huge import convert_huge
from translate.errors import ConfigError, ImageError
from translate.inference.engine import Engine
from translate.pictures import band_reader as rows_module
from translate.pictures.band_writer import RowWriter
from translate.pictures.formats import BY_BAND
from translate.pictures.libvips import vips
from translate.pictures.operations import Picture, write_picture


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "only PNG, JPEG, WebP and TIFF can be read row by row"),
        (b"GIF89a", "only PNG, JPEG, WebP and TIFF can be read row by row"),
        (b"\x89PNG\r\n\x1a\nrubbish", "damaged picture"),
        (b"\xff\xd8\xffrubbish", "damaged picture"),
        (b"II*\0rubbish", "damaged picture"),
        (b"RIFF\0\0\0\0WEBPrubbish", "damaged picture"),
        (None, "cannot be read"),
    ],
)
def test_bad_files(tmp_path: Path, content: bytes | None, message: str, capfd: pytest.CaptureFixture[str]) -> None:
    engine = Engine(save_model(tmp_path / "m.onnx", PLAIN), device="cpu")
    if content is not None:
        (tmp_path / "in.png").write_bytes(content)
    with pytest.raises(ImageError, match=rf"in\.png: .*{message}") as caught:
        convert_huge(tmp_path / "in.png", tmp_path / "out.png", engine)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
@pytest.mark.parametrize("spec", [PLAIN, SCENE, SIZED], ids=["windows", "scene", "sized"])
def test_half_a_file(tmp_path: Path, suffix: str, spec: Any, capfd: pytest.CaptureFixture[str]) -> None:
    engine = Engine(save_model(tmp_path / "m.onnx", spec), device="cpu")
    write_picture(tmp_path / f"in{suffix}", Picture.from_array(photo(600, 400)))
    content = (tmp_path / f"in{suffix}").read_bytes()
    (tmp_path / f"in{suffix}").write_bytes(content[: len(content) // 2])
    (tmp_path / "out.png").write_bytes(b"old")
    with pytest.raises(ImageError, match=rf"in\{suffix}: damaged picture") as caught:
        convert_huge(tmp_path / f"in{suffix}", tmp_path / "out.png", engine, memory_bytes=LITTLE)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")
    assert (tmp_path / "out.png").read_bytes() == b"old"
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("out.gif", r"out\.gif: too large to be encoded at once, and \.gif cannot be written row by row"),
        ("out", "a file without suffix cannot be written row by row"),
        ("missing/out.png", r"out\.png: cannot be written .*; check the disk and rights"),
    ],
)
def test_bad_targets(tmp_path: Path, target: str, message: str) -> None:
    engine = Engine(save_model(tmp_path / "m.onnx", PLAIN), device="cpu")
    write_picture(tmp_path / "in.png", Picture.from_array(photo(30, 40)))
    with pytest.raises(ImageError, match=message) as caught:
        convert_huge(tmp_path / "in.png", tmp_path / target, engine)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("suffix", "side"), [(".jpg", BY_BAND[".jpg"].longest_side), (".webp", BY_BAND[".webp"].longest_side)]
)
def test_formats_say_before_the_work_that_the_result_is_too_large(tmp_path: Path, suffix: str, side: int) -> None:
    engine = Engine(save_model(tmp_path / "m.onnx", TWICE), device="cpu")
    write_picture(tmp_path / "in.png", Picture.from_array(np.zeros((8, side // 2 + 1, 3), np.uint8)))
    with pytest.raises(ImageError, match=rf"has {side // 2 * 2 + 2} x 16 pixels, {suffix} holds at most {side} a side"):
        convert_huge(tmp_path / "in.png", tmp_path / f"out{suffix}", engine)
    convert_huge(tmp_path / "in.png", tmp_path / "out.png", engine)


def test_large_tiff_files_become_big_tiff(tmp_path: Path) -> None:
    facts = Picture(np.empty((0, 0, 3), np.uint8))
    for side, big in ((36_000, False), (38_000, True)):
        writer = RowWriter(tmp_path / "out.tif", side, side, alpha=False, bits=8, facts=facts)
        assert writer._options["bigtiff"] == big
    assert RowWriter(tmp_path / "out.tif", 30_000, 30_000, alpha=True, bits=16, facts=facts)._options["bigtiff"]


def test_models_refuse_as_in_memory(tmp_path: Path) -> None:
    write_picture(tmp_path / "in.png", Picture.from_array(photo(7, 900)))
    engine = Engine(save_model(tmp_path / "m.onnx", PLAIN), device="cpu")
    with pytest.raises(ConfigError, match="without labels"):
        convert_huge(tmp_path / "in.png", tmp_path / "out.png", engine, label="day")
    assert not (tmp_path / "out.png").exists()


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A limit on the size of files stands for a full disk."""
    save_model(tmp_path / "m.onnx", TWICE)
    write_picture(
        tmp_path / "in.png", Picture.from_array(np.random.default_rng(0).integers(0, 256, (900, 700, 3), np.uint8))
    )
    program = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from translate.inference.engine import Engine\n"
        "from translate.errors import ImageError\n"
        "from translate.conversion.huge import convert_huge\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "folder = Path(sys.argv[1])\n"
        "engine = Engine(folder / 'm.onnx', device='cpu')\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\n"
        "for name in ('out.png', 'out.tif', 'out.jpg'):\n"
        "    try:\n"
        "        convert_huge(folder / 'in.png', folder / name, engine, memory_bytes=1 << 20, quality=100)\n"
        "    except ImageError as error:\n"
        "        print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, timeout=120, check=True
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    assert all("cannot be written" in line for line in lines)
    assert done.stderr == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.png", "m.onnx"]


def test_an_interruption_leaves_nothing(tmp_path: Path) -> None:
    engine = Engine(save_model(tmp_path / "m.onnx", TWICE), device="cpu")
    write_picture(tmp_path / "in.png", Picture.from_array(photo(900, 700)))

    def interrupt(share: float) -> None:
        if share > 0.3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert_huge(tmp_path / "in.png", tmp_path / "out.png", engine, memory_bytes=LITTLE, on_progress=interrupt)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.png", "m.onnx"]


def test_what_has_to_be_decoded_whole_and_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(save_model(tmp_path / "m.onnx", PLAIN), device="cpu")
    image_HWC = photo(300, 200)
    pyvips.Image.new_from_array(image_HWC).pngsave(str(tmp_path / "in.png"), interlace=True)
    Image.fromarray(image_HWC).save(tmp_path / "in.jpg", progressive=True)
    Image.fromarray(image_HWC).save(tmp_path / "in.webp")
    for name in ("in.png", "in.jpg", "in.webp"):
        convert_huge(tmp_path / name, tmp_path / "out.png", engine)
    monkeypatch.setattr(rows_module, "available_memory_bytes", lambda: 1000)
    for name, kind in (
        ("in.png", "an interlaced PNG"),
        ("in.jpg", "a progressive JPEG"),
        ("in.webp", "a WebP picture"),
    ):
        with pytest.raises(ImageError, match=rf"{name}: {kind} of 200 x 300 pixels, which .*; save it as TIFF$"):
            convert_huge(tmp_path / name, tmp_path / "out.png", engine)


def test_untrusted_loaders_are_blocked(tmp_path: Path) -> None:
    vips()
    (tmp_path / "a.csv").write_text("1,2\n3,4\n")
    with pytest.raises(pyvips.Error, match="block"):
        pyvips.Image.csvload(str(tmp_path / "a.csv"))
