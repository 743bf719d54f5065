"""Files that are made to harm whoever opens them: small on disk, huge or endless in memory, or not what they say.

Each function returns the bytes of one; the table `PICTURES` names them all. What libraries can write is in
`made_files`.
"""

import io
import struct
import zlib
from collections.abc import Callable
from functools import cache, partial

from made_files import bomb as png_of_empty_sides
from made_files import png_chunks
from PIL import Image

MEBIBYTE, GIBIBYTE = 1 << 20, 1 << 30


@cache
def inflating(length: int, byte: bytes = b"\0") -> bytes:
    """A zlib stream of one byte repeated: 1 KB for each MB. It is made of one packed MB, again and again."""
    blocks, rest = divmod(length, MEBIBYTE)
    block = byte * MEBIBYTE
    packer = zlib.compressobj(9, wbits=-15)
    packed = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    end = zlib.compressobj(9, wbits=-15)
    last = end.compress(byte * rest) + end.flush()
    checksum = 1
    for _ in range(blocks):
        checksum = zlib.adler32(block, checksum)
    return b"\x78\xda" + packed * blocks + last + struct.pack(">I", zlib.adler32(byte * rest, checksum))


# --- PNG


def _header(width: int, height: int, depth: int = 8, colours: int = 2) -> tuple[bytes, bytes]:
    return b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0)


