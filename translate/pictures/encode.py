"""Picture -> bytes and files.

Array names carry their shape: H height, W width, C channels.
"""

from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from translate.errors import ImageError, message_of
from translate.files import atomic_path, unwritable
from translate.pictures.formats import (
    CAN_BE_LOSSLESS,
    FORMATS,
    OPAQUE,
    SIXTEEN_BITS,
    WITHOUT_METADATA,
    WRITABLE,
    usual_suffixes,
)
from translate.pictures.icc import from_srgb, srgb_profile
from translate.pictures.libvips import to_png, to_tiff
from translate.pictures.metadata import exif as exif_tags
from translate.pictures.metadata import iptc as iptc_records
from translate.pictures.metadata import kept
from translate.pictures.metadata import xmp as xmp_packet
from translate.pictures.metadata.facts import Facts
from translate.pictures.metadata.png import with_facts
from translate.pictures.picture import Picture, Pixels, flatten, with_bits

Metadata = Literal["keep", "no-location", "strip"]
"""What of EXIF, XMP, IPTC, texts and resolution goes along: all, all but the place, or nothing."""

_EXIF_HEAD = b"Exif\0\0"
_MOST_DENSITY = 65535
"""JFIF has 16 bits for it."""


def write_picture(
    path: Path,
    picture: Picture,
    *,
    quality: int = 92,
    lossless: bool = False,
    keep_profile: bool = False,
    metadata: Metadata = "keep",
    source_type: str = "",
) -> None:
    """Write a file in the format of its suffix; it appears whole or not at all. For the options see `encode`.

    Raises:
        ImageError: unknown suffix, larger than the format allows, or the disk refuses.
    """
    encoded = encode_for(
        path,
        picture,
        quality=quality,
        lossless=lossless,
        keep_profile=keep_profile,
        metadata=metadata,
        source_type=source_type,
    )
    write_bytes(path, encoded)


