"""Which of Pillow's readers reads which format, and the 16 bits that Pillow keeps apart.

Array names carry their shape: H height, W width, N channels as found.
"""

import importlib
from collections.abc import Callable
from typing import BinaryIO

import numpy as np
from PIL import Image
from PIL.ImageFile import ImageFile

from translate.errors import ImageError, MissingExtra, require
from translate.pictures.picture import Pixels

_JPEG_2000_HEAD = 1 << 20
"""Boxes such as a colour profile may come before the code stream."""

_PLUGINS = {
    "PNG": ("PIL.PngImagePlugin", "PngImageFile"),
    "JPEG": ("PIL.JpegImagePlugin", "JpegImageFile"),
    "WebP": ("PIL.WebPImagePlugin", "WebPImageFile"),
    "AVIF": ("PIL.AvifImagePlugin", "AvifImageFile"),
    "TIFF": ("PIL.TiffImagePlugin", "TiffImageFile"),
    "BMP": ("PIL.BmpImagePlugin", "BmpImageFile"),
    "GIF": ("PIL.GifImagePlugin", "GifImageFile"),
    "HEIC": ("pillow_heif", "HeifImageFile"),
    "JPEG 2000": ("PIL.Jpeg2KImagePlugin", "Jpeg2KImageFile"),
    "PNM": ("PIL.PpmImagePlugin", "PpmImageFile"),
    "QOI": ("PIL.QoiImagePlugin", "QoiImageFile"),
    "PCX": ("PIL.PcxImagePlugin", "PcxImageFile"),
    "ICO": ("PIL.IcoImagePlugin", "IcoImageFile"),
    "TGA": ("PIL.TgaImagePlugin", "TgaImageFile"),
}


def opener(kind: str, name: str) -> Callable[[BinaryIO, str], ImageFile]:
    """Return the reader of a format; it takes an open file and its name.

    The plugin itself, not `Image.open`: that one applies Pillow's process-wide MAX_IMAGE_PIXELS, which we could only
    lift for every thread of the user's program, and tries every format that Pillow knows.

    Raises:
        ImageError: its extra is not installed; the message begins with `name`, that of the picture.
    """
    if kind == "HEIC":
        try:
            require("heif", "pillow_heif")
        except MissingExtra as error:
            raise ImageError(f"{name}: a HEIC picture; {error}") from None
    module, found = _PLUGINS[kind]
    return getattr(importlib.import_module(module), found)


def deep_grey(image: Image.Image) -> Pixels | None:
    """(H, W, 1) uint16 of a grey picture with more than 8 bits, as JPEG 2000 and PNM hold; None of any other."""
    if image.mode != "I" and not image.mode.startswith("I;16"):
        return None
    return np.clip(np.asarray(image), 0, 65535).astype(np.uint16)[..., None]


def deep_pnm(image: ImageFile, handle: BinaryIO) -> Pixels | None:
    """(H, W, 3) uint16 of a binary PPM with more than 8 bits, which Pillow would cut to 8; None of any other.

    Raises:
        OSError: pixels are missing at the end.
    """
    tile = image.tile[0]
    args = tile.args if isinstance(tile.args, tuple) else (tile.args,)
    most = args[-1]
    if tile.codec_name != "ppm" or image.mode != "RGB" or not isinstance(most, int) or most < 256:
        return None
    handle.seek(tile.offset)
    count = image.height * image.width * 3
    stored = np.frombuffer(handle.read(2 * count), ">u2")
    if len(stored) < count:
        raise OSError("image file is truncated")
    scaled = (stored.astype(np.uint32) * 65535 + most // 2) // most
    return np.minimum(scaled, 65535).astype(np.uint16).reshape(image.height, image.width, 3)


def cut_bits(handle: BinaryIO) -> int:
    """Bits a channel of a JPEG 2000 file (ITU T.800, A.5.1), of which Pillow keeps 8 in colours; 8 if not found."""
    handle.seek(0)
    head = handle.read(_JPEG_2000_HEAD)
    place = head.find(b"\xff\x4f\xff\x51")
    return (head[place + 42] & 0x7F) + 1 if place >= 0 and place + 42 < len(head) else 8


def jp2_profile(handle: BinaryIO) -> bytes | None:
    """The colour profile of a JPEG 2000 file (ITU T.800, I.5.3.3), which Pillow passes over; None: none."""
    handle.seek(0)
    head = handle.read(_JPEG_2000_HEAD)
    place = head.find(b"colr\2", 0, head.find(b"jp2c"))
    if place < 4:
        return None
    length = int.from_bytes(head[place - 4 : place], "big")
    return head[place + 7 : place - 4 + length] or None
