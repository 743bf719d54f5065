"""A folder of odd files: every good one is converted, every bad one is named, nothing is half-written."""

import io
import random
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import INVERT, save_model
from PIL import Image, ImageCms

from translate.conversion.folder import Summary, convert_folder
from translate.inference.engine import Engine
from translate.pictures.operations import read_picture

SEED = 11
SIDE = 40


def picture(mode: str = "RGB") -> Image.Image:
    values = np.random.default_rng(SEED).integers(0, 256, (SIDE, SIDE + 6, 4), dtype=np.uint8)
    image = Image.fromarray(values)
    if mode == "I;16":
        return Image.fromarray(values[..., 0].astype(np.uint16) * 257)
    return image.convert("RGB").convert(mode) if mode in ("P", "1", "CMYK") else image.convert(mode)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def exif(orientation: int) -> bytes:
    found = Image.Exif()
    found[0x0112] = orientation
    return found.tobytes()


def profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def good_files() -> dict[str, bytes]:
    rgb, rgba = picture(), picture("RGBA")
    frames = [picture("RGB"), picture("RGB").rotate(90)]
    found = {
        f"{mode}.png".replace(";", ""): saved(picture(mode), "PNG") for mode in ("1", "L", "LA", "P", "RGB", "I;16")
    }
    found |= {f"{mode}.jpg": saved(picture(mode), "JPEG") for mode in ("L", "RGB", "CMYK")}
    found |= {f"{mode}.bmp": saved(picture(mode), "BMP") for mode in ("1", "L", "P", "RGB")}
    found |= {f"{mode}.gif": saved(picture(mode), "GIF") for mode in ("L", "P")}
    found |= {
        f"{mode}.tif".replace(";", ""): saved(picture(mode), "TIFF") for mode in ("L", "RGB", "RGBA", "CMYK", "I;16")
    }
    found |= {
        f"{compression}.tiff": saved(rgb, "TIFF", compression=compression)
        for compression in ("tiff_lzw", "tiff_deflate", "packbits", "jpeg")
    }
    found |= {f"turned-{number}.jpg": saved(rgb, "JPEG", exif=exif(number)) for number in range(1, 9)}
    found |= {
        "RGBA.png": saved(rgba, "PNG"),
        "transparent.png": saved(picture("P"), "PNG", transparency=3),
        "transparent.gif": saved(picture("P"), "GIF", transparency=3),
        "moving.gif": saved(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "moving.webp": saved(frames[0], "WEBP", save_all=True, append_images=frames[1:]),
        "moving.png": saved(frames[0], "PNG", save_all=True, append_images=frames[1:]),
        "two pages.tif": saved(frames[0], "TIFF", save_all=True, append_images=frames[1:]),
        "lossless.webp": saved(rgb, "WEBP", lossless=True),
        "alpha.webp": saved(rgba, "WEBP"),
        "plain.avif": saved(rgb, "AVIF"),
        "progressive.jpeg": saved(rgb, "JPEG", progressive=True, quality=30),
        "profile.jpg": saved(rgb, "JPEG", icc_profile=profile()),
        "broken profile.jpg": saved(rgb, "JPEG", icc_profile=b"no profile"),
        "broken exif.jpg": saved(rgb, "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff"),
        "turned.webp": saved(rgb, "WEBP", exif=exif(6)),
        "turned.png": saved(rgb, "PNG", exif=exif(8)),
        "really a PNG.jpg": saved(rgb, "PNG"),
        "really a JPEG.PNG": saved(rgb, "JPEG"),
        "Ünïcode 画像 'quoted'.png": saved(rgb, "PNG"),
        "trailing bytes.jpg": saved(rgb, "JPEG") + b"more",
        "tiny.png": saved(picture().resize((3, 3)), "PNG"),
        f"{'long' * 60}.png": saved(rgb, "PNG"),
    }
    return found


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bad_files() -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    whole = {
        "png": saved(picture(), "PNG"),
        "jpg": saved(picture(), "JPEG"),
        "webp": saved(picture(), "WEBP"),
        "tif": saved(picture(), "TIFF", compression="tiff_lzw"),
        "gif": saved(picture("P"), "GIF"),
        "bmp": saved(picture(), "BMP"),
        "avif": saved(picture(), "AVIF"),
    }
    for kind, data in whole.items():
        for share in (0.02, 0.5):
            found[f"cut at {share}.{kind}"] = data[: int(share * len(data))]
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    found |= {
        "empty.png": b"",
        "text.jpg": b"not a picture",
        "zip.png": b"PK\x05\x06" + bytes(18),
        "vector.png": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "postscript.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "bomb.png": bomb,
    }
    return found


def flipped_files() -> dict[str, bytes]:
    """Good files with some bytes changed: either is right, but nothing else."""
    dice = random.Random(SEED)
    found: dict[str, bytes] = {}
    for name, data in good_files().items():
        if name[0] in "LRP" or name.startswith(("alpha", "plain", "lossless", "tiff")):
            damaged = bytearray(data)
            for _ in range(4):
                damaged[dice.randrange(8, len(damaged))] ^= 1 << dice.randrange(8)
            found[f"flipped {name}"] = bytes(damaged)
    return found


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Summary]:
    """The results' folder and the report; a memory of 2 GB, so that the bomb is one everywhere."""
    folder = tmp_path_factory.mktemp("odd")
    (folder / "in" / "folder.png").mkdir(parents=True)
    for name, data in (good_files() | bad_files() | flipped_files()).items():
        (folder / "in" / name).write_bytes(data)
    engine = Engine(save_model(folder / "m.onnx", INVERT), device="cpu")
    engine.memory_bytes = 2_000_000_000
    return folder / "out", convert_folder(folder / "in", folder / "out", engine)


def test_every_file_is_converted_or_named(converted: tuple[Path, Summary]) -> None:
    _, report = converted
    total = len(good_files()) + len(bad_files()) + len(flipped_files())
    assert total >= 80
    assert report.converted + len(report.failed) == total
    failed = {Path(outcome.source).name: outcome.reason for outcome in report.failed}
    assert set(failed) & set(good_files()) == set()
    assert set(failed) >= set(bad_files())
    for name, reason in failed.items():
        assert reason is not None
        assert name in reason
        assert "\n" not in reason


def test_nothing_is_half_written(converted: tuple[Path, Summary]) -> None:
    out, report = converted
    written = sorted(path for path in out.rglob("*") if path.name != ".translate.jsonl")
    assert len(written) == report.converted
    for path in written:
        read_picture(path)


def test_turned_pictures_are_upright(converted: tuple[Path, Summary]) -> None:
    upright = read_picture(converted[0] / "turned-1.jpg").rgb_HWC.astype(int)
    height, width, _ = upright.shape
    for number in range(5, 9):
        assert read_picture(converted[0] / f"turned-{number}.jpg").rgb_HWC.shape == (width, height, 3)
