"""Which metadata survives in which format: every combination is made, and the table in the documents says the same."""

import io
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import INVERT, save_model
from made_files import XMP, exif, png, read_exif, saved, smooth
from PIL import Image

from translate.conversion.folder import convert_folder
from translate.conversion.huge import convert_huge
from translate.conversion.worker import Conversion
from translate.inference.engine import Engine
from translate.pictures.band_writer import RowWriter
from translate.pictures.metadata import iptc as iptc_records
from translate.pictures.metadata import kept
from translate.pictures.metadata.facts import COMMENT, PhysicalSize, Text
from translate.pictures.operations import Picture, decode, encode, lost, read_picture, resize_picture, with_bits

ROOT = Path(__file__).parents[2]
SUFFIXES = {"PNG": ".png", "JPEG": ".jpg", "TIFF": ".tif", "WebP": ".webp", "AVIF": ".avif", "BMP": ".bmp"}
IPTC = b"".join(
    b"\x1c\x02" + struct.pack(">BH", number, len(text)) + text
    for number, text in ((5, b"Title"), (90, b"Berlin"), (101, b"Germany"), (116, b"(c) M"))
)
PROMPT = Text("parameters", "a tree with a bird\nSteps: 40, Seed: 1")
TEXTS = (PROMPT, Text("Title", "Bäume 木", "de", "Titel"), Text("Long", "x" * 5000))
FULL: dict[str, dict[str, Any]] = {
    kept.EXIF: {"exif": exif()},
    kept.XMP: {"xmp": XMP.replace(b'tiff:Orientation="6"', b'tiff:Orientation="1"')},
    kept.IPTC: {"iptc": IPTC},
    kept.TEXT: {"texts": TEXTS},
    kept.COMMENTS: {"texts": (Text(COMMENT, "größer"),)},
    kept.RESOLUTION: {"size": PhysicalSize(24 / 300, 40 / 150)},
}
"""Kind -> a field of a picture that holds it."""


def everything() -> Picture:
    fields = {name: value for one in FULL.values() for name, value in one.items()}
    return Picture(smooth(), **{**fields, "texts": (*TEXTS, Text(COMMENT, "größer"))})


def assert_holds(found: Picture, kind: str) -> None:
    """The metadata of a picture of 40 x 24 pixels."""
    if kind == kept.EXIF:
        assert found.exif is not None
        assert read_exif(found.exif)[0x010F].encode("latin-1").decode() == "Müller"
    elif kind == kept.XMP:
        assert found.xmp is not None
        assert b"GPSLatitude" in found.xmp
    elif kind == kept.RESOLUTION:
        assert found.size is not None
        density = found.size.density(24, 40)
        assert (density.x, density.y) == (pytest.approx(150, rel=1e-3), pytest.approx(300, rel=1e-3))
    elif kind == kept.IPTC:
        assert found.iptc is not None
        assert found.iptc.rstrip(b"\0") == IPTC
    else:
        assert set(FULL[kind]["texts"]) <= set(found.texts)


@pytest.mark.parametrize("kind", kept.KINDS)
@pytest.mark.parametrize("format", SUFFIXES)
@pytest.mark.parametrize("alone", [True, False])
def test_every_format_and_kind(format: str, kind: str, alone: bool) -> None:
    """Alone and with all others; what is not held is named, and `strip` leaves nothing."""
    picture = Picture(smooth(), **FULL[kind]) if alone else everything()
    found = decode(encode(picture, SUFFIXES[format]))
    if kind in kept.HELD[format]:
        assert_holds(found, kind)
    else:
        with pytest.raises(AssertionError):
            assert_holds(found, kind)
        assert kind in lost(picture, SUFFIXES[format])[0]
    assert bool(lost(picture, SUFFIXES[format])) == any(
        one not in kept.HELD[format] for one in ([kind] if alone else kept.KINDS)
    )
    data = encode(picture, SUFFIXES[format], metadata="strip")
    bare = decode(data)
    assert (bare.exif, bare.xmp, bare.iptc, bare.texts) == (None, None, None, ())
    assert bare.size is None or format == "TIFF"  # in which 72 stands for unknown
    assert lost(picture, SUFFIXES[format], "strip") == ()
    for secret in ("Müller".encode(), "größer".encode(), b"Berlin", b"Seed", b"Steps"):
        assert secret not in data


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits(suffix: str) -> None:
    data = encode(with_bits(everything(), 16), suffix)
    found = decode(data, bits=16)
    assert found.bits == 16
    for kind in kept.HELD["PNG" if suffix == ".png" else "TIFF"]:
        assert_holds(found, kind)
    assert data.count(b"pHYs") == (suffix == ".png")


