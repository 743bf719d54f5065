"""More than 8 bits of AVIF and HEIC, for HDR: eight bits of PQ are too coarse to be tone-mapped.

Array names carry their shape: H height, W width, N channels as found.
"""

from io import BytesIO
from typing import Any, BinaryIO, Literal

import numpy as np

from translate.pictures.libvips import to_array, vips
from translate.pictures.picture import Pixels


def read_deep(file: BinaryIO, kind: Literal["AVIF", "HEIC"]) -> Pixels | None:
    """Decode the primary picture, turned upright, with all its bits: (H, W, N) uint16.

    None if it has no more than 8, or is AVIF and libvips was built without it.
    """
    file.seek(0)
    found_HWN = _heic(file) if kind == "HEIC" else _avif(file.read())
    if found_HWN is None or found_HWN[0].dtype != np.uint16:
        return None
    pixels_HWN, bits = found_HWN
    if pixels_HWN.ndim == 2:
        pixels_HWN = pixels_HWN[..., None]
    # Both leave the lower bits empty: white becomes white.
    white = (1 << bits) - 1
    levels = (np.arange(white + 1) * 65535 + white // 2) // white
    return levels.astype(np.uint16)[pixels_HWN >> (16 - bits)]


def _heic(file: BinaryIO) -> tuple[Pixels, int]:
    import pillow_heif

    library: Any = pillow_heif  # its hints are not complete
    opened = library.open_heif(BytesIO(file.read()), convert_hdr_to_8bit=False)
    return np.asarray(opened), int(opened.info["bit_depth"])


def _avif(data: bytes) -> tuple[Pixels, int] | None:
    if not vips().type_find("VipsForeignLoad", "heifload_buffer"):
        return None
    image = vips().Image.heifload_buffer(data, fail_on="error")
    if image.format != "ushort":
        return None
    return to_array(image), int(image.get("bits-per-sample"))
