"""Pictures that are made to harm: each is refused, or read as the small picture it is, without memory for more."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import bombs
import pytest
from made_files import png_chunks

from translate.errors import ImageError
from translate.pictures.band_reader import RowReader
from translate.pictures.bombs import pixels_alone
from translate.pictures.decode import decode

ROOT = Path(__file__).resolve().parents[2]
MOST_BYTES = 350 << 20
"""What a bomb may add to the peak of memory: the file, and a picture of 16 megapixels; bombs are of 1 GB or more."""

SAID = {
    "sides.png": "too large",
    "true-sides.png": "too large",
    "too-much.png": "read: 16 x 16",
    "too-much-16.png": "read: 16 x 16",
    "ztxt.png": "refused: .*Decompressed data too large",
    "ztxt-many.png": "refused: .*Decompressed data too large",
    "itxt.png": "refused: .*Decompressed data too large",
    "iccp.png": "refused: .*Decompressed data too large",
    "ztxt-16.png": "read: 16 x 16",
    "ztxt-many-16.png": "read: 16 x 16",
    "itxt-16.png": "read: 16 x 16",
    "iccp-16.png": "read: 16 x 16",
    "chunks.png": "read: 16 x 16",
    "pieces.png": "read: 16 x 16",
    "frames.png": "too large",
    "sides.webp": "too large",
    "frames.webp": "read: 1 x 1, 1 pages, 100000 frames",  # refused by the page, below
    "sides.tif": "too large",
    "sides-deflated.tif": "too large",
    "most-sides.tif": "refused: .*damaged picture",
    "rows.tif": "read: 4 x 4",
    "count.tif": "read: 4 x 4",
    "inflating.tif": "read: 4 x 4",
    "inflating-lzma.tif": "too large",
    "loop.tif": "read: 4 x 4, 1 pages",
    "directories.tif": "read: 1 x 1, 5000 pages",
    "screen.gif": "too large",
    "frames.gif": "read: 1 x 1, 1 pages, 100000 frames",
    "frames-of-a-screen.gif": "too large",
    "grows.gif": "refused: .*damaged picture",
    "grows-less.gif": "refused: grows-less.gif: frame 2 has 9000 x 9000 pixels, the others 1 x 1",
    "frame.gif": "refused: .*damaged picture",
    "inside.ico": "too large",
    "inside-more.ico": "too large",
    "bmp-inside.ico": "too large",
    "sides.jpg": "too large",
    "sides-progressive.jpg": "too large",
    "scans.jpg": "refused: scans.jpg: a JPEG of more than 100 scans",
    "sides.bmp": "too large",
    "most-sides.bmp": "too large",
    "sides.tga": "too large",
    "sides.qoi": "too large",
    "sides.pcx": "too large",
    "sides.ppm": "too large",
    "sides.jp2": "too large",
}
"""How each is answered."""


@pytest.fixture(scope="module")
def found() -> dict[str, dict[str, Any]]:
    """What a process of its own says of all of them."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", Path(__file__).with_name("looked_at.py")],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return {line["name"]: line for line in map(json.loads, done.stdout.splitlines())}


def test_all_are_looked_at() -> None:
    assert SAID.keys() == bombs.PICTURES.keys()


@pytest.mark.parametrize("name", SAID)
def test_bombs(name: str, found: dict[str, dict[str, Any]]) -> None:
    assert re.match(SAID[name], found[name]["said"]), found[name]
    assert "\n" not in found[name]["said"]
    assert found[name]["grown"] < MOST_BYTES, found[name]


FOREIGN = {
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><image href="file:///etc/passwd"/></svg>',
    "svg with a declaration": b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a "aa">]><svg>&a;</svg>',
    "html": b"<!doctype html><script>alert(1)</script>",
    "pdf": b"%PDF-1.7\n1 0 obj<<>>endobj",
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\nshowpage",
    "eps with a preview": b"\xc5\xd0\xd3\xc6" + bytes(60),
    "fits": b"SIMPLE  =                    T" + b" " * 2850,
    "psd": b"8BPS\0\1" + bytes(40),
    "xpm": b'/* XPM */\nstatic char *a[] = {"1 1 1 1", "a c red", "a"};',
    "xbm": b"#define a_width 8\n#define a_height 8\nstatic char a[] = {0};",
    "mpo without a picture": b"MPO" + bytes(60),
    "wmf": b"\xd7\xcd\xc6\x9a" + bytes(60),
    "emf": b"\1\0\0\0" + bytes(36) + b" EMF" + bytes(40),
    "icns": b"icns\0\0\0\x20" + bytes(24),
    "dds": b"DDS |\0\0\0" + bytes(120),
    "sgi": b"\1\xda\1\1\0\3" + bytes(500),
    "fli": bytes(4) + b"\x11\xaf" + bytes(120),
    "blp": b"BLP2" + bytes(160),
    "iptc": b"\x1c\2\0\0\2\0\4" + bytes(40),
    "hdf5": b"\x89HDF\r\n\x1a\n" + bytes(60),
    "zip": b"PK\3\4" + bytes(60),
    "elf": b"\x7fELF" + bytes(60),
    "matlab": b"MATLAB 5.0 MAT-file" + bytes(200),
    "nifti": b"\x5c\1\0\0" + bytes(340) + b"n+1\0",
    "openexr": b"\x76\x2f\x31\1" + bytes(60),
    "radiance": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 8 +X 8\n",
    "mp4": b"\0\0\0\x18ftypisom\0\0\0\0isommp42",
}
"""What Pillow, libvips or ImageMagick behind it would read, and we do not."""


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
@pytest.mark.parametrize("kind", FOREIGN)
def test_what_a_file_is_decides_and_not_its_name(kind: str, suffix: str) -> None:
    name = f"harmless{suffix}"
    with pytest.raises(
        ImageError, match=rf"^{name}: not a PNG, .* picture; convert it to one of these or leave it out$"
    ):
        decode(FOREIGN[kind], name)


def test_what_lies_beside_the_pixels_does_not_reach_libvips() -> None:
    data = bombs.png_with(b"zTXt", 3, 16)
    bare = pixels_alone(data)
    assert len(bare) < 200
    assert (decode(bare).rgb_HWC == decode(data).rgb_HWC).all()
    cut = png_chunks((b"IHDR", bytes(13)))[:-6]
    assert pixels_alone(cut) == cut  # so that whoever decodes it says what is wrong


def test_texts_that_fill_the_memory_are_refused_band_by_band_too(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(bombs.PICTURES["ztxt-many-16.png"]())
    with pytest.raises(ImageError, match=r"^a\.png: its texts fill the memory when they are unpacked; save it without"):
        RowReader(path, "a.png", tmp_path)
    path.write_bytes(bombs.png_with(b"zTXt", 3, length=1000))
    assert RowReader(path, "a.png", tmp_path).height == 16
