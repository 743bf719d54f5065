"""Atomic file writes, and the one way to walk through a folder with its subfolders."""

import errno
import hashlib
import os
import re
import secrets
import stat
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

from translate.errors import DataError, DiskFull, ImageError

PROCESS = secrets.token_hex(4)
"""Part of the name of every temporary file of this process, to identify the leftovers of a killed one."""

MANIFEST_NAME = ".translate.jsonl"
"""The record of finished results in a folder that `translate convert` has written."""

_LONGEST_SUFFIX = 20
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]) *(\..*)?", re.IGNORECASE)
"""Names of devices on Windows, with any suffix."""

FULL = {
    errno.ENOSPC: "free some space",
    getattr(errno, "EDQUOT", errno.ENOSPC): "free some space",
    errno.EROFS: "make the disk writable",
}
"""Errors after which nothing more can be written to a disk, and what to do."""

_MARKS = (
    ({"snapshot.safetensors"}, "a training run"),
    ({"config.json", "log.jsonl"}, "a training run"),
    ({MANIFEST_NAME}, "results of translate convert"),
    ({"metrics.json", "summary.json", "contact_sheet.png"}, "results of translate evaluate"),
)
"""Files that only we write -> what a folder with all of them holds."""

_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)

Finish = Callable[[Path], None]
"""Called with a file that is complete but not yet renamed to its final name, to change it in place."""

LeftOut = Callable[[Path, str], None]
"""Called with what is not used, and why."""


def data_folder() -> Path:
    """The program's own folder for a user's data, where the operating system keeps such; it need not exist."""
    return _user_folder("Application Support", "XDG_DATA_HOME", ".local/share")


def cache_folder() -> Path:
    """The same for what can be made again, and may be deleted at any time."""
    return _user_folder("Caches", "XDG_CACHE_HOME", ".cache")


def _user_folder(library: str, variable: str, below_home: str) -> Path:
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 - Path.home() fails where no home folder is known
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / library
    else:
        base = Path(os.environ.get(variable) or home / below_home)
    return base / "translate"


@contextmanager
def atomic_path(path: Path, finish: Finish | None = None, *, folder: Path | None = None) -> Generator[Path]:
    """Yield a temporary path next to `path`, or in a `folder` on the same disk; on success it replaces `path`, on
    failure it is removed.

    A reader sees either the old file or the new one, never a part. The data is synced to disk before the rename.
    `finish` comes before that.

    Raises:
        OSError: from the file system; callers convert it to their own one-line error.
    """
    # A short new name: prefixing the target's name could exceed the file system's limit of 255 bytes. The suffix tells
    # libraries the format; one that long tells nothing.
    suffix = path.suffix if len(path.suffix) <= _LONGEST_SUFFIX else ""
    temporary = (folder or path.parent) / f".{PROCESS}{secrets.token_hex(4)}.part{suffix}"
    try:
        yield temporary
        if finish is not None:
            finish(temporary)
        with temporary.open("rb+") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def unwritable(path: Path | str, error: OSError, failed: str = "cannot be written") -> ImageError:
    """The error for a result that the system refuses to write; `DiskFull` if the next one would be refused too."""
    advice = FULL.get(error.errno or 0)
    reason = f"{path}: {failed} ({error.strerror or error})"
    if advice:
        return DiskFull(f"{reason}; {advice}, then run the same command again")
    return ImageError(f"{reason}; check the disk and rights")


def remove_leftovers(folder: Path, process: str = "[0-9a-f]" * 8, *, below: bool = True) -> None:
    """Remove the temporary files of a killed process, or of all, from a folder and, if `below`, its subfolders."""
    for path in (folder.rglob if below else folder.glob)(f".{process}{'[0-9a-f]' * 8}.part*"):
        path.unlink(missing_ok=True)


def refuse_unlistable(error: OSError) -> None:
    """Report a folder that cannot be listed instead of leaving it out in silence.

    Raises:
        DataError: always.
    """
    raise DataError(f"{error.filename}: cannot be listed ({error.strerror}); check its permissions")


