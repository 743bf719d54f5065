"""The invisible watermark: found after what usually happens to pictures, and never where there is none."""

import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from conftest import INVERT, save_model
from PIL import Image

from translate.cli.main import main
from translate.credentials import watermark
from translate.credentials.watermark import LEAST, find, right_bits, watermarked
from translate.pictures.operations import Picture, read_picture

installed = pytest.mark.skipif(not watermark.available(), reason=watermark.INSTALL)
SAMPLES = sorted(Path("checkpoints").glob("*/samples/*.*"))[::4]
STREET = Path("checkpoints/day-to-night/samples/town.jpg")


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(save_model(tmp_path / "invert.onnx", INVERT))


@pytest.fixture(scope="module")
def marked() -> np.ndarray:
    return watermarked(read_picture(STREET)).rgb_HWC


def as_jpeg(rgb_HWC: np.ndarray, quality: int) -> np.ndarray:
    file = BytesIO()
    Image.fromarray(rgb_HWC).save(file, "JPEG", quality=quality)
    return np.array(Image.open(file))


@installed
def test_command(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.jpg"
    assert main(["convert", str(STREET), str(out), "--model", model, "--watermark"]) == 0
    capsys.readouterr()
    assert main(["verify", str(out)]) == 3, "a watermark proves nothing"
    assert "Its pixels hold the watermark of translate" in capsys.readouterr().out
    assert main(["verify", "--json", str(out), str(STREET)]) == 3
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["watermark"] for line in lines] == [True, False]


@installed
def test_goes_with_credentials(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.png"
    command = ["convert", str(STREET), str(out), "--model", model, "--watermark", "--credentials", "on"]
    assert main(command) == 0
    capsys.readouterr()
    assert main(["verify", str(out)]) == 0
    first, *_, last = capsys.readouterr().out.splitlines()
    assert "valid, not changed" in first
    assert "watermark of translate" in last


@installed
def test_what_usually_happens_to_pictures(marked: np.ndarray) -> None:
    height, width = marked.shape[:2]
    half = Image.fromarray(marked).resize((width // 2, height // 2), Image.Resampling.LANCZOS)
    assert right_bits(as_jpeg(marked, 75)) >= LEAST
    assert right_bits(np.array(half)) >= LEAST
    assert right_bits((marked * 0.8).astype(np.uint8)) >= LEAST


@installed
def test_cannot_be_seen(marked: np.ndarray) -> None:
    error = marked.astype(np.float64) - read_picture(STREET).rgb_HWC
    assert 10 * np.log10(255**2 / np.mean(error**2)) > 36
    assert np.abs(error).max() < 40


@installed
@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: f"{path.parent.parent.name}-{path.name}")
def test_none_where_there_is_none(path: Path) -> None:
    assert find(path) is False


@installed
def test_opacity_and_16_bits() -> None:
    rgb_HWC = read_picture(STREET).rgb_HWC[:300, :200].astype(np.uint16) * 257
    alpha_HW = np.full(rgb_HWC.shape[:2], 7, np.uint16)
    result = watermarked(Picture(rgb_HWC, alpha_HW))
    assert result.rgb_HWC.dtype == np.uint16
    assert result.alpha_HW is alpha_HW
    assert right_bits(result.rgb_HWC) >= LEAST


@installed
@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (33, 7)])
def test_tiny_pictures_survive(shape: tuple[int, int]) -> None:
    result = watermarked(Picture(np.full((*shape, 3), 90, np.uint8)))
    assert result.rgb_HWC.shape == (*shape, 3)


@installed
def test_an_animation_has_none_and_the_user_is_told(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    command = ["convert", str(tmp_path / "a.gif"), str(tmp_path / "out"), "--model", model]
    assert main([*command, "--watermark", "--format", "webp"]) == 0
    captured = capsys.readouterr()
    assert "has no watermark: only still pictures" in captured.out + captured.err


@installed
def test_damaged_networks(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    package = tmp_path / "packages" / "damaged"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "rivagan_encoder.onnx").write_bytes(b"another")
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.setattr(watermark, "_PACKAGE", watermark._PACKAGE._replace(module="damaged"))
    assert main(["convert", str(STREET), str(tmp_path / "out"), "--model", model, "--watermark"]) == 2
    assert "has the SHA-256" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_package_missing(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(watermark, "_PACKAGE", watermark._PACKAGE._replace(module="no_such_package"))
    assert main(["convert", str(STREET), str(tmp_path / "out"), "--model", model, "--watermark"]) == 2
    error = capsys.readouterr().err
    assert watermark.INSTALL in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
    assert find(STREET) is None
