"""The files of a job: what may come in, what has been made, and what is sent."""

import os
import re
import stat
import struct
import zipfile
from dataclasses import asdict
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from translate.conversion.manifest import FILE_NAME, ManifestEntry, format_line, parse_line, parse_result
from translate.conversion.naming import LONGEST, is_video, with_number
from translate.conversion.sources import is_safe_name
from translate.conversion.zip_names import member_name, open_archive
from translate.errors import one_line
from translate.files import is_device
from translate.pictures.formats import FORMATS, head_of, listed, may_be_picture
from translate.pictures.operations import Picture, fit_size, flatten, resize, with_bits, write_picture
from ui.batch.archive import Entry
from ui.batch.jobs import Job
from ui.files import READER
from ui.refused import Refused

MOST_FILES = 10_000
"""Maximum number of files in a job, or of members of its archive."""
MOST_BYTES = 4 << 30
"""Maximum size of a job's uploads."""
MOST_UNPACKED_BYTES = 8 << 30
"""Maximum size of an archive's members together: more would hardly be pictures."""
MOST_MEMBER_BYTES = 512 << 20
"""Maximum size of one member; it is unpacked in memory."""
MOST_LIST_BYTES = 4 << 20
"""Maximum size of the list of members, which is read at once."""
KEPT_FREE_BYTES = 1 << 30
"""Space on the disk that uploads must leave."""
THUMBNAIL_SIDE = 240
"""Longer side of a thumbnail in pixels."""
_MOST_THUMBNAIL_PIXELS = 100_000_000
_LONGEST_PATH = 500
"""Maximum length of a path in characters: systems take 1,000 bytes or more, the folder of the jobs included."""


def checked_name(name: str) -> str:
    """The name of an uploaded file, relative to the job's `input`, with forward slashes.

    Raises:
        Refused: it would lie elsewhere, is hidden, or is not allowed on some systems.
    """
    reason = _why_unsafe(name)
    if not reason and any(part.startswith(".") for part in PurePosixPath(name).parts):
        reason = "batch.hidden"
    if reason:
        raise Refused(reason, name=one_line(name) or "?")
    return str(PurePosixPath(name))


def free_place(folder: Path, name: str) -> Path:
    """Where to put a file of this name; with a number if there is one already."""
    path, number = folder / name, 1
    while path.exists():
        number += 1
        path = folder / with_number(name, number)
    return path


def check_file(path: Path, name: str) -> None:
    """Refuse what is neither a picture, a film nor an archive that can be read here.

    Raises:
        Refused: it is none.
    """
    if path.suffix.lower() == ".zip":
        check_archive(path, name)
    elif is_video(name):
        if not reads_films():
            raise Refused("batch.no_films", name=name)
    elif not may_be_picture(name, lambda: head_of(path)):
        raise Refused("batch.no_picture", name=name, formats=listed(FORMATS))


def reads_films() -> bool:
    """Whether the extra `video` is installed."""
    return find_spec("av") is not None


def check_archive(path: Path, name: str) -> None:
    """Refuse an archive that could do harm. Nothing is unpacked.

    Raises:
        Refused: damaged, too large when unpacked, or with members that are encrypted, no files, or lead elsewhere.
    """
    _check_list(path, name)
    try:
        with open_archive(path) as archive:
            members = archive.infolist()
    except Exception as error:  # damage is found in many ways
        raise Refused("batch.bad_archive", name=name, reason=one_line(str(error))) from None
    if len(members) > MOST_FILES:
        raise Refused("batch.many_members", name=name, count=len(members), most=MOST_FILES)
    for member in members:
        if reason := _why_refused(member):
            shown = f"{name}: {one_line(member.orig_filename)}"
            raise Refused(reason, name=shown, most=_gigabytes(MOST_MEMBER_BYTES))
    total = sum(member.file_size for member in members)
    if total > MOST_UNPACKED_BYTES:
        raise Refused("batch.large_archive", name=name, size=_gigabytes(total), most=_gigabytes(MOST_UNPACKED_BYTES))


