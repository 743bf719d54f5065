"""One table of the picture formats: how each is recognised, what is read and written, and what each can hold.

Imports nothing heavy. What the bytes are decides, never the suffix; the suffix decides only which files of a folder are
looked at (`may_be_picture`). Formats that run programs or load other files (SVG, PDF, PostScript) are left out for
good; so are those whose readers are not hardened against files of strangers.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

HEAD_BYTES = 64
"""Bytes from the beginning of a file that `recognise` looks at."""


@dataclass(frozen=True)
class PictureFormat:
    """A kind of picture file."""

    name: str
    suffixes: tuple[str, ...]
    """Lower case; the first is the usual one."""
    heads: tuple[bytes, ...] = ()
    """What its files begin with."""
    fits: Callable[[bytes], bool] | None = None
    """What else the first bytes must fulfil."""
    also: tuple[str, ...] = ()
    """Suffixes of files that are read, but whose results get a more usual suffix."""
    result: str = ".png"
    """Suffix of the result if its own is not written."""
    writes: bool = True
    """Whether stills of it are written."""
    animation: bool = False
    """Whether animations of it are written."""
    pages: bool = False
    """Whether several pages are written into one file."""
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
    weak: bool = False
    """Whether its first bytes are so plain that other files may begin with them by chance."""

    @property
    def vips_name(self) -> str:
        """What libvips calls it."""
        return self.name.lower()


_AVIF_BRANDS = {b"avif", b"avis"}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
_BMP_HEADER_SIZES = (12, 16, 40, 52, 56, 64, 108, 124)


def _brands(head: bytes) -> set[bytes]:
    """The brands of an ISO base media file (ISO/IEC 14496-12, 4.3)."""
    if head[4:8] != b"ftyp":
        return set()
    length = min(int.from_bytes(head[:4], "big"), len(head))
    return {head[8:12], *(head[place : place + 4] for place in range(16, length - 3, 4))}


def _is_avif(head: bytes) -> bool:
    return bool(_brands(head) & _AVIF_BRANDS)


def _is_heic(head: bytes) -> bool:
    # The general brand mif1 may come first in both; that of AVIF is never missing in AVIF.
    return bool(_brands(head) & _HEIC_BRANDS) and not _is_avif(head)


def _is_webp(head: bytes) -> bool:
    return head[8:12] == b"WEBP"


def _is_bmp(head: bytes) -> bool:
    return int.from_bytes(head[14:18], "little") in _BMP_HEADER_SIZES


def _is_pnm(head: bytes) -> bool:
    return head[2:3] in (b" ", b"\t", b"\n", b"\r", b"#")


def _is_pcx(head: bytes) -> bool:
    return (
        head[1:2] in (b"\0", b"\2", b"\3", b"\4", b"\5") and head[2:3] == b"\1" and head[3:4] in (b"\1", b"\4", b"\x08")
    )


def _is_icon(head: bytes) -> bool:
    return head[4:6] != b"\0\0" and head[9:10] == b"\0"


def _is_tga(head: bytes) -> bool:
    """A header without any signature, so every field must make sense (Truevision TGA 2.0)."""
    if len(head) < 18 or head[17] & 0xC0 or head[12:14] == b"\0\0" or head[14:16] == b"\0\0":
        return False
    if head[1] == 1:
        return head[2] in (1, 9) and head[7] in (15, 16, 24, 32) and head[16] == 8
    depths = {2: (16, 24, 32), 10: (16, 24, 32), 3: (1, 8, 16), 11: (1, 8, 16)}
    return head[1] == 0 and head[16] in depths.get(head[2], ())


FORMATS = (
    PictureFormat(
        "PNG",
        (".png",),
        (b"\x89PNG\r\n\x1a\n",),
        also=(".apng",),
        sixteen_bits=True,
        lossless=True,
        by_band=True,
        longest_side=10_000_000,
    ),
    PictureFormat(
        "JPEG",
        (".jpg", ".jpeg", ".jpe", ".jfif"),
        (b"\xff\xd8\xff",),
        also=(".jif", ".mpo"),
        result=".jpg",
        alpha=False,
        by_band=True,
        longest_side=65500,
    ),
    PictureFormat(
        "WebP",
        (".webp",),
        (b"RIFF",),
        _is_webp,
        animation=True,
        lossless_option=True,
        by_band=True,
        longest_side=16383,
    ),
    PictureFormat("AVIF", (".avif",), fits=_is_avif, also=(".avifs",), result=".avif"),
    PictureFormat(
        "TIFF",
        (".tif", ".tiff"),
        (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
        pages=True,
        sixteen_bits=True,
        lossless=True,
        by_band=True,
        longest_side=10_000_000,
    ),
    PictureFormat(
        "BMP", (".bmp",), (b"BM",), _is_bmp, also=(".dib",), result=".bmp", alpha=False, lossless=True, metadata=False
    ),
    PictureFormat("GIF", (".gif",), (b"GIF87a", b"GIF89a"), writes=False, animation=True, longest_side=65535),
    PictureFormat("HEIC", (".heic", ".heif"), fits=_is_heic, also=(".hif",), writes=False, extra="heif"),
    PictureFormat(
        "JPEG 2000",
        (".jp2", ".j2k", ".jpx", ".jpf", ".j2c", ".jpc"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"),
        writes=False,
        metadata=False,
    ),
    PictureFormat(
        "PNM",
        (".ppm", ".pgm", ".pbm", ".pnm"),
        tuple(b"P%d" % number for number in range(1, 7)),
        _is_pnm,
        writes=False,
        alpha=False,
        metadata=False,
    ),
    PictureFormat("QOI", (".qoi",), (b"qoif",), writes=False, metadata=False),
    PictureFormat("PCX", (".pcx",), (b"\n",), _is_pcx, writes=False, alpha=False, metadata=False),
    PictureFormat("ICO", (".ico",), (b"\0\0\1\0",), _is_icon, writes=False, metadata=False),
    PictureFormat("TGA", (".tga", ".icb", ".vda", ".vst"), fits=_is_tga, writes=False, metadata=False, weak=True),
)


def recognise(head: bytes) -> PictureFormat | None:
    """Tell the format by a file's first `HEAD_BYTES` bytes: the allow-list. None: none of ours."""
    for one in FORMATS:
        if (not one.heads or head.startswith(one.heads)) and (one.fits is None or one.fits(head)):
            return one
    return None