def _square(side: int = 16, depth: int = 8) -> bytes:
    """The packed pixels of a black RGB square."""
    return zlib.compress(bytes(side * (1 + side * 3 * depth // 8)))


def png_of_too_much(depth: int = 8) -> bytes:
    """16 x 16 pixels whose packed data goes on for 1 GB."""
    return png_chunks(_header(16, 16, depth), (b"IDAT", inflating(GIBIBYTE)), (b"IEND", b""))


def png_of_true_sides(side: int = 30_000) -> bytes:
    """A sound picture of a GB or more, all black, in less than a MB."""
    return png_chunks(_header(side, side, 8, 0), (b"IDAT", inflating(side * (1 + side))), (b"IEND", b""))


def png_with(kind: bytes, count: int = 1, depth: int = 8, length: int = GIBIBYTE) -> bytes:
    """A small sound picture with chunks beside its pixels that unpack to a GB each."""
    packed = inflating(length, b"a")
    body = {
        b"zTXt": b"Comment\0\0" + packed,
        b"iTXt": b"Comment\0\1\0\0\0" + packed,
        b"iCCP": b"profile\0\0" + packed,
    }[kind]
    return png_chunks(_header(16, 16, depth), *[(kind, body)] * count, (b"IDAT", _square(16, depth)), (b"IEND", b""))


def png_of_chunks(count: int = 200_000) -> bytes:
    """A small sound picture with very many texts."""
    texts = [(b"tEXt", b"Comment\0a")] * count
    return png_chunks(_header(16, 16), *texts, (b"IDAT", _square()), (b"IEND", b""))


def png_of_pieces(count: int = 200_000) -> bytes:
    """A small sound picture whose packed pixels are in very many empty chunks."""
    return png_chunks(_header(16, 16), *[(b"IDAT", b"")] * count, (b"IDAT", _square()), (b"IEND", b""))


def apng(frames: int, side: int = 16) -> bytes:
    """An animation that promises so many frames and has one."""
    control = struct.pack(">IIIIIHHBB", 0, side, side, 0, 0, 1, 10, 0, 0)
    chunks = (b"acTL", struct.pack(">II", frames, 0)), (b"fcTL", control)
    return png_chunks(_header(side, side), *chunks, (b"IDAT", _square(side)), (b"IEND", b""))


# --- WebP


def webp_of_one_colour(side: int = 16_383) -> bytes:
    """A sound lossless WebP of 268 megapixels in some 30 bytes: no bit is spent on a pixel."""
    bits, length = 0x2F, 8
    values = [(side - 1, 14), (side - 1, 14), (0, 1), (0, 3), (0, 1), (0, 1), (0, 1), *[(0b0001, 4)] * 5]
    for value, count in values:
        bits |= value << length
        length += count
    body = bits.to_bytes(-(-length // 8) + 4, "little")
    body += b"\0" * (len(body) % 2)
    chunk = b"VP8L" + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def webp_of_frames(count: int) -> bytes:
    """An animation of so many frames of one pixel."""
    still = webp_of_one_colour(1)[12:]
    frame = bytes(6) + bytes(6) + (10).to_bytes(3, "little") + b"\0" + still
    frames = (b"ANMF" + struct.pack("<I", len(frame)) + frame) * count
    body = b"VP8X" + struct.pack("<II", 10, 2) + bytes(6) + b"ANIM" + struct.pack("<I", 6) + bytes(6) + frames
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


# --- TIFF


def _tiff(tags: dict[int, tuple[int, int]], data: bytes = b"", following: int = 0) -> bytes:
    """One directory of tags with one value (type and value), the data behind it; the value -1 is the data's place."""
    place = 8 + 2 + 12 * len(tags) + 4
    lines = b"".join(
        struct.pack("<HHL", tag, kind, 1) + struct.pack("<L", place if value == -1 else value)
        for tag, (kind, value) in sorted(tags.items())
    )
    return b"II*\0" + struct.pack("<LH", 8, len(tags)) + lines + struct.pack("<L", following) + data


def tiff(
    width: int,
    height: int,
    data: bytes = b"\0" * 16,
    *,
    compression: int = 1,
    counted: int | None = None,
    rows: int | None = None,
    bits: int = 8,
    following: int = 0,
) -> bytes:
    """A grey TIFF of one strip; `counted`: the bytes that it says the strip has."""
    tags = {
        256: (4, width), 257: (4, height), 258: (3, bits), 259: (3, compression), 262: (3, 1), 273: (4, -1),
        277: (3, 1), 278: (4, rows or height), 279: (4, len(data) if counted is None else counted),
    }  # fmt: skip
    return _tiff(tags, data, following)


def tiff_loop() -> bytes:
    """Its directory is followed by itself."""
    return tiff(4, 4, following=8)


def tiff_of_directories(count: int) -> bytes:
    """So many pages of one pixel, which all share it."""
    size = 2 + 12 * 8 + 4
    made = bytearray(b"II*\0" + struct.pack("<L", 9))
    made += b"\0"  # the pixel
    for number in range(count):
        tags = ((256, 3, 1), (257, 3, 1), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (278, 3, 1), (279, 4, 1))
        made += struct.pack("<H", len(tags))
        made += b"".join(struct.pack("<HHLL", tag, kind, 1, value) for tag, kind, value in tags)
        made += struct.pack("<L", 9 + (number + 1) * size if number + 1 < count else 0)
    return bytes(made)


# --- GIF


def gif(sides: tuple[int, int], frames: int, frame_sides: tuple[int, int] = (1, 1)) -> bytes:
    """A screen of this width and height, and so many frames; the data of each is that of one pixel."""
    one = b"\x2c" + struct.pack("<HHHHB", 0, 0, *frame_sides, 0) + b"\2\2\x44\1\0"
    return b"GIF89a" + struct.pack("<HHBBB", *sides, 0x80, 0, 0) + bytes(6) + one * frames + b"\x3b"


def gif_that_grows(side: int) -> bytes:
    """A first frame of one pixel, and a second of many."""
    first = gif((1, 1), 1)[:-1]
    return first + b"\x2c" + struct.pack("<HHHHB", 0, 0, side, side, 0) + b"\2\2\x44\1\0" + b"\x3b"


# --- others


def ico_with(picture: bytes) -> bytes:
    """An icon that says that it is 16 x 16, with another picture inside."""
    entry = struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(picture), 22)
    return struct.pack("<HHH", 0, 1, 1) + entry + picture


def jpeg_of_sides(width: int, height: int, progressive: bool = False) -> bytes:
    """A JPEG of 16 x 16 whose header says something else."""
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "JPEG", progressive=progressive)
    data = bytearray(buffer.getvalue())
    place = data.find(b"\xff\xc2" if progressive else b"\xff\xc0")
    struct.pack_into(">HH", data, place + 5, height, width)
    return bytes(data)


def jpeg_of_scans(count: int, side: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again: a second of work for some bytes each."""
    data = bytearray(jpeg_of_sides(side, side, progressive=True))
    start = data.rfind(b"\xff\xda")
    scan = bytes(data[start:-2])
    return bytes(data[:start]) + scan * count + b"\xff\xd9"


def bmp_of_sides(width: int, height: int) -> bytes:
    """Run-length encoded: a few bytes for any number of rows."""
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, 54 + 1024) + info + bytes(1024) + b"\xff\0" * 8 + b"\0\1"


def tga_of_sides(width: int, height: int) -> bytes:
    return struct.pack("<BBBHHBHHHHBB", 0, 0, 10, 0, 0, 0, 0, 0, width, height, 24, 0) + b"\xff\0\0\0" * 8


def qoi_of_sides(width: int, height: int) -> bytes:
    return b"qoif" + struct.pack(">IIBB", width, height, 4, 0) + b"\xfd" * 32 + bytes(7) + b"\1"


def pcx_of_sides(width: int, height: int) -> bytes:
    head = struct.pack("<BBBBHHHHHH", 10, 5, 1, 8, 0, 0, width - 1, height - 1, 72, 72) + bytes(48)
    return (head + struct.pack("<BBHH", 0, 1, width, 1)).ljust(128, b"\0") + b"\xff\0" * 32


def pnm_of_sides(width: int, height: int) -> bytes:
    return f"P6 {width} {height} 255\n".encode() + bytes(64)


def jp2_of_sides(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "JPEG2000", no_jp2=True)
    data = bytearray(buffer.getvalue())
    struct.pack_into(">IIIIIIII", data, data.find(b"\xff\x51") + 6, width, height, 0, 0, width, height, 0, 0)
    return bytes(data)


def avif_of_frames(count: int) -> bytes:
    """An animation."""
    buffer = io.BytesIO()
    frames = [Image.new("RGB", (16, 16), (number % 256, 0, 0)) for number in range(count)]
    frames[0].save(buffer, "AVIF", save_all=True, append_images=frames[1:], speed=10)
    return buffer.getvalue()


PICTURES: dict[str, Callable[[], bytes]] = {
    "sides.png": png_of_empty_sides,
    "true-sides.png": png_of_true_sides,
    "too-much.png": png_of_too_much,
    "too-much-16.png": partial(png_of_too_much, 16),
    "ztxt.png": partial(png_with, b"zTXt"),
    "ztxt-many.png": partial(png_with, b"zTXt", 64, length=15 * MEBIBYTE),
    "itxt.png": partial(png_with, b"iTXt"),
    "iccp.png": partial(png_with, b"iCCP"),
    "ztxt-16.png": partial(png_with, b"zTXt", depth=16),
    "ztxt-many-16.png": partial(png_with, b"zTXt", 64, 16, 15 * MEBIBYTE),
    "itxt-16.png": partial(png_with, b"iTXt", depth=16),
    "iccp-16.png": partial(png_with, b"iCCP", depth=16),
    "chunks.png": png_of_chunks,
    "pieces.png": png_of_pieces,
    "frames.png": partial(apng, 1_000_000_000),
    "sides.webp": webp_of_one_colour,
    "frames.webp": partial(webp_of_frames, 100_000),
    "sides.tif": partial(tiff, 60_000, 60_000),
    "sides-deflated.tif": partial(tiff, 60_000, 60_000, zlib.compress(bytes(100)), compression=8),
    "most-sides.tif": partial(tiff, 0xFFFFFFFF, 0xFFFFFFFF),
    "rows.tif": partial(tiff, 4, 4, rows=0xFFFFFFFF),
    "count.tif": partial(tiff, 4, 4, counted=0xFFFFFFF0),
    "inflating.tif": lambda: tiff(4, 4, inflating(GIBIBYTE), compression=8),
    "inflating-lzma.tif": partial(tiff, 60_000, 60_000, compression=34925),
    "loop.tif": tiff_loop,
    "directories.tif": partial(tiff_of_directories, 5_000),
    "screen.gif": partial(gif, (65535, 65535), 1),
    "frames.gif": partial(gif, (1, 1), 100_000),
    "frames-of-a-screen.gif": partial(gif, (4000, 4000), 100_000),
    "grows.gif": partial(gif_that_grows, 65535),
    "grows-less.gif": partial(gif_that_grows, 9000),
    "frame.gif": partial(gif, (1, 1), 1, (65535, 65535)),
    "inside.ico": lambda: ico_with(png_of_true_sides(13_000)),
    "inside-more.ico": lambda: ico_with(png_of_empty_sides()),
    "bmp-inside.ico": lambda: ico_with(struct.pack("<IiiHHIIiiII", 40, 13000, 26000, 1, 32, 0, 0, 0, 0, 0, 0)),
    "sides.jpg": partial(jpeg_of_sides, 65500, 65500),
    "sides-progressive.jpg": partial(jpeg_of_sides, 65500, 65500, True),
    "scans.jpg": partial(jpeg_of_scans, 10_000, 9_000),
    "sides.bmp": partial(bmp_of_sides, 60_000, 60_000),
    "most-sides.bmp": partial(bmp_of_sides, 0x7FFFFFFF, -0x7FFFFFFF),
    "sides.tga": partial(tga_of_sides, 65535, 65535),
    "sides.qoi": partial(qoi_of_sides, 1 << 20, 1 << 20),
    "sides.pcx": partial(pcx_of_sides, 65535, 65535),
    "sides.ppm": partial(pnm_of_sides, 1 << 30, 1 << 30),
    "sides.jp2": partial(jp2_of_sides, 1 << 20, 1 << 20),
}
"""Name -> what makes the file."""
