"""Names inside zip archives: what whoever packed an archive has meant.

Only names with a flag are UTF-8 for certain. The others are read as the first of these that fits:

1. the extra field of Info-ZIP with the name in UTF-8 (0x7075), if it belongs to this name;
2. UTF-8, which text in another encoding practically never is by chance;
3. Japanese (code page 932), if nothing but kana, kanji and full-width letters comes out, unless the next would give
   letters that look like a European word;
4. code page 437, as the format says.

Backslashes separate folders, as some programs for Windows write them, and nothing is outside: a drive or a slash at the
start is left away. `..` is kept, for whoever writes files to refuse.
"""

import io
import mmap
import re
import struct
import zipfile
import zlib
from pathlib import Path, PurePosixPath

_UTF8_FLAG = 0x800
_UNICODE_PATH = 0x7075

_LARGE_RECORDS = 100
"""Bytes that may lie between the list of members and the record of its size, in archives of more than 4 GiB."""

_KANA_AND_KANJI = r"[\u3005-\u3007\u3041-\u30ff\u4e00-\u9fff\uff01-\uff5e]"
_JAPANESE = re.compile(rf"(?:[\x20-\x7e]|{_KANA_AND_KANJI})*")
_LETTERS = re.compile(r"[\x20-\x7eÇ-ÖÙ-öù-ÿ]*")


def member_name(member: zipfile.ZipInfo) -> str:
    """The path of a member, relative and with forward slashes; empty for a folder."""
    name = member.orig_filename
    if not member.flag_bits & _UTF8_FLAG:
        name = _decoded(name.encode("cp437"), member.extra)
    name = name.partition("\0")[0].replace("\\", "/")
    if name.endswith("/"):
        return ""
    path = PurePosixPath(re.sub(r"^([A-Za-z]:)?/+", "", name))
    return str(path) if path.parts else ""


def open_archive(path: Path) -> zipfile.ZipFile:
    """Open an archive, also if a name in it is marked as UTF-8 but is none: only that member cannot be unpacked.

    Raises:
        OSError, zipfile.BadZipFile: and others for a damaged archive.
    """
    try:
        return zipfile.ZipFile(path)
    except UnicodeDecodeError:
        return zipfile.ZipFile(_without_wrong_flags(path))


class _Mapped(mmap.mmap):
    """A file in memory that `zipfile` can use."""

    def seekable(self) -> bool:
        """As files have it; `mmap` has this from Python 3.13 on."""
        return True


def _without_wrong_flags(path: Path) -> io.BufferedIOBase:
    """The archive, its list of members without the flag for UTF-8 where that is wrong; the file is not changed."""
    with path.open("rb") as file:
        found = _Mapped(file.fileno(), 0, access=mmap.ACCESS_COPY)
    end = found.rfind(b"PK\5\6")
    (size,) = struct.unpack_from("<I", found, end + 12)
    start = found.find(b"PK\1\2", max(0, end - size - _LARGE_RECORDS))
    while start >= 0:
        flags, length = struct.unpack_from("<H18xH", found, start + 8)
        try:
            found[start + 46 : start + 46 + length].decode()
        except UnicodeDecodeError:
            struct.pack_into("<H", found, start + 8, flags & ~_UTF8_FLAG)
        start = found.find(b"PK\1\2", start + 4)
    return found  # pyright: ignore[reportReturnType] - it has the methods that are used


def _decoded(raw: bytes, extra: bytes) -> str:
    if raw.isascii():
        return raw.decode()
    named = _unicode_path(raw, extra)
    if named:
        return named
    try:
        return raw.decode()
    except UnicodeDecodeError:
        western = raw.decode("cp437")
    try:
        japanese = raw.decode("cp932")
    except UnicodeDecodeError:
        return western
    if not _JAPANESE.fullmatch(japanese):
        return western
    return western if _LETTERS.fullmatch(western) and not _in_pairs(japanese) else japanese


def _in_pairs(japanese: str) -> bool:
    """Whether some characters are neighbours, and some have a second byte that is no ASCII.

    A European word read as Japanese has neither as a rule, since few of its letters have accents.
    """
    runs = re.findall(rf"{_KANA_AND_KANJI}+", japanese)
    return max(map(len, runs)) > 1 and any(one.encode("cp932")[-1] >= 0x80 for run in runs for one in run)


def _unicode_path(raw: bytes, extra: bytes) -> str:
    """The name from the extra field of Info-ZIP; empty if there is none for this name."""
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<HH", extra)
        data, extra = extra[4 : 4 + length], extra[4 + length :]
        if kind == _UNICODE_PATH and data[:5] == b"\1" + struct.pack("<I", zlib.crc32(raw)):
            return data[5:].decode("utf-8", "ignore")
    return ""
