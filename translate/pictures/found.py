"""What is read from a picture file before it is turned upright and its colours are converted.

Array names carry their shape: H height, W width, N channels as found (1 grey, 3 RGB, 4 CMYK ink).
"""

from dataclasses import dataclass

from translate.errors import TooLarge
from translate.machine import available_memory_bytes
from translate.pictures.coded_colours import CodedColours
from translate.pictures.metadata.facts import Facts
from translate.pictures.picture import Pixels

BYTES_PER_DECODED_PIXEL = 12
"""Memory a picture of 8 bits needs while it is read: Pillow's 4 bytes, our arrays, and the turned or blended copy."""
BYTES_PER_WEBP_PIXEL = 2 * BYTES_PER_DECODED_PIXEL
"""WebP's decoder holds two frames."""
BYTES_PER_16_BIT_PIXEL = 3 * BYTES_PER_DECODED_PIXEL
"""With the file itself, which is hardly smaller."""


@dataclass
class Found:
    """What a file holds: pixels as stored and what it says about them."""

    pixels_HWN: Pixels
    alpha_HW: Pixels | None
    facts: Facts
    coded: CodedColours | None = None
    """Its colours in numbers."""
    orientation: int = 0
    """What the format itself says of it, as EXIF numbers it; 0 leaves it to EXIF, and to XMP if that is silent too."""
    notes: tuple[str, ...] = ()
    """What was left out or mended, a few words each."""
    pages: int = 1
    """How many pages the file has, of which this is one."""


def check_size(name: str, height: int, width: int, needed: int, max_pixels: int | None) -> None:
    """Raise TooLarge if a picture has more pixels than wanted, or than fit in memory.

    `needed`: bytes a pixel takes while it is read.
    """
    limit = available_memory_bytes() // needed if max_pixels is None else max_pixels
    if max_pixels is not None and needed > BYTES_PER_DECODED_PIXEL:  # more than the caller can have reckoned with
        limit = min(limit, available_memory_bytes() // needed)
    if width * height > limit:
        raise TooLarge(
            f"{name}: {width} x {height} pixels is too large, at most {limit / 1e6:.1f} megapixels "
            "fit in memory here; make it smaller or use a machine with more memory",
            height,
            width,
        )
