"""Files of several pages: TIFF in and out, MPO, and copies that are no pages."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
from conftest import DOUBLE, INVERT, save_model
from made_files import ADOBE_RGB, DISPLAY_P3, exif, icc_profile, read_exif, saved
from PIL import Image

from translate.conversion.folder import Summary, convert_folder
from translate.conversion.huge import convert_huge
from translate.conversion.worker import Conversion
from translate.data.reading import PixelFormat, read_pixels
from translate.errors import ConfigError, ImageError
from translate.inference.engine import Engine
from translate.pictures.band_reader import RowReader
from translate.pictures.metadata.facts import Text
from translate.pictures.metadata.tiff_tags import Tiff
from translate.pictures.operations import Picture, decode, encode
from translate.pictures.pages import PageFile, chosen_pages, count_pages

GREYS = (10, 100, 200)
PROFILES = icc_profile(DISPLAY_P3, None), icc_profile(ADOBE_RGB, 2.2)


def page(grey: int, size: tuple[int, int] = (40, 24)) -> Image.Image:
    return Image.new("RGB", size, (grey, grey // 2, 255 - grey))


def tiff(*pages: Image.Image, **options: Any) -> bytes:
    return saved(pages[0], "TIFF", save_all=True, append_images=pages[1:], **options)


def mpo(*pages: Image.Image, **options: Any) -> bytes:
    return saved(pages[0], "MPO", save_all=True, append_images=pages[1:], quality=100, **options)


def shown(data: bytes) -> list[tuple[tuple[int, int], int]]:
    """Size and red of each page, by Pillow."""
    with Image.open(io.BytesIO(data)) as image:
        found: list[tuple[tuple[int, int], int]] = []
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            red: Any = image.convert("RGB").getpixel((0, 0))
            found.append((image.size, red[0]))
    return found


@pytest.mark.parametrize("big", [False, True])
def test_each_page_is_decoded(big: bool) -> None:
    data = tiff(*(page(grey, (40, 24 + grey)) for grey in GREYS), big_tiff=big)
    for number, grey in enumerate(GREYS, 1):
        found = decode(data, page=number)
        assert found.pages == 3
        assert found.rgb_HWC.shape == (24 + grey, 40, 3)
        assert found.rgb_HWC[0, 0, 0] == grey
    with pytest.raises(ImageError, match="has no page 4, only 3"):
        decode(data, page=4)
    with pytest.raises(ImageError, match="has no page 2, only 1"):
        decode(saved(page(1), "PNG"), page=2)


def test_each_page_has_its_own_facts() -> None:
    first = Picture(np.asarray(page(10)), None, icc_profile(DISPLAY_P3, None), exif(6))
    second = Picture(np.asarray(page(100)))
    data = encode(first, ".tif", keep_profile=True)
    joined = tiff(page(100), Image.open(io.BytesIO(data)))
    assert decode(joined, page=1).icc is None
    assert decode(encode(second, ".tif")).exif is None
    assert decode(tiff(page(1), page(2), dpi=(72, 72))).pages == 2


def stored_differently(folder: Path) -> bytes:
    """A TIFF of two pages that lie differently and have profiles, resolutions and IPTC of their own; a third has none.

    The first two are 60 x 40 upright, with a bright corner top left.
    """
    facts: list[dict[str, Any]] = [
        {"tiffinfo": {0x0112: 6, 0x83BB: iptc(b"one")}, "icc_profile": PROFILES[0], "dpi": (300, 150)},
        {"tiffinfo": {0x0112: 3, 0x83BB: iptc(b"two")}, "icc_profile": PROFILES[1], "dpi": (72, 72)},
        {},
    ]
    upright = page(100, (60, 40))
    upright.paste((250, 250, 250), (0, 0, 10, 10))
    back = (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180)
    images = [*map(upright.transpose, back), page(10)]
    with PageFile(folder / "all.tif") as file:
        for image, options in zip(images, facts, strict=True):
            (folder / "one.tif").write_bytes(saved(image, "TIFF", **options))
            file.add(folder / "one.tif")
    return (folder / "all.tif").read_bytes()


def iptc(title: bytes) -> bytes:
    return b"\x1c\x02\x05" + len(title).to_bytes(2, "big") + title


def assert_each_its_own(pages: list[Picture]) -> None:
    first, second, _ = pages
    for picture in (first, second):
        assert (picture.height, picture.width) == (40, 60)
        assert np.unravel_index(picture.rgb_HWC.sum(2, dtype=int).argmax(), (40, 60)) == (0, 0)
    assert first.size is not None
    assert (first.size.height, first.size.width) == pytest.approx((60 / 300 * 40 / 60, 60 / 150), rel=0.01)
    assert second.size is not None
    assert (second.size.height, second.size.width) == pytest.approx((40 / 72, 60 / 72), rel=0.01)
    assert [one.iptc for one in pages] == [iptc(b"one"), iptc(b"two"), None]
    assert [one.icc for one in pages] == [*PROFILES, None]


def test_pages_lie_and_look_as_each_says(tmp_path: Path) -> None:
    data = stored_differently(tmp_path)
    pages = [decode(data, page=number) for number in (1, 2, 3)]
    assert_each_its_own(pages)
    assert not np.array_equal(pages[0].rgb_HWC[-1, -1], pages[1].rgb_HWC[-1, -1])  # the same numbers in other profiles
    for source in (data, tmp_path / "all.tif"):
        in_bands: list[Picture] = []
        for number, at_once in enumerate(pages, 1):
            with RowReader(source, "all.tif", tmp_path, page=number) as reader:
                rgb_HWC = np.concatenate([band.rgb_HWC for band in reader.bands()])
            assert np.array_equal(rgb_HWC, at_once.rgb_HWC)
            in_bands.append(replace(reader.facts, rgb_HWC=rgb_HWC))
            assert reader.facts.pages == 3
        assert_each_its_own(in_bands)


@pytest.mark.parametrize("huge", [False, True])
def test_pages_keep_what_each_says(tmp_path: Path, huge: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    data = stored_differently(tmp_path)
    if huge:
        monkeypatch.setattr(Engine, "max_pixels", 100)
    report = convert(tmp_path, {"a.tif": data}, Conversion(keep_profile=True))
    assert report.failed == ()
    result = (tmp_path / "out" / "a.tif").read_bytes()
    found = [decode(result, page=number) for number in (1, 2, 3)]
    assert_each_its_own([replace(one, rgb_HWC=255 - one.rgb_HWC) for one in found])


@pytest.mark.parametrize("flagged", [False, True])
@pytest.mark.parametrize("first", [False, True])
def test_a_thumbnail_is_no_page(tmp_path: Path, flagged: bool, first: bool) -> None:
    small, large = page(200, (16, 12)), page(10, (64, 48))
    data = tiff(*((small, large) if first else (large, small)))
    data = _with_flag(data, 0 if first else 1) if flagged else data
    found = decode(data)
    assert (found.width, found.pages) == (64, 1)
    (tmp_path / "a.tif").write_bytes(data)
    assert read_pixels(tmp_path / "a.tif", PixelFormat()).shape == (48, 64, 3)
    assert count_pages(tmp_path / "a.tif") == count_pages(data) == 1


def _with_flag(data: bytes, number: int) -> bytes:
    """Say of a page that it is a reduced copy, in the place of the tag RowsPerStrip, which one strip can do without."""
    tiff_file, changed = Tiff(data), bytearray(data)
    offset = tiff_file.first
    for _ in range(number):
        (offset,) = tiff_file.numbers("L", tiff_file.entries(offset)[1])
    entry = next(entry for entry in tiff_file.entries(offset)[0] if entry.tag == 278)
    changed[entry.place : entry.place + 12] = (254).to_bytes(2, "little") + b"\4\0\1\0\0\0\1\0\0\0"
    return bytes(changed)


def test_the_levels_of_a_pyramid_are_no_pages() -> None:
    image: Any = pyvips.Image.black(256, 256, bands=3)
    data = image.copy(interpretation="srgb").tiffsave_buffer(pyramid=True, tile=True, tile_width=64, tile_height=64)
    assert len(shown(data)) > 1
    assert decode(data).pages == 1


@pytest.mark.parametrize("tags", [{254: 2}, {297: (1, 2)}])
def test_what_says_that_it_is_a_page_is_one(tags: dict[int, Any]) -> None:
    """Half as large as the largest: sheets of one document scanned more coarsely."""
    small = page(200, (32, 24))
    small.encoderinfo = {"tiffinfo": tags}
    assert [decode(tiff(page(10, (64, 48)), small), page=number).pages for number in (1, 2)] == [2, 2]
    small.encoderinfo = {"tiffinfo": {**tags, 254: 3}}
    assert decode(tiff(page(10, (64, 48)), small)).pages == 1  # a reduced copy of a page


def test_pages_of_different_shapes_are_pages() -> None:
    """A small page that is no copy of the large one."""
    data = tiff(page(10, (64, 48)), page(100, (16, 16)), page(200, (48, 64)))
    assert [decode(data, page=number).width for number in (1, 2, 3)] == [64, 16, 48]


def test_mpo_has_its_pictures_as_pages() -> None:
    data = mpo(page(10), page(100), page(200))
    assert [int(decode(data, page=number).rgb_HWC[0, 0, 0]) for number in (1, 2, 3)] == pytest.approx(GREYS, abs=2)
    assert decode(data).pages == 3
    assert decode(saved(page(10), "JPEG")).pages == 1
    assert decode(mpo(page(10), page(100, (20, 12)))).pages == 1  # a preview
    gain_map = page(100)
    gain_map.info["xmp"] = b'<x xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0"/>'
    gain_map.encoderinfo = {"xmp": gain_map.info["xmp"]}
    assert decode(mpo(page(10), gain_map)).pages == 1


def test_a_gain_map_without_xmp_is_no_page() -> None:
    """ISO 21496-1 has a segment of its own for it, in the gain map with more than the version."""
    name = b"urn:iso:std:iso:ts:21496:-1\0"
    photo, gain_map = page(10), page(100)
    gain_map.encoderinfo = {"extra": b"\xff\xe2" + (2 + len(name) + 60).to_bytes(2, "big") + name + bytes(60)}
    data = mpo(photo, gain_map)
    assert decode(data).pages == 1
    assert count_pages(data) == 1
    # What the photograph says of its gain map is not said of its other pictures.
    xmp = b'<x xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0"/>'
    other = page(200)
    other.encoderinfo = {"xmp": b""}
    data = mpo(photo, gain_map, other, xmp=xmp)
    assert decode(data).pages == 2
    assert int(decode(data, page=2).rgb_HWC[0, 0, 0]) == pytest.approx(200, abs=2)


@pytest.mark.parametrize(
    ("pages", "expected"),
    [("all", [1, 2, 3]), ("first", [1]), ("2", [2]), ("2-3", [2, 3]), ("2-9", [2, 3]), ("4", [])],
)
def test_chosen_pages(pages: str, expected: list[int]) -> None:
    assert list(chosen_pages(pages, 3)) == expected


@pytest.mark.parametrize("pages", ["", "none", "0", "3-2", "-1", "1-", "1,2", "²"])
def test_bad_pages(pages: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--pages .*: give all, first, a number such as 3, or a range such as 2-5"):
        chosen_pages(pages, 3)
    with pytest.raises(ConfigError, match="--pages"):
        Conversion(pages=pages).check(Engine(save_model(tmp_path / "m.onnx", INVERT)))


# --- writing


def test_pages_are_joined_with_all_they_say(tmp_path: Path) -> None:
    pictures = [
        Picture(np.asarray(page(grey, (40, 24 + grey))), None, icc_profile(DISPLAY_P3, None), exif(order="<"))
        for grey in GREYS
    ]
    with PageFile(tmp_path / "all.tif") as file:
        for picture in pictures:
            (tmp_path / "one.tif").write_bytes(encode(picture, ".tif", keep_profile=True))
            file.add(tmp_path / "one.tif")
    data = (tmp_path / "all.tif").read_bytes()
    for number, picture in enumerate(pictures, 1):
        (tmp_path / "one.tif").write_bytes(encode(picture, ".tif", keep_profile=True))
        alone, found = decode(tmp_path / "one.tif"), decode(data, page=number)
        assert np.array_equal(found.rgb_HWC, alone.rgb_HWC)
        assert (found.icc, found.exif) == (alone.icc, alone.exif)
        assert found.exif is not None
        assert read_exif(found.exif).get_ifd(0x8825)
    assert [size for size, _ in shown(data)] == [(40, 24 + grey) for grey in GREYS]
    assert [pyvips.Image.tiffload_buffer(data, page=number).height for number in range(3)] == [34, 124, 224]


@pytest.mark.parametrize("big", [False, True])
def test_small_pages_are_found_again(tmp_path: Path, big: bool) -> None:
    """In the file that is written, which other programs read, too."""
    with PageFile(tmp_path / "all.tif") as file:
        for grey, size in zip(GREYS, [(64, 48), (32, 24), (16, 12)], strict=True):
            (tmp_path / "one.tif").write_bytes(saved(page(grey, size), "TIFF", big_tiff=big))
            file.add(tmp_path / "one.tif")
    data = (tmp_path / "all.tif").read_bytes()
    assert [decode(data, page=number).width for number in (1, 2, 3)] == [64, 32, 16]
    assert shown(data) == [((64, 48), 10), ((32, 24), 100), ((16, 12), 200)]
    assert [pyvips.Image.tiffload_buffer(data, page=number).width for number in range(3)] == [64, 32, 16]


# --- conversion


def convert(tmp_path: Path, files: dict[str, bytes], how: Conversion | None = None) -> Summary:
    (tmp_path / "in").mkdir(exist_ok=True)
    for name, data in files.items():
        (tmp_path / "in" / name).write_bytes(data)
    engine = Engine(save_model(tmp_path / "m.onnx", INVERT), device="cpu")
    return convert_folder(tmp_path / "in", tmp_path / "out", engine, how)


def test_all_pages_of_a_tiff_become_pages(tmp_path: Path) -> None:
    files = {"a.tif": tiff(*(page(grey, (40, 24 + grey)) for grey in GREYS))}
    report = convert(tmp_path, files)
    assert (report.converted, report.noted) == (1, ())
    assert shown((tmp_path / "out" / "a.tif").read_bytes()) == [((40, 24 + grey), 255 - grey) for grey in GREYS]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [".translate.jsonl", "a.tif"]
    assert convert(tmp_path, {}).skipped == 1


def test_pages_can_be_chosen(tmp_path: Path) -> None:
    files = {"a.tif": tiff(*map(page, GREYS))}
    for pages, expected in (("first", GREYS[:1]), ("2", GREYS[1:2]), ("2-3", GREYS[1:]), ("3-9", GREYS[2:])):
        report = convert(tmp_path, files, Conversion(pages=pages))
        assert (report.converted, report.noted) == (1, ())
        found = shown((tmp_path / "out" / "a.tif").read_bytes())
        assert [255 - red for _, red in found] == list(expected)
    report = convert(tmp_path, files, Conversion(pages="4"))
    assert "a.tif: has no page 4, only 3" in str(report.failed[0].reason)


def test_another_format_holds_one_page_and_says_so(tmp_path: Path) -> None:
    files = {"a.tif": tiff(*map(page, GREYS)), "b.mpo": mpo(page(10), page(100)), "c.jpg": saved(page(1), "JPEG")}
    report = convert(tmp_path, files, Conversion(output_format="png"))
    assert [len(result.notes) for result in report.noted] == [1, 1]
    assert "a.tif: has 3 pages, but PNG holds only one; use --format tiff to keep all" in report.noted[0].notes[0]
    assert "b.mpo: has 2 pages" in report.noted[1].notes[0]
    report = convert(tmp_path, files, Conversion(output_format="png", pages="2"))
    assert (report.converted, report.failed, report.noted) == (3, (), ())  # c has nothing to choose from
    assert shown((tmp_path / "out" / "a.png").read_bytes())[0][1] == 155


def test_a_picture_of_an_mpo_has_nothing_of_the_first(tmp_path: Path) -> None:
    first, second = page(10, (60, 40)), page(100, (60, 40))
    first.encoderinfo = {"icc_profile": icc_profile(DISPLAY_P3, None), "comment": b"left", "dpi": (300, 300)}
    second.encoderinfo = {"exif": b"Exif\0\0" + exif(6)}
    data = mpo(first, second)
    assert count_pages(data) == 2
    shown = [decode(data, page=number) for number in (1, 2)]
    for number, at_once in enumerate(shown, 1):
        with RowReader(data, "a.mpo", tmp_path, page=number) as reader:
            rgb_HWC = np.concatenate([band.rgb_HWC for band in reader.bands()])
        assert np.abs(rgb_HWC.astype(int) - at_once.rgb_HWC).max() <= 2
        assert replace(reader.facts, rgb_HWC=at_once.rgb_HWC) == at_once
    assert (shown[0].width, shown[1].width) == (60, 40)
    assert (shown[0].icc, shown[0].texts) == (PROFILES[0], (Text("Comment", "left"),))
    assert (shown[1].icc, shown[1].texts) == (None, ())
    with pytest.raises(ImageError, match=r"a\.mpo: has no page 3, only 2"):
        RowReader(data, "a.mpo", tmp_path, page=3)


def test_mpo_becomes_tiff_with_all_pages(tmp_path: Path) -> None:
    report = convert(tmp_path, {"b.mpo": mpo(page(10), page(100))}, Conversion(output_format="tiff"))
    assert report.noted == ()
    assert [red for _, red in shown((tmp_path / "out" / "b.tiff").read_bytes())] == pytest.approx([245, 155], abs=2)
    report = convert(tmp_path, {})
    assert (tmp_path / "out" / "b.jpg").exists()


def test_a_damaged_page_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    data = bytearray(tiff(page(1), Image.effect_noise((64, 48), 90).convert("RGB"), compression="tiff_lzw"))
    data[-2000:-1000] = b"\xff" * 1000
    report = convert(tmp_path, {"a.tif": bytes(data)})
    assert str(report.failed[0].reason).endswith("(page 2)")
    assert [path.name for path in (tmp_path / "out").iterdir() if path.suffix == ".tif"] == []


def test_huge_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(*(page(grey, (64, 48 + grey)) for grey in GREYS)))
    engine = Engine(save_model(tmp_path / "m.onnx", DOUBLE), device="cpu")
    for source in (tmp_path / "a.tif", (tmp_path / "a.tif").read_bytes()):
        for number, grey in enumerate(GREYS, 1):
            convert_huge(source, tmp_path / "out.png", engine, name="a.tif", page=number)
            assert shown((tmp_path / "out.png").read_bytes()) == [((128, 96 + 2 * grey), grey)]
        with pytest.raises(ImageError, match=r"a\.tif: has no page 4, only 3"):
            convert_huge(source, tmp_path / "out.png", engine, name="a.tif", page=4)
    monkeypatch.setattr(Engine, "max_pixels", 100)
    (tmp_path / "in").mkdir()
    (tmp_path / "a.tif").rename(tmp_path / "in" / "a.tif")
    report = convert_folder(tmp_path / "in", tmp_path / "out", engine)
    assert report.failed == ()
    assert [red for _, red in shown((tmp_path / "out" / "a.tif").read_bytes())] == list(GREYS)
