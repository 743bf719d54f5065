"""One table of the picture formats: what is read, what is written, and what each can hold. Imports nothing heavy."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class PictureFormat:
    """A kind of picture file."""

    name: str
    suffixes: tuple[str, ...]
    """Lower case; the first is the usual one."""
    writes: bool = True
    """Whether stills of it are written."""
    animation: bool = False
    """Whether animations of it are written."""
    alpha: bool = True
    sixteen_bits: bool = False
    lossless: bool = False
    """Whether it loses nothing, whatever the options."""
    lossless_option: bool = False
    """Whether it loses nothing when asked."""
    metadata: bool = True
    """Whether it holds EXIF, XMP and a colour profile."""
    by_band: bool = False
    """Whether it is read and written band by band, for pictures that do not fit in memory."""
    longest_side: int = 0
    """Pixels a side that it, or libvips, allows; 0: unknown, since it is not written by band."""
    extra: str = ""
    """The optional group of packages that reading it needs."""

    @property
    def vips_name(self) -> str:
        """What libvips calls it."""
        return self.name.lower()


FORMATS = (
    PictureFormat("PNG", (".png",), sixteen_bits=True, lossless=True, by_band=True, longest_side=10_000_000),
    PictureFormat("JPEG", (".jpg", ".jpeg"), alpha=False, by_band=True, longest_side=65500),
    PictureFormat("WebP", (".webp",), animation=True, lossless_option=True, by_band=True, longest_side=16383),
    PictureFormat("AVIF", (".avif",)),
    PictureFormat("TIFF", (".tif", ".tiff"), sixteen_bits=True, lossless=True, by_band=True, longest_side=10_000_000),
    PictureFormat("BMP", (".bmp",), alpha=False, lossless=True, metadata=False),
    PictureFormat("GIF", (".gif",), writes=False, animation=True, longest_side=65535),
    PictureFormat("HEIC", (".heic", ".heif"), writes=False, extra="heif"),
)


def _suffixes(formats: Iterable[PictureFormat]) -> frozenset[str]:
    return frozenset(suffix for one in formats for suffix in one.suffixes)


def listed(formats: Iterable[PictureFormat], last: str = "or") -> str:
    """Their names in a sentence: `PNG, JPEG or WebP`."""
    *names, final = [one.name for one in formats]
    return f"{', '.join(names)} {last} {final}" if names else final


READABLE = _suffixes(FORMATS)
"""Suffixes (lower case) of the files we read; HEIC and HEIF with the extra `heif`."""

WRITABLE = _suffixes(one for one in FORMATS if one.writes)
"""Suffixes (lower case) of the files we write."""

CAN_BE_LOSSLESS = _suffixes(one for one in FORMATS if one.lossless or one.lossless_option)
SIXTEEN_BITS = _suffixes(one for one in FORMATS if one.sixteen_bits)
OPAQUE = _suffixes(one for one in FORMATS if not one.alpha)
WITHOUT_METADATA = _suffixes(one for one in FORMATS if not one.metadata)

BY_BAND = {suffix: one for one in FORMATS if one.by_band for suffix in one.suffixes}
"""Suffix (lower case) -> format, of the files that are read and written band by band."""

ANIMATED = {suffix: one for one in FORMATS if one.animation for suffix in one.suffixes}
"""Suffix (lower case) -> format, of the files that animations are written to."""


def usual_suffixes(formats: Iterable[PictureFormat]) -> str:
    """The usual suffixes in a sentence: `.png, .jpg or .webp`."""
    *names, final = [one.suffixes[0] for one in formats]
    return f"{', '.join(names)} or {final}" if names else final


def as_markdown() -> str:
    """The table for the documents."""

    def tick(value: bool) -> str:
        return "yes" if value else ""

    rows = [
        f"| {one.name} | {' '.join(f'`{suffix}`' for suffix in one.suffixes)} | "
        f"{f'with the extra `{one.extra}`' if one.extra else 'yes'} | {tick(one.writes)} | {tick(one.animation)} | "
        f"{tick(one.alpha)} | {tick(one.sixteen_bits)} | {tick(one.metadata)} | {tick(one.by_band)} |"
        for one in FORMATS
    ]
    head = "| format | suffixes | read | written | animations written | alpha | 16 bits | EXIF, XMP, ICC | by band |"
    return "\n".join([head, "|---|---|---|---|---|---|---|---|---|", *rows])