def test_the_table_in_the_documents() -> None:
    assert kept.as_markdown() in (ROOT / "docs" / "convert.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("bits", [8, 16])
def test_texts_as_other_programs_write_and_read_them(bits: int) -> None:
    """Before and behind the pixels, packed or not, and by a reader that is not ours."""
    image_HWC = smooth(bits)
    chunks = (
        (b"tEXt", b"parameters\0a tree"),
        (b"zTXt", b"Comment\0\0" + zlib.compress("größer".encode("latin-1"))),
        (b"iTXt", b"Title\0\1\0de\0Titel\0" + zlib.compress("Bäume 木".encode())),
        (b"pHYs", struct.pack(">IIB", 11811, 11811, 1)),
    )
    found = decode(png(image_HWC, 2, *chunks))  # pyright: ignore[reportArgumentType]
    texts = (Text("parameters", "a tree"), Text("Comment", "größer"), Text("Title", "Bäume 木", "de", "Titel"))
    assert found.texts == texts
    assert found.size is not None
    assert found.size.width == pytest.approx(40 / 300, rel=1e-4)
    with Image.open(io.BytesIO(encode(found, ".png"))) as image:
        image.load()
        assert image.info["parameters"] == "a tree"
        assert image.info["Title"] == "Bäume 木"
        assert vars(image.info["Title"]) == {"lang": "de", "tkey": "Titel"}
        assert image.info["dpi"] == pytest.approx((300, 300), rel=1e-4)
    behind = png(image_HWC, 2)[:-12] + encode(found, ".png")[33:].partition(b"IDAT")[0][:-4]
    assert decode(behind + png(image_HWC, 2)[-12:]).texts == texts


def photoshop(iptc: bytes) -> bytes:
    """A segment APP13 with something else before the records, and behind them."""
    resources = b"8BIM\x03\xed\3abc" + struct.pack(">I", 16) + bytes(16)
    resources += iptc_records.wrapped(iptc) + b"8BIM\x04\x0c\0\0" + struct.pack(">I", 3) + b"abc\0"
    body = iptc_records.PHOTOSHOP + resources
    return b"\xff\xed" + struct.pack(">H", len(body) + 2) + body


def test_jpeg_as_other_programs_write_it() -> None:
    image = Image.fromarray(smooth())
    found = decode(saved(image, "JPEG", extra=photoshop(IPTC), comment="größer".encode("latin-1"), dpi=(150, 300)))
    assert found.iptc == IPTC
    assert found.texts == (Text(COMMENT, "größer"),)
    assert_holds(found, kept.RESOLUTION)
    with Image.open(io.BytesIO(encode(found, ".jpg"))) as theirs:
        assert theirs.info["comment"] == "größer".encode()
        assert theirs.info["dpi"] == (150, 300)
        assert theirs.info["photoshop"] == {0x0404: IPTC}


@pytest.mark.parametrize(("tag", "value"), [(33723, IPTC), (34377, iptc_records.wrapped(IPTC))])
def test_tiff_as_other_programs_write_it(tag: int, value: bytes) -> None:
    found = decode(saved(Image.fromarray(smooth()), "TIFF", tiffinfo={tag: value}, dpi=(150, 300)))
    assert found.iptc == IPTC
    assert_holds(found, kept.RESOLUTION)
    swapped = b"".join(IPTC.ljust(-(-len(IPTC) // 4) * 4, b"\0")[place : place + 4][::-1] for place in range(0, 52, 4))
    assert iptc_records.in_order(swapped).rstrip(b"\0") == IPTC


def test_gif_comment_goes_into_png() -> None:
    found = decode(saved(Image.fromarray(smooth()).convert("P"), "GIF", comment=b"hello"))
    assert found.texts == (Text(COMMENT, "hello"),)
    assert decode(encode(found, ".png")).texts == found.texts


# --- resolution


@pytest.mark.parametrize("format", SUFFIXES)
def test_physical_size_stays(format: str) -> None:
    """Four times the pixels have four times the density, in the format's own place and in EXIF."""
    tags = Image.Exif()
    tags[0x011A], tags[0x011B], tags[0x0128] = 72.0, 72.0, 2
    packet = XMP.replace(b'"6"', b'"1" tiff:XResolution="72/1" tiff:ResolutionUnit="3"')
    picture = Picture(smooth(), None, None, tags.tobytes()[6:], packet, size=PhysicalSize(24 / 300, 40 / 300))
    data = encode(resize_picture(picture, 96, 160), SUFFIXES[format])
    with Image.open(io.BytesIO(data)) as image:
        inside = image.getexif()
        if format not in ("WebP", "AVIF"):
            assert image.info["dpi"] == pytest.approx((1200, 1200), rel=1e-3)
        if format != "BMP":
            assert (float(inside[0x011A]), float(inside[0x011B])) == (1200, 1200)
    if format != "BMP":
        assert b'tiff:XResolution="120000/100" tiff:ResolutionUnit="2"' in data
    found = decode(data).size
    assert found is not None
    assert (found.height, found.width) == (pytest.approx(0.08, rel=1e-3), pytest.approx(40 / 300, rel=1e-3))


def test_turned_pictures_and_units() -> None:
    image = Image.fromarray(smooth())
    turned = decode(saved(image, "JPEG", dpi=(100, 200), exif=b"Exif\0\0" + exif(6)))
    assert turned.size == PhysicalSize(40 / 100, 24 / 200)
    assert turned.rgb_HWC.shape == (40, 24, 3)
    shape = decode(png(smooth(), 2, (b"pHYs", struct.pack(">IIB", 2, 1, 0))))
    assert shape.size == PhysicalSize(24, 20, absolute=False)
    for suffix in (".png", ".jpg", ".tif"):
        again = decode(encode(shape, suffix)).size
        assert again is not None
        assert not again.absolute
        assert again.height / again.width == pytest.approx(1.2)
    nothing = decode(png(smooth(), 2, (b"pHYs", struct.pack(">IIB", 1, 1, 0))))
    assert nothing.size is None
    for numbers in ((0, 0, 1), (0, 5, 1), (1, 1, 1), (2**32 - 1, 2**32 - 1, 1)):
        odd = decode(png(smooth(), 2, (b"pHYs", struct.pack(">IIB", *numbers))))
        for suffix in SUFFIXES.values():
            decode(encode(odd, suffix))


def test_no_resolution_is_made_up() -> None:
    for suffix in (".png", ".jpg", ".webp", ".avif", ".bmp"):
        for dtype in (np.uint8, np.uint16):
            assert decode(encode(Picture(smooth().astype(dtype)), suffix)).size is None


# --- places


def test_location_goes_from_iptc_and_xmp() -> None:
    places = (
        b'<rdf:Description xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" photoshop:City="Berlin"'
        b' xmlns:c="http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/" photoshop:Credit="me">'
        b"<photoshop:Country>Germany</photoshop:Country><c:Location>Mitte</c:Location>"
        b'<e:LocationShown xmlns:e="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"><rdf:Bag><rdf:li><e:City>Berlin</e:City>'
        b"</rdf:li></rdf:Bag></e:LocationShown></rdf:Description></rdf:RDF>"
    )
    picture = replace(everything(), xmp=XMP.replace(b"</rdf:RDF>", places))
    for suffix in SUFFIXES.values():
        data = encode(picture, suffix, metadata="no-location")
        for secret in (b"Berlin", b"Germany", b"Mitte", b"52,31.5N", b"4265726c696e"):
            assert secret not in data
    found = decode(encode(picture, ".png", metadata="no-location"))
    assert found.iptc is not None
    assert b"(c) M" in found.iptc
    assert found.xmp is not None
    assert b"Credit" in found.xmp
    assert PROMPT in found.texts
    for damaged in (b"\x1c\x02", b"\x1c\x02\x05\xff\xff", IPTC[:-1], b"\x1c\x02\x05\x80\x04\xff\xff\xff\xffabc"):
        assert iptc_records.without_location(damaged) is None
    assert iptc_records.without_location(IPTC + bytes(3)) is not None


def test_xmp_that_goes_with_the_location_is_named(tmp_path: Path) -> None:
    hidden = XMP.replace(b"<dc:creator>", b'<dc:x xmlns:d="http://drone/" d:GpsLatitude="52"/><dc:creator>')
    for xmp, named in ((XMP, False), (hidden, True)):
        picture = Picture(smooth(), xmp=xmp)
        assert (decode(encode(picture, ".png", metadata="no-location")).xmp is None) == named
        notes = lost(picture, ".png", "no-location")
        assert notes == (
            ("its XMP was left out with the location, which it gives in a way unknown here",) if named else ()
        )
        writer = RowWriter(tmp_path / "a.png", 1, 1, alpha=False, bits=8, facts=picture, metadata="no-location")
        assert writer.lost == notes
        assert lost(picture, ".png") == lost(picture, ".png", "strip") == ()


# --- the whole way


@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF", "WebP"])
def test_row_by_row(tmp_path: Path, format: str) -> None:
    """As at once, or there is a note."""
    engine = Engine(save_model(tmp_path / "m.onnx", INVERT), device="cpu")
    for source in (".png", ".jpg", ".tif", ".webp"):
        (tmp_path / f"in{source}").write_bytes(encode(everything(), source))
        target = tmp_path / f"out-{source[1:]}{SUFFIXES[format]}"
        notes = convert_huge(tmp_path / f"in{source}", target, engine)
        before, found = read_picture(tmp_path / f"in{source}"), read_picture(target)
        missing = " ".join(notes)
        for kind in kept.KINDS:
            try:
                assert_holds(before, kind)
            except AssertionError:
                continue
            if kind not in missing:
                assert_holds(found, kind)
        assert len(notes) <= 1
        assert ("EXIF" in missing) == (format == "TIFF" and before.exif is not None)
        bare = tmp_path / f"bare{SUFFIXES[format]}"
        assert convert_huge(tmp_path / f"in{source}", bare, engine, metadata="strip") == ()
        stripped = read_picture(bare)
        assert (stripped.xmp, stripped.iptc, stripped.texts) == (None, None, ())
        assert stripped.size is None or format == "TIFF"


@pytest.mark.parametrize("kind", ["webp", "gif"])
def test_animations(tmp_path: Path, kind: str) -> None:
    """WebP keeps EXIF, XMP and resolution, GIF nothing; the rest is named."""
    engine = Engine(save_model(tmp_path / "m.onnx", INVERT), device="cpu")
    frames = [Image.fromarray(smooth()), Image.fromarray(255 - smooth())]
    (tmp_path / "in").mkdir()
    options: dict[str, Any] = (
        {"exif": exif(), "xmp": FULL[kept.XMP]["xmp"]} if kind == "webp" else {"comment": b"hello"}
    )
    frames[0].save(tmp_path / "in" / f"a.{kind}", save_all=True, append_images=frames[1:], duration=80, **options)
    summary = convert_folder(tmp_path / "in", tmp_path / "out", engine)
    notes = [note for one in summary.noted for note in one.notes]
    if kind == "gif":
        assert len(notes) == 1
        assert notes[0].endswith("a.gif: GIF cannot hold its comment; PNG can")
        return
    assert notes == []
    found = read_picture(tmp_path / "out" / "a.webp")
    assert_holds(found, kept.EXIF)
    assert_holds(found, kept.XMP)


def test_notes_of_a_conversion(tmp_path: Path) -> None:
    engine = Engine(save_model(tmp_path / "m.onnx", INVERT), device="cpu")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(encode(everything(), ".png"))
    summary = convert_folder(tmp_path / "in", tmp_path / "out", engine, Conversion(output_format="webp"))
    ((note,),) = [one.notes for one in summary.noted]
    assert note.endswith("a.png: WebP cannot hold its IPTC, text (parameters, Title, Long) and comment; PNG can")
    silent = Conversion(output_format="webp", metadata="strip")
    assert convert_folder(tmp_path / "in", tmp_path / "out2", engine, silent).noted == ()
    assert convert_folder(tmp_path / "in", tmp_path / "out3", engine).noted == ()
    assert set(read_picture(tmp_path / "out3" / "a.png").texts) == set(everything().texts)