def _suffixes(formats: Iterable[PictureFormat]) -> frozenset[str]:
    return frozenset(suffix for one in formats for suffix in one.suffixes)


def listed(formats: Iterable[PictureFormat], last: str = "or") -> str:
    """Their names in a sentence: `PNG, JPEG or WebP`."""
    return in_words([one.name for one in formats], last)


READABLE = _suffixes(FORMATS) | frozenset(suffix for one in FORMATS for suffix in one.also)
"""Suffixes (lower case) of the files we read; HEIC and HEIF with the extra `heif`."""

WRITABLE = _suffixes(one for one in FORMATS if one.writes)
"""Suffixes (lower case) of the files we write."""

CAN_BE_LOSSLESS = _suffixes(one for one in FORMATS if one.lossless or one.lossless_option)
SIXTEEN_BITS = _suffixes(one for one in FORMATS if one.sixteen_bits)
OPAQUE = _suffixes(one for one in FORMATS if not one.alpha)
WITHOUT_METADATA = _suffixes(one for one in FORMATS if not one.metadata)
PAGED = _suffixes(one for one in FORMATS if one.pages)
"""Suffixes (lower case) of the files that hold several pages."""

BY_BAND = {suffix: one for one in FORMATS if one.by_band for suffix in one.suffixes}
"""Suffix (lower case) -> format, of the files that are read and written band by band."""

ANIMATED = {suffix: one for one in FORMATS if one.animation for suffix in one.suffixes}
"""Suffix (lower case) -> format, of the files that animations are written to."""

_RESULTS = {suffix: one.result for one in FORMATS for suffix in (*one.suffixes, *one.also)}