def _check_list(path: Path, name: str) -> None:
    """Look at the last record alone: it says how long the list is that `zipfile` would read whole."""
    with path.open("rb") as file:
        length = file.seek(0, os.SEEK_END)
        file.seek(max(0, length - (1 << 16) - 42))
        tail = file.read()
    # As `zipfile` looks for it.
    end = len(tail) - 22 if tail[-22:-18] == b"PK\5\6" and tail[-2:] == b"\0\0" else tail.rfind(b"PK\5\6")
    if not 0 <= end <= len(tail) - 22:
        raise Refused("batch.no_archive", name=name)
    (listed_bytes,) = struct.unpack_from("<I", tail, end + 12)
    if listed_bytes > MOST_LIST_BYTES or tail[max(0, end - 20) : end].startswith(b"PK\6\7"):
        raise Refused("batch.long_list", name=name, most=MOST_FILES)


def _why_refused(member: zipfile.ZipInfo) -> str:
    """The key of the reason in `ui.words_work`; empty: there is none."""
    if member.flag_bits & 1:
        return "batch.encrypted"
    if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "batch.no_file"
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "batch.packing"
    if member.file_size > MOST_MEMBER_BYTES:
        return "batch.large_member"
    return _why_unsafe(member.orig_filename) or _why_unsafe(member_name(member) or "folder")


def _why_unsafe(name: str) -> str:
    """As `_why_refused`, for a name."""
    plain = name.replace("\\", "/")
    if plain.startswith("/") or re.match(r"[A-Za-z]:", plain):
        return "batch.absolute"
    if not is_safe_name(plain.rstrip("/")):
        return "batch.leads_out"
    parts = PurePosixPath(plain).parts
    if any(is_device(part) for part in parts):
        return "batch.device"
    if (
        "\0" in name
        or len(plain) > _LONGEST_PATH
        or any(len(part.encode("utf-8", "replace")) > LONGEST for part in parts)
    ):
        return "batch.bad_name"
    return ""


def _gigabytes(size: int) -> str:
    return f"{size / (1 << 30):.1f} GB"


# --- what has been made


def results(job: Job) -> list[ManifestEntry]:
    """The finished results, sorted by name."""
    try:
        lines = (job.output / FILE_NAME).read_bytes().splitlines()
    except OSError:
        return []
    found = dict(parse_result(parse_line(line)) for line in lines)  # the last line about a result counts
    return [entry for name, entry in sorted(found.items()) if entry and os.path.isfile(job.output / name)]  # noqa: PTH113


def result_file(job: Job, name: str) -> Path | None:
    """The file of a result; None if there is none of this name."""
    hidden = any(part.startswith(".") for part in PurePosixPath(name).parts)
    if hidden or not is_safe_name(name, windows=True):
        return None
    path = job.output / name
    try:
        return path if path.is_file() and path.resolve().is_relative_to(job.output.resolve()) else None
    except OSError:  # a name that no disk takes
        return None


def archive_entries(job: Job) -> list[Entry]:
    """What is in the archive to download: the results, and the record of how they were made.

    The record has only the lines about results, sorted: those about processes name the server's computer.
    """
    found = [entry for entry in results(job) if result_file(job, entry.target) is not None]
    record = b"".join(format_line(asdict(entry)) for entry in found)
    files = [Entry(entry.target, job.output / entry.target) for entry in found]
    return [Entry(FILE_NAME, record), *files]


def thumbnail(job: Job, name: str) -> Path | None:
    """A small copy of a result, made when it is first asked for; None if there is no such picture.

    Raises:
        Refused: it cannot be read.
    """
    source = result_file(job, name)
    if source is None or is_video(name):
        return None
    target = job.folder / "thumbnails" / f"{sha256(name.encode()).hexdigest()}.jpg"
    made = source.stat().st_mtime_ns
    if not target.is_file() or target.stat().st_mtime_ns < made:
        picture = READER.decode(source, source.name, max_pixels=_MOST_THUMBNAIL_PIXELS)
        size = fit_size(picture.height, picture.width, min(THUMBNAIL_SIDE, max(picture.height, picture.width)))
        target.parent.mkdir(parents=True, exist_ok=True)
        write_picture(target, Picture(resize(flatten(with_bits(picture, 8)), *size)))
    return target
