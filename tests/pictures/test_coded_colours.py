"""Colours that a file says in numbers: PNG's cICP, sRGB, gAMA, cHRM; AVIF's and HEIC's nclx (PNG-3, 4.3; H.273)."""

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_files import ADOBE_RGB, DISPLAY_P3, SRGB, heic, icc_profile, png, saved
from PIL import Image

from translate.data.reading import PixelFormat, read_pixels
from translate.pictures.band_reader import RowReader
from translate.pictures.icc import srgb_profile
from translate.pictures.libvips import from_array, vips
from translate.pictures.operations import Picture, decode, encode, flatten, read_picture

P3_CICP, PQ_CICP, HLG_CICP = b"\x0c\x0d\0\1", b"\x09\x10\0\1", b"\x09\x12\0\1"
P3_POINTS = ((0.3127, 0.3290), (0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
SRGB_POINTS = ((0.3127, 0.3290), (0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
COLOURS = ((30, 30, 30), (40, 180, 60), (50, 60, 200), (128, 128, 128), (180, 90, 200), (200, 60, 60), (230, 230, 230))
"""sRGB; all of them lie in Display P3 and BT.2020."""
REC_2020 = np.array([[0.627404, 0.329283, 0.043313], [0.069097, 0.919541, 0.011362], [0.016391, 0.088013, 0.895595]])
"""Linear sRGB to linear BT.2020 (ITU-R BT.2087)."""


def wanted() -> np.ndarray:
    """(16, 112, 3): what every case must look like."""
    return np.repeat(np.repeat(np.array([COLOURS], np.uint8), 16, axis=1), 16, axis=0)


def light(levels: np.ndarray) -> np.ndarray:
    return np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)


def signal(linear: np.ndarray) -> np.ndarray:
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.maximum(linear, 0) ** (1 / 2.4) - 0.055)


def pq(linear: np.ndarray) -> np.ndarray:
    """Light, of which 1 is 203 cd/m2, as SMPTE ST 2084 writes it."""
    power = (np.maximum(linear, 0) * 203 / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def stored(kind: str, bits: int = 8) -> np.ndarray:
    """The numbers that a file with colours of this kind holds for `wanted`."""
    linear = light(wanted() / 255)
    p3 = linear @ SRGB.T @ np.linalg.inv(DISPLAY_P3).T
    levels = {
        "linear": linear,
        "gamma 1.8": linear ** (1 / 1.8),
        "P3": signal(p3),
        "P3 narrow": (16 + 219 * signal(p3)) / 255 if bits == 8 else (4096 + 56064 * signal(p3)) / 65535,
        "PQ": pq(linear @ REC_2020.T),
        "sRGB": wanted() / 255,
    }[kind]
    return np.rint(np.clip(levels, 0, 1) * (2**bits - 1)).astype(np.uint8 if bits == 8 else np.uint16)


def assert_about_as_wanted(found_HWC: np.ndarray) -> None:
    """After lossy coding, whose smallest errors weigh much in the dark and at the edge of a wide gamut."""
    error = np.abs(found_HWC[8, 8::16].astype(int) - wanted()[8, 8::16])
    assert error[[0, 3, 6]].max() <= 2  # greys
    assert error.mean() <= 4


def gama(value: float) -> tuple[bytes, bytes]:
    return b"gAMA", struct.pack(">I", round(value * 100_000))


def chrm(points: tuple[tuple[float, float], ...]) -> tuple[bytes, bytes]:
    return b"cHRM", struct.pack(">8I", *(round(number * 100_000) for point in points for number in point))


def iccp(icc: bytes) -> tuple[bytes, bytes]:
    import zlib

    return b"iCCP", b"p\0\0" + zlib.compress(icc)


def bare_exif(orientation: int) -> bytes:
    return b"MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1" + struct.pack(">HHI", orientation, 0, 0)


ADOBE = iccp(icc_profile(ADOBE_RGB, 563 / 256))
LINEAR, OLD = gama(1.0), gama(0.45455)
CASES: dict[str, tuple[str, tuple[tuple[bytes, bytes], ...]]] = {
    "gAMA of linear light": ("linear", (LINEAR,)),
    "gAMA of linear light, and sRGB's primaries": ("linear", (LINEAR, chrm(SRGB_POINTS))),
    "gAMA of old Macs": ("gamma 1.8", (gama(1 / 1.8),)),
    "cHRM": ("P3", (chrm(P3_POINTS),)),
    "cHRM and gAMA": ("P3", (OLD, chrm(P3_POINTS))),
    "cICP": ("P3", ((b"cICP", P3_CICP),)),
    "cICP before all others": ("P3", ((b"cICP", P3_CICP), ADOBE, (b"sRGB", b"\0"), LINEAR)),
    "cICP of video levels": ("P3 narrow", ((b"cICP", b"\x0c\x0d\0\0"),)),
    "cICP of video levels, BT.709": ("sRGB", ((b"cICP", b"\1\1\0\1"),)),
    "cICP with a matrix is none": ("linear", ((b"cICP", b"\x0c\x0d\1\1"), LINEAR)),
    "cICP of logarithmic light is none": ("linear", ((b"cICP", b"\1\x09\0\1"), LINEAR)),
    "cICP unspecified is none": ("linear", ((b"cICP", b"\2\2\0\1"), LINEAR)),
    "a profile before sRGB and gAMA": ("P3", (iccp(icc_profile(DISPLAY_P3, None)), (b"sRGB", b"\0"), LINEAR)),
    "an unusable profile": ("linear", (iccp(b"nonsense"), LINEAR)),
    "sRGB before gAMA and cHRM": ("sRGB", ((b"sRGB", b"\0"), LINEAR, chrm(P3_POINTS))),
    "PQ": ("PQ", ((b"cICP", PQ_CICP),)),
}
TOLERANCE = {"linear": 6, "PQ": 4}
"""Of 8 bits, whose steps in the darkest colours are this wide."""


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found.astype(float) - expected).max())


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("case", CASES)
def test_png(tmp_path: Path, case: str, bits: Any) -> None:
    """As in sRGB; read at once, by bands and for training alike; alpha stays."""
    kind, chunks = CASES[case]
    opacity = np.full((16, 112, 1), 77 if bits == 8 else 20_001)
    stored_HWC = np.concatenate([stored(kind, bits), opacity], axis=2).astype(np.uint8 if bits == 8 else np.uint16)
    path = tmp_path / "a.png"
    path.write_bytes(png(stored_HWC, 6, *chunks))
    found = read_picture(path, bits=bits)
    assert found.bits == bits
    error = difference(found.rgb_HWC / (1 if bits == 8 else 257), wanted())
    assert error <= (TOLERANCE.get(kind, 2) if bits == 8 else 1)
    assert found.alpha_HW is not None
    assert (found.alpha_HW == opacity[..., 0]).all()
    with RowReader(path, "a.png", tmp_path, bits=bits) as reader:
        bands = list(reader.bands())
    assert difference(np.concatenate([band.to_array() for band in bands]), found.to_array()) == 0
    assert (reader.facts.icc, reader.facts.notes) == (found.icc, found.notes)
    for channels in (3, 4):
        learnt_HWC = read_pixels(path, PixelFormat(channels, bits))
        assert np.array_equal(learnt_HWC, found.to_array() if channels == 4 else flatten(found))


@pytest.mark.parametrize("chunks", [(OLD,), (OLD, chrm(SRGB_POINTS)), (gama(0.45),), ((b"sRGB", b"\0"), OLD), ()])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_means_srgb_changes_no_number(chunks: tuple[tuple[bytes, bytes], ...], dtype: type) -> None:
    """As nearly every old PNG has it."""
    stored_HWC = np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, (20, 30, 3), dtype=dtype)
    found = decode(png(stored_HWC, 2, *chunks), bits=16)
    assert np.array_equal(found.rgb_HWC, stored_HWC)
    assert (found.icc, found.notes) == (None, ())


