"""Every format: signed, read, and one bit changed."""

from pathlib import Path

import numpy as np
import pytest
from conftest import INVERT, save_model
from made_films import write_film
from PIL import Image

from translate.conversion.folder import convert_folder
from translate.conversion.worker import Conversion
from translate.credentials.sign import MARK, SIGNED
from translate.credentials.verify import verify
from translate.inference.engine import Engine
from translate.pictures.animation import count_frames, frames
from translate.pictures.operations import read_picture

pytestmark = pytest.mark.usefixtures("no_watermarks")

STILLS = ("still.png", "still.jpg", "still.webp", "still.avif", "still.tif")
MOVING = ("moving.gif", "moving.webp", "film.mp4", "film.mov")


def written(path: Path, image_HWC: np.ndarray) -> Path:
    """A file of the kind that its name says."""
    if path.stem == "film":
        return write_film(path, [np.roll(image_HWC, shift, axis=1) for shift in (0, 4, 8)])
    first, *others = (Image.fromarray(np.roll(image_HWC, shift, axis=1)) for shift in (0, 4, 8))
    first.save(path, **({"save_all": True, "append_images": others} if path.stem == "moving" else {}))
    return path


def converted(source: Path, out: Path, model: Path, **options: str) -> Path:
    summary = convert_folder(source, out, Engine(model, threads=1), Conversion(**options))  # type: ignore[arg-type]
    assert (summary.converted, summary.failed) == (1, ())
    (result,) = (path for path in out.iterdir() if not path.name.startswith("."))
    return result


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save_model(tmp_path / "model.onnx", INVERT)


@pytest.mark.parametrize("name", [*STILLS, *MOVING])
def test_sign_verify_flip(name: str, tmp_path: Path, model: Path, image_HWC: np.ndarray) -> None:
    source = written(tmp_path / name, image_HWC)
    result = converted(source, tmp_path / "out", model, credentials="on")
    verdict = verify(result)
    assert (verdict.state, verdict.trusted, verdict.faults) == ("valid", True, ())
    found = verdict.credentials
    assert found is not None
    assert (found.model, found.actions) == ("invert", ("c2pa.opened", "c2pa.edited"))
    assert found.source_types == ("trainedAlgorithmicMedia",)
    assert [(one.title, one.credentials) for one in found.ingredients] == [(name, None)]
    data = result.read_bytes()
    place = data.index(MARK)
    # One bit of the picture: before the credentials, or behind them where they come first.
    changed = bytearray(data)
    position = place // 2 if place > len(data) // 2 else len(data) - 20
    changed[position] ^= 4
    result.write_bytes(changed)
    after = verify(result)
    assert after.state == "invalid"
    assert not after.trusted
    assert after.faults


@pytest.mark.parametrize("name", [*STILLS, "moving.gif", "moving.webp"])
def test_pixels_are_the_same(name: str, tmp_path: Path, model: Path, image_HWC: np.ndarray) -> None:
    source = written(tmp_path / name, image_HWC)
    plain = converted(source, tmp_path / "plain", model)
    signed = converted(source, tmp_path / "signed", model, credentials="on")
    assert count_frames(signed) == count_frames(plain) == (3 if name.startswith("moving") else 1)
    if name.startswith("moving"):
        pairs = list(zip(frames(plain, ""), frames(signed, ""), strict=True))
    else:
        pairs = [(read_picture(plain), read_picture(signed))]
    for one, other in pairs:
        np.testing.assert_array_equal(one.to_array(), other.to_array())
    assert MARK not in plain.read_bytes()


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_a_film_still_plays(suffix: str, tmp_path: Path, model: Path) -> None:
    import av

    source = write_film(tmp_path / f"film{suffix}", sound="aac", tags={"title": "kept"})
    plain = converted(source, tmp_path / "plain", model)
    signed = converted(source, tmp_path / "signed", model, credentials="on")

    def shown(path: Path) -> tuple[list[np.ndarray], list[np.ndarray], str | None]:
        """Pictures, sound and title."""
        with av.open(str(path)) as film:
            pictures = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
        with av.open(str(path)) as film:
            return pictures, [frame.to_ndarray() for frame in film.decode(audio=0)], film.metadata.get("title")

    (pictures, sound, title), (same_pictures, same_sound, same_title) = shown(plain), shown(signed)
    assert (title, same_title) == ("kept", "kept")
    assert len(sound) > 10
    np.testing.assert_array_equal(pictures, same_pictures)
    np.testing.assert_array_equal(np.concatenate(sound, axis=1), np.concatenate(same_sound, axis=1))


def test_all_formats_that_are_written_are_tried() -> None:
    tried = {Path(name).suffix for name in (*STILLS, *MOVING)}
    assert {kind for suffix, kind in SIGNED.items() if suffix in tried} == set(SIGNED.values())
