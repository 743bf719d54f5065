"""TIFF's compressions, colours and bits: which are read, by what, and what to say about the others."""

from translate.pictures.metadata.exif import tiff_numbers

_BITS, _COMPRESSION, _PHOTOMETRIC, _SUBSAMPLING = 258, 259, 262, 530
_SUPPORTED = {1, 2, 3, 4, 5, 7, 8, 32773, 32946}
"""None, CCITT, LZW, JPEG, PackBits and Deflate, which every libtiff reads."""
_BY_PILLOW = {34925, 50000}
"""LZMA and Zstandard: Pillow's libtiff has them, that of libvips' usual package has not."""
_WHOLE_BITS = {1, 2, 4, 8, 16, 32, 64}
"""Bits a channel that libvips unpacks; what it cannot convert then is refused for its type."""
_LAB, _YCBCR, _JPEG = (8, 9, 10), 6, 7
_NAMES = {
    6: "old-style JPEG",
    9: "JBIG",
    10: "JBIG",
    32766: "NeXT",
    32809: "ThunderScan",
    33003: "JPEG 2000",
    33004: "JPEG 2000",
    33005: "JPEG 2000",
    34661: "JBIG",
    34676: "SGI LogLuv",
    34677: "SGI LogLuv",
    34712: "JPEG 2000",
    34887: "LERC",
    34892: "lossy JPEG",
    34925: "LZMA",
    34933: "PNG",
    34934: "JPEG XR",
    22610: "JPEG XR",
    50000: "Zstandard",
    50001: "WebP",
    50002: "JPEG XL",
    52546: "JPEG XL",
}


def compression(data: bytes) -> int:
    """Return the number of the compression of a TIFF file's first page; 1 (none) if it is not said."""
    return (tiff_numbers(data, _COMPRESSION) or (1,))[0]


def foreign_colours(data: bytes) -> str | None:
    """Name the colours of a TIFF file's first page that libvips does not turn into RGB; None if it does.

    YCbCr it turns only where JPEG compresses it or the colours have fewer pixels; else it takes it for RGB.
    """
    (kind, *_) = tiff_numbers(data, _PHOTOMETRIC) or (0,)
    if kind == _YCBCR and tiff_numbers(data, _SUBSAMPLING) == (1, 1) and compression(data) != _JPEG:
        return "YCbCr"
    return "Lab" if kind in _LAB else None


def by_pillow(data: bytes) -> bool:
    """Whether only Pillow reads a TIFF file's first page right: its compression, or YCbCr that it can turn into RGB."""
    number = compression(data)
    readable = number in _SUPPORTED - {1} and max(tiff_numbers(data, _BITS), default=1) == 8
    return number in _BY_PILLOW or (readable and foreign_colours(data) == "YCbCr")


def unsupported(data: bytes) -> str | None:
    """Say why a sound TIFF file's first page may not be readable, and what to do; None if that is not known."""
    number, bits = compression(data), max(tiff_numbers(data, _BITS), default=1)
    if number not in _SUPPORTED:
        name = _NAMES.get(number, "an unknown kind of")
        return (
            f"a TIFF with {name} compression ({number}), which cannot be read here; save it with LZW, Deflate or no "
            "compression"
        )
    return None if bits in _WHOLE_BITS else f"holds {bits} bits a channel, expected 8 or 16; convert it"
