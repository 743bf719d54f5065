"""Pictures in bands of rows: the same as in memory, file by file and way by way.

Array names: H height, W width, C channels.
"""

import dataclasses
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import DOUBLE, INVERT, save_model
from PIL import Image, ImageCms

from translate.conversion import huge as streaming
from translate.conversion.huge import Stretched, convert_huge, needs_streaming
from translate.inference.engine import Engine
from translate.inference.placement import Placement
from translate.pictures.operations import Picture, encode, flatten, read_picture, resize, write_picture

PLAIN = dataclasses.replace(INVERT, receptive_field=1, bytes_per_pixel=64)
TWICE = dataclasses.replace(DOUBLE, receptive_field=1, bytes_per_pixel=64)
SCENE = dataclasses.replace(INVERT, scene_size=40, receptive_field=1)
SIZED = dataclasses.replace(INVERT, working_size=64, receptive_field=1)
SIZED_TWICE = dataclasses.replace(DOUBLE, working_size=64, receptive_field=1)
BLENDED = dataclasses.replace(INVERT, bytes_per_pixel=64)

LITTLE = 1 << 20
"""Memory that cuts the pictures here into many bands."""


def photo(height: int, width: int, channels: int = 3) -> np.ndarray:
    random = np.random.default_rng(height * width + channels)
    coarse_HWC = random.integers(0, 256, (height // 24 + 2, width // 24 + 2, 3), dtype=np.uint8)
    rgb_HWC = np.clip(resize(coarse_HWC, height, width) + random.integers(-9, 9, (height, width, 3)), 0, 255)
    if channels == 3:
        return rgb_HWC.astype(np.uint8)
    alpha_HW = resize(random.integers(0, 256, (height // 50 + 2, width // 50 + 2), dtype=np.uint8), height, width)
    # Nothing is quite transparent: what is hidden is replaced in memory, and not in bands.
    return np.dstack([rgb_HWC, alpha_HW.clip(1)]).astype(np.uint8)


def difference(found: np.ndarray | None, expected: np.ndarray | None) -> int:
    assert found is not None
    assert expected is not None
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    return int(np.abs(found.astype(int) - expected).max())


# --- the same as in memory


@pytest.mark.parametrize("alpha", [False, True], ids=["opaque", "alpha"])
@pytest.mark.parametrize(
    ("spec", "tolerance"),
    [(PLAIN, 0), (TWICE, 0), (SCENE, 3), (SIZED, 1), (SIZED_TWICE, 1), (BLENDED, 0)],
    ids=["windows", "windows x2", "scene", "sized", "sized x2", "blended"],
)
def test_as_in_memory(tmp_path: Path, spec: Any, tolerance: int, alpha: bool) -> None:
    engine = Engine(save_model(tmp_path / "m.onnx", spec), device="cpu", threads=1)
    write_picture(tmp_path / "in.png", Picture.from_array(photo(700, 530, 4 if alpha else 3)))
    expected = engine.apply(read_picture(tmp_path / "in.png"))
    shares: list[float] = []
    notes = convert_huge(
        tmp_path / "in.png", tmp_path / "out.png", engine, memory_bytes=LITTLE, on_progress=shares.append
    )
    found = read_picture(tmp_path / "out.png")
    assert difference(found.rgb_HWC, expected.rgb_HWC) <= tolerance
    assert (found.rgb_HWC != expected.rgb_HWC).mean() < 0.001
    if alpha:
        assert difference(found.alpha_HW, expected.alpha_HW) <= 1
        assert (found.alpha_HW != expected.alpha_HW).mean() < 0.001
    else:
        assert found.alpha_HW is None
    assert len(notes) == (spec is BLENDED)
    if spec is BLENDED:
        assert "530 x 700 pixels is too large to process at once, but invert needs to see the whole picture" in notes[0]
        assert "times as much as elsewhere" in notes[0]
    assert shares == sorted(shares)
    assert len(shares) > 2
    assert shares[-1] == 1.0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.png", "m.onnx", "out.png"]


@pytest.mark.parametrize("spec", [PLAIN, TWICE, SCENE], ids=["x1", "x2", "scene"])
def test_what_transparency_hides_hardly_shows(tmp_path: Path, spec: Any) -> None:
    """A disc on nothing, under which the file has black; what is seen of the results on white is about the same."""
    engine = Engine(save_model(tmp_path / "m.onnx", spec), device="cpu", threads=1)
    image_HWC = photo(700, 530, 4)
    rows, columns = np.ogrid[:700, :530]
    inside = (rows - 350) ** 2 + (columns - 265) ** 2 < 240**2
    image_HWC[..., 3] = np.where(inside, 255, 0)
    image_HWC[~inside, :3] = 0
    write_picture(tmp_path / "in.png", Picture.from_array(image_HWC))
    expected = engine.apply(Picture.from_array(image_HWC))
    convert_huge(tmp_path / "in.png", tmp_path / "out.png", engine, memory_bytes=LITTLE)
    found = read_picture(tmp_path / "out.png")
    assert difference(found.alpha_HW, expected.alpha_HW) <= 1
    assert expected.alpha_HW is not None
    away_HWC = np.abs(flatten(found).astype(int) - flatten(expected))
    if spec is SCENE:
        assert away_HWC.mean() < 1
    else:
        assert away_HWC[expected.alpha_HW == 255].max() == 0
        assert (away_HWC > 1).mean() < 0.001


@pytest.mark.parametrize(("height", "width"), [(8, 900), (900, 8), (255, 257), (256, 256), (513, 61)])
def test_any_shape(tmp_path: Path, height: int, width: int) -> None:
    engine = Engine(save_model(tmp_path / "m.onnx", TWICE), device="cpu", threads=1)
    image_HWC = photo(height, width, 4)
    write_picture(tmp_path / "in.png", Picture.from_array(image_HWC))
    expected = engine.apply(Picture.from_array(image_HWC))
    convert_huge(tmp_path / "in.png", tmp_path / "out.tif", engine, memory_bytes=LITTLE)
    found = read_picture(tmp_path / "out.tif")
    assert difference(found.rgb_HWC, expected.rgb_HWC) == 0
    assert difference(found.alpha_HW, expected.alpha_HW) <= 1


@pytest.mark.parametrize("framing", ["auto", "off"])
def test_lines_on_a_transparent_sheet(framing: Placement, tmp_path: Path) -> None:
    engine = Engine(save_model(tmp_path / "m.onnx", SIZED), device="cpu")
    ink_HWC = np.zeros((300, 200, 4), np.uint8)
    ink_HWC[100:110, 20:180, 3] = 255
    write_picture(tmp_path / "in.png", Picture.from_array(ink_HWC))
    convert_huge(tmp_path / "in.png", tmp_path / "out.png", engine, framing=framing)
    found = read_picture(tmp_path / "out.png")
    expected = engine.apply(Picture.from_array(ink_HWC), framing=framing)
    assert found.alpha_HW is expected.alpha_HW is None
    if framing == "off":
        assert difference(found.rgb_HWC, expected.rgb_HWC) <= 1
    else:  # cut out of a smaller copy
        assert np.abs(found.rgb_HWC.astype(int) - expected.rgb_HWC).mean() < 1


@pytest.mark.parametrize("shape", [(90, 70), (90, 70, 3), (40, 300, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_stretched_is_resize_in_parts(shape: tuple[int, ...], dtype: Any) -> None:
    image = (photo(*shape[:2])[..., : shape[2]] if len(shape) == 3 else photo(*shape)[..., 0]).astype(dtype)
    image = image * dtype(np.iinfo(dtype).max // 255)
    expected = resize(image, 1010, 777)
    stretched = Stretched(image, 1010, 777)
    found = np.concatenate([stretched.rows(top, min(top + 99, 1010)) for top in range(0, 1010, 99)])
    assert difference(found, expected) <= (1 if dtype == np.uint8 else 4)
    assert (found != expected).mean() < (0.001 if dtype == np.uint8 else 0.05)


# --- formats


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
@pytest.mark.parametrize("channels", [3, 4])
def test_formats(tmp_path: Path, suffix: str, channels: int) -> None:
    """Reading and writing are those of `translate.pictures.operations`, up to what JPEG and WebP lose."""
    engine = Engine(save_model(tmp_path / "m.onnx", PLAIN), device="cpu")
    source, target = tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"
    write_picture(source, Picture.from_array(photo(520, 300, channels)), quality=90)
    convert_huge(source, target, engine, memory_bytes=LITTLE, quality=95)
    found = read_picture(target)
    write_picture(tmp_path / f"expected{suffix}", engine.apply(read_picture(source)), quality=95)
    expected = read_picture(tmp_path / f"expected{suffix}")
    assert (found.alpha_HW is None) == (expected.alpha_HW is None)
    assert np.abs(found.rgb_HWC.astype(int) - expected.rgb_HWC).mean() < (0 if suffix in (".png", ".tif") else 1) + 1e-9
    # From bytes the same.
    again = tmp_path / f"again{suffix}"
    convert_huge(source.read_bytes(), again, engine, memory_bytes=LITTLE, quality=95)
    assert again.read_bytes() == target.read_bytes()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "CMYK", "I;16", "RGB16", "RGBA16"])
def test_all_kinds_of_pixels(tmp_path: Path, mode: str) -> None:
    engine = Engine(save_model(tmp_path / "m.onnx", PLAIN), device="cpu")
    image_HWC = photo(300, 200, 4)
    source = tmp_path / "in.tif"
    if mode in ("RGB16", "RGBA16"):
        deep_HWC = image_HWC.astype(np.uint16)[..., : 3 if mode == "RGB16" else 4] * 256 + 100
        source = tmp_path / "in.png"
        source.write_bytes(encode(Picture.from_array(deep_HWC), ".png"))
    elif mode == "I;16":
        Image.fromarray(image_HWC[..., 0].astype(np.uint16) * 257 + 70).save(source)
    elif mode == "CMYK":
        Image.fromarray(image_HWC, "CMYK").save(source := tmp_path / "in.jpg", quality=95)
    elif mode in ("P", "1"):
        Image.fromarray(image_HWC[..., :3]).convert(mode).save(source := tmp_path / "in.png")
    else:
        Image.fromarray(image_HWC).convert(mode).save(source)
    expected = engine.apply(read_picture(source))
    convert_huge(source, tmp_path / "out.png", engine, memory_bytes=LITTLE)
    found = read_picture(tmp_path / "out.png")
    assert difference(found.rgb_HWC, expected.rgb_HWC) <= (2 if mode == "CMYK" else 0)
    assert (found.alpha_HW is None) == (expected.alpha_HW is None)
    if found.alpha_HW is not None:
        assert np.array_equal(found.alpha_HW, expected.alpha_HW)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_turned_pictures(tmp_path: Path, orientation: int, suffix: str) -> None:
    engine = Engine(save_model(tmp_path / "m.onnx", PLAIN), device="cpu")
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "Maker"
    channels = 3 if suffix == ".jpg" else 4
    Image.fromarray(photo(530, 300, channels)).save(tmp_path / f"in{suffix}", exif=exif)
    for name in ("first", "second"):
        convert_huge(tmp_path / f"in{suffix}", tmp_path / f"{name}.png", engine, memory_bytes=LITTLE)
    expected = engine.apply(read_picture(tmp_path / f"in{suffix}"))
    found = read_picture(tmp_path / "first.png")
    assert difference(found.to_array(), expected.to_array()) <= (2 if suffix == ".jpg" else 0)
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()
    with Image.open(tmp_path / "first.png") as image:
        tags = image.getexif()
    assert (tags.get(0x0112, 1), tags[0x010F]) == (1, "Maker")
    assert not list(tmp_path.glob(".*"))


def test_turned_twice_read(tmp_path: Path) -> None:
    """A small copy first, then the picture: the temporary file is read twice."""
    engine = Engine(save_model(tmp_path / "m.onnx", SCENE), device="cpu")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(photo(530, 300)).save(tmp_path / "in.png", exif=exif)
    convert_huge(tmp_path / "in.png", tmp_path / "out.png", engine, memory_bytes=LITTLE)
    expected = engine.apply(read_picture(tmp_path / "in.png"))
    assert difference(read_picture(tmp_path / "out.png").rgb_HWC, expected.rgb_HWC) <= 3


def test_deep_models_keep_16_bits(tmp_path: Path) -> None:
    from test_engine import DEEP, save_cast

    spec = dataclasses.replace(DEEP, input_channels=3, output_channels=3, receptive_field=1, bytes_per_pixel=64)
    engine = Engine(save_cast(tmp_path / "m.onnx", spec), device="cpu")
    deep_HWC = photo(400, 300, 4).astype(np.uint16) * 257 + 99
    for suffix in (".png", ".tif"):
        source, target = tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"
        source.write_bytes(encode(Picture.from_array(deep_HWC), suffix))
        convert_huge(source, target, engine, memory_bytes=LITTLE)
        found = read_picture(target, bits=16)
        assert difference(found.to_array(), deep_HWC) == 0
    convert_huge(tmp_path / "in.png", tmp_path / "out.jpg", engine, memory_bytes=LITTLE)
    assert read_picture(tmp_path / "out.jpg").bits == 8


def test_profiles_and_metadata(tmp_path: Path) -> None:
    engine = Engine(save_model(tmp_path / "m.onnx", TWICE), device="cpu")
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = bytearray(profile)
    red, green = profile.index(b"rXYZ"), profile.index(b"gXYZ")
    swapped[red : red + 4], swapped[green : green + 4] = b"gXYZ", b"rXYZ"
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    exif[0x0100], exif[0x0101] = 300, 200
    Image.fromarray(photo(200, 300)).save(
        tmp_path / "in.jpg", exif=exif, icc_profile=bytes(swapped), xmp=b"<x:xmpmeta/>"
    )
    expected = engine.apply(read_picture(tmp_path / "in.jpg"))
    for suffix in (".png", ".jpg", ".webp", ".tif"):
        convert_huge(tmp_path / "in.jpg", tmp_path / f"out{suffix}", engine)
        found = read_picture(tmp_path / f"out{suffix}")
        assert found.icc
        assert np.abs(found.rgb_HWC.astype(int) - expected.rgb_HWC).mean() < 3
        assert found.xmp is not None
        assert b"xmpmeta" in found.xmp
        if suffix != ".tif":
            with Image.open(tmp_path / f"out{suffix}") as image:
                tags = image.getexif()
            assert (tags[0x010F], tags[0x0100], tags[0x0101]) == ("Maker", 600, 400)
    convert_huge(tmp_path / "in.jpg", tmp_path / "own.png", engine, keep_profile=True, metadata="strip")
    own = read_picture(tmp_path / "own.png")
    assert own.icc == bytes(swapped)
    assert difference(own.rgb_HWC, expected.rgb_HWC) <= 4
    assert own.exif is own.xmp is None


# --- when


def test_needs_streaming(tmp_path: Path) -> None:
    engine = Engine(save_model(tmp_path / "m.onnx", TWICE), device="cpu")
    engine.memory_bytes = 1 << 20
    edge = engine.max_pixels
    assert not needs_streaming(1, edge, engine)
    assert needs_streaming(1, edge + 1, engine)
    engine.tile = 0
    assert not needs_streaming(10**5, 10**5, engine)
    sized = Engine(save_model(tmp_path / "m.onnx", SIZED), device="cpu", tile=0)
    assert needs_streaming(10**6, 10**6, sized)


def test_without_torch() -> None:
    code = "import sys; sys.modules['torch'] = None; import translate.conversion.huge"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_bands_stay_within_the_memory(tmp_path: Path) -> None:
    """Windows and bands are as large as the memory allows and no larger."""
    engine = Engine(save_model(tmp_path / "m.onnx", dataclasses.replace(TWICE, bytes_per_pixel=1000)), device="cpu")
    reader: Any = SimpleNamespace(height=600, width=500)
    for memory, sides in ((1 << 20, (64, 64)), (50 << 20, (158, 158)), (400 << 20, (457, 457))):
        job = streaming._BandConversion(reader, engine, {}, memory, print)
        tall, side = job._sides()
        assert (tall, side) == pytest.approx(sides, abs=4)
        assert side == 64 or side**2 * 1000 <= memory / 2