_DATA = """
.txt .csv .tsv .json .jsonl .xml .xmp .yaml .yml .toml .ini .cfg .log .md .rst .html .htm .css .js .py .sh .bat .exe
.dll .so .db .sqlite .npy .npz .pt .pth .ckpt .onnx .safetensors .pkl .h5 .parquet .lock .url .lnk .thm
.mp3 .wav .flac .ogg .m4a .aac .mp4 .m4v .mov .avi .mkv .webm .mts .mpg .mpeg .wmv .srt
.zip .7z .rar .tar .gz .bz2 .xz .zst .tgz .iso
"""
_DOCUMENTS = ".pdf .ps .eps .svg .svgz .ai .doc .docx .odt .xls .xlsx .ppt .pptx .psd .psb .xcf .kra .blend"
"""They may run programs or load other files."""
_RAW_PHOTOGRAPHS = """
.dng .nef .nrw .cr2 .cr3 .crw .arw .srf .sr2 .orf .rw2 .raf .pef .srw .x3f .erf .mrw .3fr .fff .iiq .kdc .raw
"""
"""TIFF by their first bytes, but what a TIFF reader finds in them is a thumbnail."""
_NEVER = frozenset(f"{_DATA} {_DOCUMENTS} {_RAW_PHOTOGRAPHS}".split())
"""Suffixes (lower case) of files that are never opened to see whether they are pictures: they lie beside pictures by
the million, or must not be taken for pictures."""


def result_suffix(suffix: str) -> str:
    """Return the suffix of the result that keeps the format of a file: its own where that is written."""
    return suffix if suffix.lower() in WRITABLE else _RESULTS.get(suffix.lower(), ".png")


def may_be_picture(name: str | PurePath, head: Callable[[], bytes]) -> bool:
    """Tell whether a file of a folder is to be read as a picture: by its suffix, else by its first bytes.

    Args:
        name: of the file. A suffix of ours suffices; files with suffixes of known other kinds (text, films, raw
            photographs, ...) are none, without being opened.
        head: returns the first `HEAD_BYTES` bytes; called only for a missing or unknown suffix.
    """
    suffix = PurePath(name).suffix.lower()
    if suffix in READABLE:
        return True
    if suffix in _NEVER:
        return False
    found = recognise(head())
    return found is not None and not found.weak


def head_of(path: Path) -> bytes:
    """Return the first `HEAD_BYTES` bytes of a regular file; none of what cannot be read or would block."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError:
        return b""


def left_out(suffixes: Mapping[str, int]) -> str:
    """Say which files were not read: `3 files were not pictures that can be read here: 2 .psd, 1 without suffix`.

    Args:
        suffixes: suffix (lower case) -> number of files.
    """
    total = sum(suffixes.values())
    ordered = sorted(suffixes.items(), key=lambda item: (-item[1], item[0]))
    parts = [f"{count} {suffix or 'without suffix'}" for suffix, count in ordered[:8]]
    if len(ordered) > 8:
        parts.append(f"{sum(count for _, count in ordered[8:])} others")
    are = "file was not a picture" if total == 1 else "files were not pictures"
    return f"{total} {are} that can be read here: {', '.join(parts)}"


def usual_suffixes(formats: Iterable[PictureFormat]) -> str:
    """The usual suffixes in a sentence: `.png, .jpg or .webp`."""
    return in_words([one.suffixes[0] for one in formats], "or")


def in_words(words: Sequence[str], last: str) -> str:
    """Words in a sentence: `a, b or c`; `last` is what stands before the last of several."""
    *others, final = words
    return f"{', '.join(others)} {last} {final}" if others else final


def as_markdown() -> str:
    """The table for the documents."""

    def tick(value: bool) -> str:
        return "yes" if value else ""

    rows = [
        f"| {one.name} | {' '.join(f'`{suffix}`' for suffix in (*one.suffixes, *one.also))} | "
        f"{f'with the extra `{one.extra}`' if one.extra else 'yes'} | {tick(one.writes)} | {tick(one.animation)} | "
        f"{tick(one.pages)} | {tick(one.alpha)} | {tick(one.sixteen_bits)} | {tick(one.metadata)} | "
        f"{tick(one.by_band)} |"
        for one in FORMATS
    ]
    columns = (
        "format, suffixes, read, written, animations written, pages written, alpha, 16 bits, EXIF XMP ICC, by band"
    )
    head = "| " + columns.replace(", ", " | ") + " |"
    return "\n".join([head, f"|{'---|' * 10}", *rows])
