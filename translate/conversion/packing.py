"""Results that become an archive: collected in a hidden folder beside it, and packed once all are complete."""

import os
import shutil
import zipfile
from collections.abc import Collection
from pathlib import Path

from translate import lock
from translate.conversion.naming import allowed_name, with_number
from translate.files import atomic_path, unwritable


def unpacked(archive: Path) -> Path:
    """The folder that collects the results for an archive."""
    return archive.with_name(allowed_name(f".{archive.name}", ".unfinished"))


def empty(folder: Path) -> None:
    """Remove what a folder holds but the lock of this process."""
    for path in folder.iterdir():
        if path.name != lock.FILE_NAME:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def pack(folder: Path, archive: Path, made: Collection[Path]) -> None:
    """Write results to an archive, atomically.

    Args:
        folder: the folder that they are in. Anything else in it was left by an earlier, interrupted command.
        archive: the file.
        made: the results.

    Raises:
        ImageError: it cannot be written; the folder is as it was.
    """
    try:
        with (
            atomic_path(archive, folder=folder) as temporary,  # there the next process removes what a kill leaves
            # Pictures are already compressed; a wrong clock is no reason to fail.
            zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED, strict_timestamps=False) as packed,
        ):
            taken: set[str] = set()
            for path in sorted(made):
                plain = name = _as_text(path.relative_to(folder).as_posix())
                number = 1
                while name in taken:
                    number += 1
                    name = with_number(plain, number)
                taken.add(name)
                packed.write(path, name)
    except OSError as error:
        raise unwritable(archive, error) from None


def _as_text(name: str) -> str:
    """A name for an archive: what is not UTF-8 on disk is taken for Latin-1, the usual other encoding."""
    try:
        name.encode()
        return name
    except UnicodeEncodeError:
        return os.fsencode(name).decode("latin-1")
