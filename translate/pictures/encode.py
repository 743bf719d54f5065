"""Picture -> bytes and files.

Array names carry their shape: H height, W width, C channels.
"""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from translate.errors import ImageError
from translate.files import atomic_path
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
from translate.pictures.metadata import xmp as xmp_packet
from translate.pictures.metadata.png import PngFacts, with_facts
from translate.pictures.picture import Picture, Pixels, flatten, with_bits

Metadata = Literal["keep", "no-location", "strip"]
"""What of EXIF and XMP goes along: all, all but the place (GPS), or nothing."""

_JPEG_SEGMENT = 65533
_EXIF_HEAD, _XMP_HEAD = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"


@dataclass(frozen=True)
class _Facts:
    """What goes into the file beside the pixels."""

    icc: bytes | None
    exif: bytes | None
    xmp: bytes | None


def write_picture(
    path: Path,
    picture: Picture,
    *,
    quality: int = 92,
    lossless: bool = False,
    keep_profile: bool = False,
    metadata: Metadata = "keep",
) -> None:
    """Write a file in the format of its suffix; it appears whole or not at all. For the options see `encode`.

    Raises:
        ImageError: unknown suffix, larger than the format allows, or the disk refuses.
    """
    options: dict[str, Any] = {"quality": quality, "lossless": lossless}
    write_bytes(path, encode_for(path, picture, keep_profile=keep_profile, metadata=metadata, **options))


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
        ImageError: the disk refuses.
    """
    try:
        with atomic_path(path) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        raise ImageError(f"{path}: cannot be written ({error.strerror or error}); check the disk and rights") from None


def encode(
    picture: Picture,
    suffix: str,
    *,
    quality: int = 92,
    lossless: bool = False,
    keep_profile: bool = False,
    metadata: Metadata = "keep",
) -> bytes:
    """Encode as PNG, JPEG, WebP, AVIF, TIFF (deflated) or BMP.

    16 bits a channel stay in PNG and TIFF and are rounded to 8 elsewhere. JPEG and BMP have no alpha: the picture is
    laid on white. A picture whose file had a colour profile is tagged as sRGB, one without stays untagged. EXIF and
    XMP get the picture's size and, if its colours were converted, sRGB; BMP holds neither, and in JPEG what is longer
    than a segment (64 KiB) is left out.

    Args:
        picture: what to encode.
        suffix: one of WRITABLE, in any case.
        quality: 1..100, for JPEG, WebP and AVIF.
        lossless: for WebP, which then keeps every pixel; `quality` is unused.
        keep_profile: convert back to the source's RGB profile and put it into the file. Colours beyond that profile are
            clipped. CMYK, grey and one-way profiles are not gone back to: the file is sRGB.
        metadata: what of EXIF and XMP goes along.

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
            picture = Picture(flatten(picture), None, picture.icc, picture.exif, picture.xmp)
        if suffix in WITHOUT_METADATA:
            return _by_pillow(picture.rgb_HWC, "BMP", {})
        rgb_HWC, icc = _tagged(picture, keep_profile)
        srgb = icc is not None and icc is not picture.icc
        exif, xmp = metadata_for(picture, picture.height, picture.width, metadata, srgb=srgb)
        pixels_HWC = Picture(rgb_HWC, picture.alpha_HW).to_array()
        return _encode(pixels_HWC, suffix, _Facts(icc, exif, xmp), quality, lossless)
    except MemoryError:
        raise ImageError("not enough memory to encode it; close other programs or make it smaller") from None
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ImageError(f"{suffix} cannot hold this picture ({reason}); write .png instead") from None


def _encode(pixels_HWC: Pixels, suffix: str, facts: _Facts, quality: int, lossless: bool) -> bytes:
    if suffix == ".png":
        return with_facts(_png(pixels_HWC), PngFacts(facts.icc, facts.exif, facts.xmp))
    if suffix in (".tif", ".tiff"):
        tiff = to_tiff(pixels_HWC)
        return exif_tags.into_tiff(tiff, exif=facts.exif, icc=facts.icc, xmp=facts.xmp)
    exif, xmp = facts.exif, facts.xmp
    options: dict[str, Any] = {"quality": quality, "icc_profile": facts.icc, "exif": exif, "xmp": xmp}
    if suffix == ".webp":
        # Exact: without it the colours of transparent pixels would change.
        options |= {"lossless": lossless, "exact": lossless}
        return _by_pillow(pixels_HWC, "WEBP", options)
    # Full colour resolution: generated pictures have sharp coloured edges that 4:2:0 smears.
    options["subsampling"] = "4:4:4"
    if suffix == ".avif":
        # Pillow would write EXIF anew to take the orientation out.
        options["exif"] = exif and exif_tags.without_orientation(exif)
        return _by_pillow(pixels_HWC, "AVIF", options)
    options["exif"] = _EXIF_HEAD + exif if exif and len(_EXIF_HEAD + exif) <= _JPEG_SEGMENT else None
    options["xmp"] = xmp if xmp and len(_XMP_HEAD + xmp) <= _JPEG_SEGMENT else None
    return _by_pillow(pixels_HWC, "JPEG", options)


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


def metadata_for(
    facts: Picture, height: int, width: int, metadata: Metadata, *, srgb: bool
) -> tuple[bytes | None, bytes | None]:
    """Return EXIF and XMP for a file of this size. `srgb`: its colours are not those of the source any more."""
    exif, xmp = facts.exif, facts.xmp
    if metadata == "strip":
        return None, None
    if metadata == "no-location":
        exif = exif and exif_tags.without_location(exif)
        xmp = xmp and xmp_packet.without_location(xmp)
    exif = exif and exif_tags.for_result(exif, height, width, srgb=srgb)
    return exif, xmp and xmp_packet.for_result(xmp, height, width, srgb=srgb)