def test_grey_and_palettes() -> None:
    grey_HW = np.array([[0, 55, 255]], np.uint8)
    assert decode(png(grey_HW, 0, LINEAR)).rgb_HWC[0].tolist() == [[0] * 3, [128] * 3, [255] * 3]
    palette = (b"PLTE", bytes([55, 55, 55, 147, 5, 5]))
    found = decode(png(np.array([[0, 1]], np.uint8), 3, LINEAR, palette))
    assert difference(found.rgb_HWC[0], np.array([[128] * 3, [200, 37, 37]])) <= 1


@pytest.mark.parametrize("chunk", [b"gAMA", b"cHRM", b"cICP", b"sRGB"])
@pytest.mark.parametrize("body", [b"", b"\0", bytes(4), bytes(32), b"\xff" * 32, b"\xff\xff\0\1"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_damaged_chunks_change_nothing(tmp_path: Path, chunk: bytes, body: bytes, dtype: type) -> None:
    stored_HWC = np.full((3, 5, 3), 100, dtype)
    data = png(stored_HWC, 2, (chunk, body))
    if chunk in (b"cICP",) or len(body) >= {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1}[chunk]:
        assert np.array_equal(decode(data, bits=16).rgb_HWC, stored_HWC)
    with RowReader(data, "a.png", tmp_path, bits=16) as reader:
        assert np.array_equal(next(reader.bands()).rgb_HWC, stored_HWC)


def with_nclx(data: bytes, primaries: int, transfer: int) -> bytes:
    place = data.index(b"colrnclx") + 8
    return data[:place] + struct.pack(">HH", primaries, transfer) + data[place + 4 :]


def made(kind: str, stored_HWC: np.ndarray, **options: Any) -> bytes:
    image = Image.fromarray(stored_HWC)
    if kind == "HEIC":
        return heic(image, **options)
    return saved(image, kind, quality=100, subsampling="4:4:4", **options)


@pytest.mark.parametrize("kind", ["AVIF", "HEIC"])
@pytest.mark.parametrize(
    ("colours", "primaries", "transfer"),
    [("P3", 12, 13), ("linear", 1, 8), ("PQ", 9, 16), ("sRGB", 1, 13), ("sRGB", 2, 2), ("sRGB", 1, 1)],
)
def test_nclx(tmp_path: Path, kind: str, colours: str, primaries: int, transfer: int) -> None:
    path = tmp_path / f"a.{kind.lower()}"
    path.write_bytes(with_nclx(made(kind, stored(colours)), primaries, transfer))
    found = read_picture(path)
    assert_about_as_wanted(found.rgb_HWC)
    assert (found.icc is None) == (colours == "sRGB")
    assert np.array_equal(read_pixels(path, PixelFormat()), found.rgb_HWC)


@pytest.mark.parametrize("kind", ["AVIF", "HEIC"])
def test_unknown_code_points_have_a_note(kind: str) -> None:
    found = decode(with_nclx(made(kind, stored("sRGB")), 9, 10))
    assert_about_as_wanted(found.rgb_HWC)
    assert found.notes == ("its colours (primaries 9, transfer 10 of H.273) were taken for sRGB",)


@pytest.mark.parametrize("kind", ["AVIF", "HEIC"])
def test_a_profile_before_nclx(kind: str) -> None:
    data = made(kind, stored("P3"), icc_profile=icc_profile(DISPLAY_P3, None))
    if b"colrnclx" in data:
        data = with_nclx(data, 9, 16)
    found = decode(data)
    assert_about_as_wanted(found.rgb_HWC)
    assert found.icc == icc_profile(DISPLAY_P3, None)


def test_animated_avif() -> None:
    frames = [Image.fromarray(stored("P3")), Image.fromarray(stored("P3")[::-1])]
    data = with_nclx(saved(frames[0], "AVIF", save_all=True, append_images=frames[1:], quality=100), 12, 13)
    from translate.pictures.animation import frames as read

    for frame in read(data, "a.avif"):
        assert_about_as_wanted(frame.rgb_HWC)


# --- HDR


def deep(kind: str, stored_HWC: np.ndarray, orientation: int = 1) -> bytes:
    """10 bits, nearly lossless; only HEIC says that they are PQ."""
    if kind == "HEIC":
        heif = pytest.importorskip("pillow_heif")
        height, width, channels = stored_HWC.shape
        made = heif.from_bytes("RGB;16" if channels == 3 else "RGBA;16", (width, height), stored_HWC.tobytes())
        buffer = io.BytesIO()
        made.save(buffer, quality=-1, chroma=444, exif=bare_exif(orientation))
        return with_nclx(buffer.getvalue(), 9, 16)
    if not vips().type_find("VipsForeignSave", "heifsave_buffer"):
        pytest.skip("libvips without AVIF")
    options = {"compression": "av1", "bitdepth": 10, "Q": 100, "subsample_mode": "off"}
    return from_array(stored_HWC, "rgb16").heifsave_buffer(**options)


@pytest.mark.parametrize("kind", ["AVIF", "HEIC"])
@pytest.mark.parametrize("channels", [3, 4])
def test_ten_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, channels: int) -> None:
    """Eight bits of PQ would be off by ten levels in the green."""
    stored_HWC = stored("PQ", 16)
    monkeypatch.setattr("translate.pictures.colours.read_nclx", lambda _: (9, 16))  # libvips does not write it
    opacity = np.full((*stored_HWC.shape[:2], 1), 65535, np.uint16)
    opacity[:, :16] = 32768
    path = tmp_path / f"a.{kind.lower()}"
    path.write_bytes(deep(kind, np.concatenate([stored_HWC, opacity], axis=2)[..., :channels]))
    found = read_picture(path)
    assert found.bits == 8
    assert np.abs(found.rgb_HWC[8, 8::16].astype(int) - wanted()[8, 8::16]).max() <= 6
    assert (found.alpha_HW is not None) == (channels == 4)
    if found.alpha_HW is not None:
        assert found.alpha_HW[8, [4, 60]].tolist() == pytest.approx([128, 255], abs=1)
    assert read_picture(path, bits=16).bits == 16
    assert np.array_equal(read_pixels(path, PixelFormat(channels)), found.to_array())


def test_ten_bits_are_turned_once() -> None:
    tall_HWC = np.ascontiguousarray(np.rot90(stored("PQ", 16)))
    found = decode(deep("HEIC", tall_HWC, 6))
    assert found.rgb_HWC.shape == wanted().shape
    assert np.abs(found.rgb_HWC[8, 8::16].astype(int) - wanted()[8, 8::16]).max() <= 6


def hdr(levels: list[float], cicp: bytes, bits: int = 16) -> Picture:
    """Grey of these signals, 0 to 1."""
    white = 2**bits - 1
    pixels_HW = np.rint(np.array([levels]) * white).astype(np.uint16 if bits == 16 else np.uint8)
    return decode(png(np.repeat(pixels_HW[..., None], 3, axis=2), 2, (b"cICP", cicp)), bits=16 if bits == 16 else 8)


def test_hdr_has_a_note_and_the_tag_of_srgb() -> None:
    for cicp, name in ((PQ_CICP, "PQ"), (HLG_CICP, "HLG")):
        found = hdr([0.2, 0.5], cicp)
        assert found.notes == (f"its HDR colours ({name}) were tone-mapped to sRGB",)
        assert found.icc == srgb_profile()


def test_no_brighter_than_white() -> None:
    """PQ 0.5807 is 203 cd/m2, HLG 0.75 on a display of 1000 cd/m2 too (BT.2408, table 1): white."""
    assert hdr([0, 0.5807], PQ_CICP).rgb_HWC[0, :, 0] / 257 == pytest.approx([0, 255], abs=0.2)
    assert hdr([0, 0.75], HLG_CICP).rgb_HWC[0, :, 0] / 257 == pytest.approx([0, 255], abs=0.2)
    assert hdr([0.3, 0.5], PQ_CICP, bits=8).bits == 8


def test_highlights_are_compressed() -> None:
    """By BT.2390: the brightest becomes white, the knee is where it says, below it nothing changes, order stays."""
    levels = [0.1, 0.3, 0.45, 0.5, 0.58, 0.65, 0.7, 0.7518]  # the last: 1000 cd/m2
    found = hdr(levels, PQ_CICP).rgb_HWC[0, :, 0] / 257
    assert found[-1] == pytest.approx(255, abs=0.2)
    assert (np.diff(found) > 0.5).all()
    knee = (1.5 * 0.5807 / 0.7518 - 0.5) * 0.7518
    assert 0.45 < knee < 0.5
    unchanged = hdr([*levels[:3], 0.5], PQ_CICP).rgb_HWC[0, :3, 0] / 257
    assert found[:3] == pytest.approx(unchanged, abs=0.1)
    # By hand: KS = 0.6586, T = (0.58 / 0.7518 - KS) / (1 - KS) = 0.3306, E2 = 0.7383, E3 = 0.5550, 158.6 cd/m2.
    assert found[4] == pytest.approx(255 * float(signal(np.array(158.6 / 203))), abs=0.2)


def test_hues_of_highlights_stay() -> None:
    """Twice as much red as green and blue, up to four times as bright as white."""
    linear = np.array([[[4.0, 2.0, 2.0], [0.4, 0.2, 0.2]]])
    stored_HWC = np.rint(pq(linear @ REC_2020.T) * 65535).astype(np.uint16)
    found = light(decode(png(stored_HWC, 2, (b"cICP", PQ_CICP)), bits=16).rgb_HWC[0] / 65535)
    assert found[:, 0] / found[:, 1] == pytest.approx([2, 2], rel=0.02)
    assert found[:, 1] == pytest.approx(found[:, 2], rel=0.02)


# --- the way back


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".avif"])
def test_keep_profile_writes_the_numbers_back_and_says_what_they_are(suffix: str, bits: Any) -> None:
    found = decode(png(stored("P3", bits), 2, (b"cICP", P3_CICP)), bits=bits)
    assert found.icc is not None
    data = encode(found, suffix, keep_profile=True, quality=100)
    again = decode(data)
    assert again.icc == found.icc
    assert_about_as_wanted(again.rgb_HWC)
    back = decode(encode(found, ".png", keep_profile=True), bits=bits)
    assert difference(back.rgb_HWC, found.rgb_HWC) <= (1 if bits == 8 else 300)


def test_keep_profile_of_hdr_is_srgb() -> None:
    found = hdr([0.2, 0.5], PQ_CICP)
    again = decode(encode(found, ".png", keep_profile=True), bits=16)
    assert np.array_equal(again.rgb_HWC, found.rgb_HWC)
    assert again.icc == srgb_profile()
