"""One table: which format holds which metadata, and what is said of the rest."""

from translate.pictures.formats import in_words
from translate.pictures.metadata.facts import COMMENT, Facts

EXIF, XMP, IPTC, TEXT, COMMENTS, RESOLUTION = "EXIF", "XMP", "IPTC", "text", "comment", "resolution"

KINDS = (EXIF, XMP, IPTC, TEXT, COMMENTS, RESOLUTION)

HELD: dict[str, tuple[str, ...]] = {
    "PNG": KINDS,
    "JPEG": (EXIF, XMP, IPTC, COMMENTS, RESOLUTION),
    "TIFF": (EXIF, XMP, IPTC, RESOLUTION),
    "WebP": (EXIF, XMP, RESOLUTION),
    "AVIF": (EXIF, XMP, RESOLUTION),
    "BMP": (RESOLUTION,),
    "GIF": (),
}
"""Format -> what is kept in its files."""

SEGMENT = 65533
"""Bytes that a segment of JPEG holds."""
_SEGMENT_HEADS = {EXIF: 6, XMP: 29, IPTC: 28, COMMENTS: 0}
"""Kind -> bytes of its head in JPEG."""


def fits_segment(kind: str, data: bytes) -> bool:
    """Whether it is short enough for JPEG."""
    return len(data) + _SEGMENT_HEADS[kind] <= SEGMENT


def lost(facts: Facts, format: str, held: tuple[str, ...] | None = None) -> tuple[str, ...]:
    """Return one line on what a file of this format (`PNG`) does not hold of these facts, or nothing.

    `held`: what it holds; None takes the table.
    """
    held = HELD[format] if held is None else held
    found: dict[str, bytes] = {
        EXIF: facts.exif or b"",
        XMP: facts.xmp or b"",
        IPTC: facts.iptc or b"",
        TEXT: ", ".join(dict.fromkeys(one.keyword for one in facts.texts if one.keyword != COMMENT)).encode(),
        COMMENTS: facts.comment.encode(),
        RESOLUTION: b"." if facts.density is not None else b"",
    }
    missing = [
        f"{kind} ({data.decode()[:80]})" if kind == TEXT else kind
        for kind, data in found.items()
        if data and (kind not in held or (format == "JPEG" and kind in _SEGMENT_HEADS and not fits_segment(kind, data)))
    ]
    if not missing:
        return ()
    names = in_words(missing, "and")
    return (f"{format} cannot hold its {names}; PNG can",) if format != "PNG" else (f"its {names} were left out",)


def as_markdown() -> str:
    """The table for the documents."""
    rows = [
        f"| {format} | {' | '.join('kept' if kind in held else '' for kind in KINDS)} |"
        for format, held in HELD.items()
    ]
    return "\n".join([f"| format | {' | '.join(KINDS)} |", f"|---|{'---|' * len(KINDS)}", *rows])