def walk(
    root: Path,
    left_out: LeftOut,
    *,
    without: Path | None = None,
    unlistable: Callable[[OSError], None] = refuse_unlistable,
) -> Iterator[tuple[Path, list[os.DirEntry[str]]]]:
    """Yield `root` and every folder below it, each with its files, sorted by name; hidden names are ignored.

    Links to folders are followed, but no folder is visited twice: links to one that is visited anyway, to one above, or
    to one that another link has led to are left out. So are folders below `root` with something that we have made: a
    training run, or the results of a conversion or an evaluation. `root` itself is never left out.

    Args:
        root: the folder.
        left_out: called with each folder that is left out, and the reason.
        without: a folder to ignore; it need not exist.
        unlistable: called if a folder cannot be listed.
    """
    real, ignored = os.path.realpath(root), None if without is None else _identity(without)
    seen: set[tuple[int, int]] = set()
    waiting = [(root, False)]
    while waiting:
        folder, linked = waiting.pop()
        identity = _identity(folder)
        if identity is not None and (identity == ignored or (linked and identity in seen)):
            if identity != ignored:
                left_out(folder, "another link has led to this folder already")
            continue
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            unlistable(error)
            continue
        if identity is not None:
            seen.add(identity)
        names = {entry.name for entry in entries}
        made = next((what for marks, what in _MARKS if marks <= names), "")
        if made and folder is not root:
            left_out(folder, f"holds {made}; give the folder itself to use them")
            continue
        files: list[os.DirEntry[str]] = []
        below: list[tuple[Path, bool]] = []
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if not _is_folder(entry):
                files.append(entry)
            elif made == "a training run" and entry.name == "samples":
                left_out(Path(entry.path), "the sample grids of a training run")
            elif reason := _why_not_followed(entry, real):
                left_out(Path(entry.path), reason)
            else:
                below.append((Path(entry.path), linked or entry.is_symlink()))
        yield folder, files
        waiting += reversed(below)


def mode_of(path: str | Path) -> int:
    """The `st_mode` of what has this path, links followed; 0 if there is nothing, or the name cannot exist."""
    try:
        return Path(path).stat().st_mode
    except (OSError, ValueError):
        return 0


def is_device(name: str) -> bool:
    """Whether a file name, without folders, is that of a device on Windows, such as `con` or `nul.png`."""
    return _DEVICES.fullmatch(name) is not None


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def as_text(names: str) -> str:
    """Replace what cannot be encoded as UTF-8, as names of files may contain, by question marks."""
    return names.encode("utf-8", "replace").decode()


def irregular(entry: os.DirEntry[str]) -> str:
    """What a directory entry is instead of a file, a link to one or a folder: reading it might never end.

    Empty for files, and for what cannot be examined, such as a link to nothing, which shows when it is read.
    """
    try:
        if entry.is_file():
            return ""
        mode = entry.stat().st_mode
    except OSError:
        return ""
    return next((kind for is_kind, kind in _KINDS if is_kind(mode)), "")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, for example
        return False


def _identity(folder: Path) -> tuple[int, int] | None:
    """Device and number of a folder, the same by whatever name; None if it has none."""
    try:
        found = folder.stat()
    except (OSError, ValueError):
        return None
    return (found.st_dev, found.st_ino) if found.st_ino else None


def _why_not_followed(entry: os.DirEntry[str], root: str) -> str:
    """Why a folder is not entered; empty unless it is a link that leads back. `root`: without links."""
    if not entry.is_symlink():
        return ""
    target = Path(os.path.realpath(entry.path))
    if Path(root).is_relative_to(target):
        return "a link that leads back to a folder it is in"
    below = target.relative_to(root).parts if target.is_relative_to(root) else (".",)
    return "" if any(part.startswith(".") for part in below) else f"a link to {target}, which is used anyway"
