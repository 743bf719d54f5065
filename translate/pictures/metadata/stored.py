"""What a file's facts say of its pixels as they are stored: how they lie, and how large they are meant to be."""

from translate.pictures.metadata import exif as exif_tags
from translate.pictures.metadata import xmp as xmp_packet
from translate.pictures.metadata.facts import Facts, PhysicalSize

_TRANSPOSED = 5
"""From this orientation on rows are stored as columns."""


def orientation_of(facts: Facts, own: int) -> int:
    """Return how the pixels lie: what the format itself says (`own`), or else EXIF, or else XMP; 0 if none does."""
    number = own or (exif_tags.orientation(facts.exif) if facts.exif else 0)
    return number or (xmp_packet.orientation(facts.xmp) if facts.xmp else 0)


def size_of(facts: Facts, height: int, width: int, orientation: int) -> PhysicalSize | None:
    """Return how large a picture stored with so many pixels is, upright; None if nothing says it.

    What the format itself says comes before EXIF, whose resolution is often the camera's invention.
    """
    found = None if facts.density is None else facts.density.size(height, width)
    if found is None and facts.exif:
        density = exif_tags.density(facts.exif)
        found = None if density is None else density.size(height, width)
    return found.turned() if found is not None and orientation >= _TRANSPOSED else found