def encode_for(path: Path, picture: Picture, **options: Any) -> bytes:
    """Return what is to be written to `path`, as `encode` makes it with these options.

    Raises:
        ImageError: as `encode` does; the message begins with the path.
    """
    try:
        return encode(picture, path.suffix, **options)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from None


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file that appears whole or not at all.

    Raises:
        ImageError: the disk refuses; `DiskFull` if it refuses everything.
    """
    try:
        with atomic_path(path) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        raise unwritable(path, error) from None


def encode(
    picture: Picture,
    suffix: str,
    *,
    quality: int = 92,
    lossless: bool = False,
    keep_profile: bool = False,
    metadata: Metadata = "keep",
    source_type: str = "",
) -> bytes:
    """Encode as PNG, JPEG, WebP, AVIF, TIFF (deflated) or BMP.

    16 bits a channel stay in PNG and TIFF and are rounded to 8 elsewhere. JPEG and BMP have no alpha: the picture is
    laid on white. A picture whose file had a colour profile is tagged as sRGB, one without stays untagged. EXIF and
    XMP get the picture's size and, if its colours were converted, sRGB. The resolution (DPI) becomes what keeps the
    physical size. Which format holds what is in `translate.pictures.metadata.kept`; in JPEG what is longer than a
    segment (64 KiB) is left out. `lost` tells what that means for a picture.

    Args:
        picture: what to encode.
        suffix: one of WRITABLE, in any case.
        quality: 1..100, for JPEG, WebP and AVIF.
        lossless: for WebP, which then keeps every pixel; `quality` is unused.
        keep_profile: convert back to the source's RGB profile and put it into the file. Colours beyond that profile are
            clipped. CMYK, grey and one-way profiles are not gone back to: the file is sRGB.
        metadata: what of the metadata goes along.
        source_type: address of the digital source type that XMP is to state, where the format holds XMP.

    Raises:
        ImageError: unknown suffix, no lossless coding in this format, or larger than the format allows.
    """
    suffix = suffix.lower()
    if suffix not in WRITABLE:
        possible = usual_suffixes(one for one in FORMATS if one.writes)
        raise ImageError(f"cannot write {suffix or 'a file without suffix'}; use {possible}")
    if lossless and suffix not in CAN_BE_LOSSLESS:
        raise ImageError(f"{suffix} cannot be lossless here; use .png, .webp or .tif")
    try:
        if suffix not in SIXTEEN_BITS:
            picture = with_bits(picture, 8)
        if suffix in OPAQUE:
            picture = replace(picture, rgb_HWC=flatten(picture), alpha_HW=None)
        if suffix in WITHOUT_METADATA:
            facts = facts_for(picture, picture.height, picture.width, metadata, None)
            # Without a number Pillow would make one up.
            return _by_pillow(picture.rgb_HWC, "BMP", {"dpi": _dots(facts) or (0, 0)})
        rgb_HWC, icc = _tagged(picture, keep_profile)
        facts = with_source_type(facts_for(picture, picture.height, picture.width, metadata, icc), source_type)
        pixels_HWC = Picture(rgb_HWC, picture.alpha_HW).to_array()
        return _encode(pixels_HWC, suffix, facts, quality, lossless)
    except MemoryError:
        raise ImageError("not enough memory to encode it; close other programs or make it smaller") from None
    except (OSError, ValueError, RuntimeError) as error:
        raise ImageError(f"{suffix} cannot hold this picture ({message_of(error)}); write .png instead") from None


def _encode(pixels_HWC: Pixels, suffix: str, facts: Facts, quality: int, lossless: bool) -> bytes:
    if suffix == ".png":
        return with_facts(_png(pixels_HWC), facts)
    if suffix in (".tif", ".tiff"):
        known = {"exif": facts.exif, "icc": facts.icc, "xmp": facts.xmp}
        return exif_tags.into_tiff(to_tiff(pixels_HWC), **known, density=facts.density, iptc=facts.iptc)
    if suffix not in (".webp", ".avif"):
        return _jpeg(pixels_HWC, facts, quality)
    exif = facts.exif
    if facts.density is not None:  # which these have nowhere else
        exif = exif_tags.with_density(exif, facts.density)
    options: dict[str, Any] = {"quality": quality, "icc_profile": facts.icc, "exif": exif, "xmp": facts.xmp}
    if suffix == ".webp":
        # Exact: without it the colours of transparent pixels would change.
        options |= {"lossless": lossless, "exact": lossless}
        return _by_pillow(pixels_HWC, "WEBP", options)
    # Full colour resolution: generated pictures have sharp coloured edges that 4:2:0 smears. Pillow would write EXIF
    # anew to take the orientation out.
    options |= {"subsampling": "4:4:4", "exif": exif and exif_tags.without_orientation(exif)}
    return _by_pillow(pixels_HWC, "AVIF", options)


def _jpeg(pixels_HWC: Pixels, facts: Facts, quality: int) -> bytes:
    options: dict[str, Any] = {"quality": quality, "subsampling": "4:4:4", "icc_profile": facts.icc}
    if facts.exif and kept.fits_segment(kept.EXIF, facts.exif):
        options["exif"] = _EXIF_HEAD + facts.exif
    if facts.xmp and kept.fits_segment(kept.XMP, facts.xmp):
        options["xmp"] = facts.xmp
    if facts.iptc and kept.fits_segment(kept.IPTC, facts.iptc):
        body = iptc_records.PHOTOSHOP + iptc_records.wrapped(facts.iptc)
        options["extra"] = b"\xff\xed" + (len(body) + 2).to_bytes(2, "big") + body
    comment = facts.comment.encode()
    if comment and kept.fits_segment(kept.COMMENTS, comment):
        options["comment"] = comment
    return with_jfif_density(_by_pillow(pixels_HWC, "JPEG", options), facts)


def with_jfif_density(head: bytes, facts: Facts) -> bytes:
    """Return a JPEG file, or its first 18 bytes, with these facts' resolution; its first segment must be JFIF's."""
    unit, x, y = 0, 1, 1
    dots = _dots(facts)
    if dots is not None:
        unit, x, y = 1, round(dots[0]), round(dots[1])
    elif facts.density is not None and not facts.density.absolute:
        x, y = facts.density.ratio(200)
    if head[6:11] != b"JFIF\0" or not 1 <= min(x, y) <= max(x, y) <= _MOST_DENSITY:
        return head
    return head[:13] + bytes([unit]) + x.to_bytes(2, "big") + y.to_bytes(2, "big") + head[18:]


def _dots(facts: Facts) -> tuple[float, float] | None:
    """Pixels per inch."""
    return (facts.density.x, facts.density.y) if facts.density is not None and facts.density.absolute else None


def _png(pixels_HWC: Pixels) -> bytes:
    if pixels_HWC.dtype == "uint16":
        return to_png(pixels_HWC)
    # On photographs level 2 takes a quarter of the time of the default 6 for files a fifth larger;
    # at 6, encoding would take longer than many networks do.
    return _by_pillow(pixels_HWC, "PNG", {"compress_level": 2})


def _by_pillow(pixels_HWC: Pixels, format: str, options: dict[str, Any]) -> bytes:
    buffer = BytesIO()
    given = {name: value for name, value in options.items() if value is not None}
    Image.fromarray(pixels_HWC).save(buffer, format, **given)
    return buffer.getvalue()


def _tagged(picture: Picture, keep_profile: bool) -> tuple[Pixels, bytes | None]:
    """Colours for the file and the profile that says what they are; None says nothing, which means sRGB."""
    if picture.icc is None:
        return picture.rgb_HWC, None
    if keep_profile:
        mapped_HWC = from_srgb(picture.rgb_HWC, picture.icc)
        if mapped_HWC is not None:
            return mapped_HWC, picture.icc
    return picture.rgb_HWC, srgb_profile()


def facts_for(picture: Picture, height: int, width: int, metadata: Metadata, icc: bytes | None) -> Facts:
    """Return what goes into a file of this size.

    `picture` is only asked for its metadata. `icc` is the file's profile; if it is not the picture's, the colours are
    not those of the source any more, and what EXIF and XMP say of them is made to agree.
    """
    if metadata == "strip":
        return Facts(icc)
    exif, xmp, iptc = picture.exif, picture.xmp, picture.iptc
    if metadata == "no-location":
        exif = exif and exif_tags.without_location(exif)
        xmp = xmp and xmp_packet.without_location(xmp)
        iptc = iptc and iptc_records.without_location(iptc)
    srgb = icc is not None and (icc is not picture.icc or icc == srgb_profile())
    density = None if picture.size is None else picture.size.density(height, width)
    exif = exif and exif_tags.for_result(exif, height, width, srgb=srgb, density=density)
    xmp = xmp and xmp_packet.for_result(xmp, height, width, srgb=srgb, density=density)
    return Facts(icc, exif, xmp, density, iptc, picture.texts)


def with_source_type(facts: Facts, address: str) -> Facts:
    """Return facts whose XMP states this digital source type, and no other; unchanged if `address` is empty."""
    return replace(facts, xmp=xmp_packet.with_source_type(facts.xmp, address)) if address else facts


def lost(picture: Picture, suffix: str, metadata: Metadata = "keep") -> tuple[str, ...]:
    """Return lines on the metadata that a file with this suffix cannot hold, and on XMP that went with the location."""
    facts = facts_for(picture, max(picture.height, 1), max(picture.width, 1), metadata, None)
    format = next(one.name for one in FORMATS if suffix.lower() in one.suffixes)
    return (*lost_with_location(picture, facts, metadata), *kept.lost(facts, format))


def lost_with_location(picture: Picture, facts: Facts, metadata: Metadata) -> tuple[str, ...]:
    """Return one line if XMP is missing among the facts because its location cannot be taken out, or nothing."""
    if metadata != "no-location" or not picture.xmp or facts.xmp:
        return ()
    return ("its XMP was left out with the location, which it gives in a way unknown here",)
