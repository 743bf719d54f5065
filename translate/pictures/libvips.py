"""16-bit PNG and all TIFF through libvips. Pillow cuts 16-bit colours to 8, and its TIFF reader prints on the screen.

Array names carry their shape: H height, W width, N channels as found.
"""

from functools import cache
from typing import Any, Literal

import numpy as np

from translate.pictures.picture import Pixels


@cache
def vips() -> Any:
    """Return pyvips, imported when it is first needed and set up for files of strangers, for the whole process."""
    import pyvips

    found: Any = pyvips  # its hints know nothing of the operations

    def text(pointer: Any) -> str:
        return "" if pointer == found.ffi.NULL else found.ffi.string(pointer).decode(errors="replace")

    # libvips' warnings go to Python's logging, where nobody listens. But a warning that quotes damaged bytes would make
    # pyvips print a traceback, since it takes all text for UTF-8.
    found._to_string = text
    found.cache_set_max(0)  # the cache of results would keep pictures alive and open; nothing is computed twice
    found.block_untrusted_set(True)  # loaders that were never hardened; none of our formats is among them
    return found


DTYPES = {"uchar": np.uint8, "ushort": np.uint16}
"""libvips' name of a type of pixels -> numpy's."""
_FORMATS = {"uint8": "uchar", "uint16": "ushort"}


def open_png(data: bytes) -> Any:
    """Read the header of a PNG file; pixels are decoded by `to_array`."""
    return vips().Image.pngload_buffer(data, access="sequential", fail_on="error")


def open_tiff(data: bytes) -> Any:
    """Read the header of a TIFF file's first page; pixels are decoded by `to_array`."""
    return vips().Image.tiffload_buffer(data, access="sequential", fail_on="error")


def to_array(image: Any) -> Pixels:
    """Compute a libvips image of uint8 or uint16: (H, W, N).

    Raises:
        pyvips.Error: damaged.
    """
    flat = np.frombuffer(image.write_to_memory(), DTYPES[image.format])
    return flat.reshape(image.height, image.width, image.bands)


def from_array(pixels_HWN: Pixels, interpretation: Literal["grey16", "rgb16", "srgb", "cmyk"]) -> Any:
    """Make a libvips image of uint8 or uint16 (H, W, N); it shares the array's memory."""
    height, width, channels = pixels_HWN.shape
    data = np.ascontiguousarray(pixels_HWN).data
    image = vips().Image.new_from_memory(data, width, height, channels, _FORMATS[pixels_HWN.dtype.name])
    return image.copy(interpretation=interpretation)


def with_profile(image: Any, icc: bytes) -> Any:
    """Return the image with this colour profile attached."""
    image = image.copy()
    image.set_type(vips().GValue.blob_type, "icc-profile-data", icc)
    return image


def blob(image: Any, name: Literal["icc-profile-data", "xmp-data", "exif-data"]) -> bytes | None:
    """Return what the file says beside the pixels, if it does."""
    return bytes(image.get(name)) if image.get_typeof(name) else None


def to_png(pixels_HWN: Pixels) -> bytes:
    """Encode (H, W, 3) or (H, W, 4) uint16, without any metadata; OSError if libvips cannot."""
    image = from_array(pixels_HWN, "rgb16")
    try:
        return image.pngsave_buffer(compression=2, keep="none")
    except vips().Error as error:
        raise OSError(str(error)) from None


def to_tiff(pixels_HWN: Pixels) -> bytes:
    """Encode (H, W, 3) or (H, W, 4) uint8 or uint16, deflated, without any metadata; OSError if libvips cannot."""
    image = from_array(pixels_HWN, "srgb" if pixels_HWN.dtype == np.uint8 else "rgb16")
    per_mm = 72 / 25.4  # TIFF must say something; EXIF, where there is any, says it better
    options = tiff_options(pixels_HWN.nbytes)
    try:
        return image.tiffsave_buffer(xres=per_mm, yres=per_mm, resunit="inch", keep="none", **options)
    except vips().Error as error:
        raise OSError(str(error)) from None


def tiff_options(size: int) -> dict[str, Any]:
    """How TIFF files are written, as options of libvips' writer; `size`: bytes of the pixels."""
    # Noise grows a little when it is deflated, so a file may be larger than its pixels.
    return {"compression": "deflate", "predictor": "horizontal", "bigtiff": size > 0.95 * 2**32}
