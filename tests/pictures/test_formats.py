"""The table of formats: what each is recognised by, and the formats that are only read."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from made_files import DISPLAY_P3, heic, icc_profile, saved, smooth
from PIL import Image

from translate.errors import ImageError
from translate.pictures import formats
from translate.pictures.formats import (
    FORMATS,
    READABLE,
    WRITABLE,
    left_out,
    may_be_picture,
    recognise,
    result_suffix,
)
from translate.pictures.operations import decode
from translate.pictures.plugins import cut_bits

PILLOW = {"JPEG 2000": "JPEG2000", "PNM": "PPM"}


def example(name: str) -> bytes:
    image = Image.fromarray(smooth())
    return heic(image) if name == "HEIC" else saved(image, PILLOW.get(name, name))


@pytest.mark.parametrize("name", [one.name for one in FORMATS])
def test_each_is_recognised_and_read(name: str) -> None:
    data = example(name)
    kind = recognise(data[:64])
    assert kind is not None
    assert kind.name == name
    found = decode(data).rgb_HWC
    if name == "ICO":  # square, of a few fixed sizes
        assert max(found.shape) > 8
    elif name == "GIF":
        assert found.shape == smooth().shape
    else:
        exact = {"PNG", "TIFF", "BMP", "PNM", "QOI", "PCX", "TGA", "JPEG 2000"}
        assert np.abs(found.astype(int) - smooth()).max() <= (0 if name in exact else 12)


def test_no_suffix_belongs_to_two_formats() -> None:
    suffixes = [suffix for one in FORMATS for suffix in (*one.suffixes, *one.also)]
    assert len(suffixes) == len(set(suffixes)) == len(READABLE)
    assert not READABLE & formats._NEVER


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "LA"])
@pytest.mark.parametrize("kind", ["TGA", "PCX", "QOI", "JPEG2000", "PPM", "ICO"])
def test_modes_of_the_formats_that_are_only_read(mode: str, kind: str) -> None:
    image = Image.fromarray(smooth(channels=4)).convert(mode)
    try:
        data = saved(image, kind)
    except (OSError, ValueError):
        pytest.skip("Pillow does not write it")
    with Image.open(io.BytesIO(data)) as stored:
        expected = np.asarray(stored.convert("RGBA"))
    found = decode(data)
    assert np.array_equal(found.rgb_HWC, expected[..., :3])
    assert np.array_equal(found.to_array(), expected if found.alpha_HW is not None else expected[..., :3])
    assert (found.alpha_HW is None) == (expected[..., 3].min() == 255)


def test_tga_from_the_bottom_and_compressed() -> None:
    image = Image.fromarray(smooth())
    for orientation in (1, -1):
        for compression in (None, "tga_rle"):
            data = saved(image, "TGA", orientation=orientation, compression=compression)
            assert np.array_equal(decode(data).rgb_HWC, smooth())


def test_16_bits_of_pnm() -> None:
    deep_HWC = smooth(bits=16)
    head = b"P%d\n# by hand\n40 24\n%d\n"
    found = decode(head % (6, 65535) + deep_HWC.astype(">u2").tobytes(), bits=16)
    assert np.array_equal(found.rgb_HWC, deep_HWC)
    grey = decode(head % (5, 65535) + deep_HWC[..., 0].astype(">u2").tobytes(), bits=16)
    assert np.array_equal(grey.rgb_HWC[..., 2], deep_HWC[..., 0])
    twelve = decode(head % (6, 4095) + (deep_HWC >> 4).astype(">u2").tobytes(), bits=16)
    assert np.abs(twelve.rgb_HWC.astype(int) - deep_HWC).max() <= 16
    with pytest.raises(ImageError, match="truncated"):
        decode(head % (6, 65535) + deep_HWC.astype(">u2").tobytes()[:-2], bits=16)


def test_16_bit_grey_of_jpeg_2000() -> None:
    deep_HW = smooth(bits=16)[..., 0]
    data = saved(Image.fromarray(deep_HW), "JPEG2000")
    assert np.array_equal(decode(data, bits=16).rgb_HWC[..., 1], deep_HW)
    assert cut_bits(io.BytesIO(data)) == 16
    assert cut_bits(io.BytesIO(example("JPEG 2000"))) == cut_bits(io.BytesIO(b"")) == 8


def test_the_profile_of_jpeg_2000() -> None:
    data = example("JPEG 2000")
    place, profile = data.index(b"colr") - 4, icc_profile(DISPLAY_P3, None)
    (length,) = struct.unpack_from(">I", data, place)
    box = struct.pack(">I", 11 + len(profile)) + b"colr\2\0\0" + profile
    header = data.index(b"jp2h") - 4
    (before,) = struct.unpack_from(">I", data, header)
    changed = bytearray(data[:place] + box + data[place + length :])
    changed[header : header + 4] = struct.pack(">I", before + len(box) - length)
    expected = decode(saved(Image.fromarray(smooth()), "PNG", icc_profile=profile))
    found = decode(bytes(changed))
    assert found.icc == profile
    assert np.array_equal(found.rgb_HWC, expected.rgb_HWC)
    assert not np.array_equal(found.rgb_HWC, decode(data).rgb_HWC)


@pytest.mark.parametrize("kind", ["TGA", "PCX", "QOI", "JPEG2000", "PPM", "ICO"])
def test_cut_files_are_errors(kind: str) -> None:
    data = saved(Image.effect_noise((48, 48), 90).convert("RGB"), kind)
    for share in (0.3, 0.7):
        with pytest.raises(ImageError, match="damaged picture"):
            decode(data[: int(share * len(data))])


def test_every_picture_has_a_result_that_is_written() -> None:
    for suffix in READABLE:
        assert result_suffix(suffix) in WRITABLE
    assert [result_suffix(suffix) for suffix in (".JPG", ".jfif", ".mpo", ".apng", ".jp2", ".gif", "")] == [
        ".JPG",
        ".jfif",
        ".jpg",
        ".png",
        ".png",
        ".png",
        ".png",
    ]


@pytest.mark.parametrize(
    ("name", "head", "expected"),
    [
        ("a.PNG", None, True),
        ("a.jfif", None, True),
        ("a.txt", None, False),
        ("a.pdf", None, False),
        ("a.NEF", None, False),
        ("a", b"\xff\xd8\xff\xe0", True),
        ("a.2024", b"\x89PNG\r\n\x1a\n", True),
        ("a.download", b"GIF89a", True),
        ("a.dat", b"", False),
        ("a.dat", b"hello", False),
        ("a.dat", struct.pack("<BBBHHBHHHHBB", 0, 0, 2, 0, 0, 0, 0, 0, 4, 4, 24, 0), False),
    ],
)
def test_which_files_of_a_folder_are_pictures(name: str, head: bytes | None, expected: bool) -> None:
    opened: list[str] = []

    def read() -> bytes:
        opened.append(name)
        return head or b""

    assert may_be_picture(name, read) == expected
    assert bool(opened) == (head is not None)


def test_what_was_left_out_is_said() -> None:
    assert left_out({".psd": 1}) == "1 file was not a picture that can be read here: 1 .psd"
    assert left_out({".txt": 2, "": 1, ".psd": 9}) == (
        "12 files were not pictures that can be read here: 9 .psd, 2 .txt, 1 without suffix"
    )
    assert left_out({f".{number}": 1 for number in range(10)}).endswith("1 .7, 2 others")


# --- compressions of TIFF


@pytest.mark.parametrize("kind", ["zstd", "lzma", "tiff_lzw", "tiff_deflate", "packbits", "raw"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "1", "CMYK", "I;16"])
def test_compressions_that_are_read(kind: str, mode: str) -> None:
    image = Image.fromarray(smooth())
    image = Image.fromarray(smooth(bits=16)[..., 0]) if mode == "I;16" else image.convert(mode)
    plain, found = (decode(saved(image, "TIFF", compression=name), bits=16) for name in ("raw", kind))
    assert np.array_equal(found.to_array(), plain.to_array())
    assert found.notes == ()


@pytest.mark.parametrize(
    ("number", "name"), [(50002, "JPEG XL"), (50001, "WebP"), (34712, "JPEG 2000"), (34887, "LERC"), (4711, "unknown")]
)
def test_compressions_that_are_not_read_are_named(tmp_path: Path, number: int, name: str) -> None:
    data = bytearray(saved(Image.fromarray(smooth()), "TIFF", compression="tiff_lzw"))
    place = data.index(struct.pack("<HHLH", 259, 3, 1, 5))
    data[place + 8 : place + 10] = struct.pack("<H", number)
    with pytest.raises(ImageError, match=rf"{name}.* compression \({number}\).*; save it with LZW, Deflate") as caught:
        decode(bytes(data))
    assert "damaged" not in str(caught.value)


@pytest.mark.parametrize("kind", ["zstd", "lzma"])
def test_damage_in_the_compressions_that_pillow_reads(kind: str) -> None:
    data = saved(Image.effect_noise((64, 64), 90).convert("RGB"), "TIFF", compression=kind)
    with pytest.raises(ImageError, match="damaged picture"):
        decode(data[: len(data) // 2])
