"""What Pillow's readers found beside the pixels, as `Facts`."""

from typing import Any

from PIL.ImageFile import ImageFile

from translate.pictures.metadata import iptc as iptc_records
from translate.pictures.metadata.facts import COMMENT, Density, Facts, Text, text_of
from translate.pictures.metadata.png import sorted_texts

_XMP_KEYWORD = "XML:com.adobe.xmp"
_IPTC = 0x0404


def facts_of(image: ImageFile) -> Facts:
    """Return what the file says; of PNG also what stands behind the pixels, if they have been loaded."""
    info: dict[Any, Any] = image.info
    exif = info.get("exif")
    exif = exif.removeprefix(b"Exif\0\0") if exif else None
    xmp = info.get("xmp") or info.get(_XMP_KEYWORD)
    xmp = xmp.encode() if isinstance(xmp, str) else xmp
    iptc, texts = None, ()
    if image.format == "PNG":
        old_exif, iptc, texts = sorted_texts(
            Text(name, str(text), getattr(text, "lang", "") or "", getattr(text, "tkey", "") or "")
            for name, text in info.items()
            if isinstance(text, str) and name != _XMP_KEYWORD
        )
        exif = exif or old_exif
    elif image.format in ("JPEG", "MPO"):
        iptc = iptc_records.unwrapped(info.get("photoshop", {}).get(_IPTC, b""))
        comments = [data for name, data in getattr(image, "applist", ()) if name == "COM"]
        texts = tuple(Text(COMMENT, text) for text in map(text_of, comments) if text)
    elif image.format == "GIF" and info.get("comment"):
        texts = (Text(COMMENT, text_of(info["comment"])),)
    return Facts(info.get("icc_profile") or None, exif, xmp, _density(image), iptc, texts)


def _density(image: ImageFile) -> Density | None:
    info: dict[Any, Any] = image.info
    if image.format in ("JPEG", "MPO"):
        x, y = info.get("jfif_density", (0, 0))
        unit = info.get("jfif_unit", 0)
        inch = 2.54 if unit == 2 else 1.0
        return Density(x * inch, y * inch, absolute=unit in (1, 2))
    if image.format in ("PNG", "BMP") and "dpi" in info:
        return Density(*info["dpi"])
    return Density(*info["aspect"], absolute=False) if image.format == "PNG" and "aspect" in info else None
