"""A folder that is written whole or not at all."""

import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from translate.errors import ConfigError


def check_new(path: Path) -> None:
    """Refuse a path where there is something already; an empty folder is nothing.

    Raises:
        ConfigError: there is something.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ConfigError(f"{path} exists already; remove it, or choose another folder with -o")


@contextmanager
def new_folder(path: Path) -> Generator[Path]:
    """Yield a temporary folder next to `path`, or in it if it is there; on success it becomes `path`, or what is in it
    gets into that; on failure it is removed.

    Raises:
        ConfigError: there is something already, or the folder cannot be made.
    """
    check_new(path)
    path = path.resolve()  # of a link to nothing, the folder that it stands for
    # An empty folder is not replaced: it may be a disk, the working folder of a shell, or have permissions of its own.
    there = path.exists()
    place = path if there else path.parent
    try:
        place.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".", suffix=".part", dir=place))
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}; choose another folder with -o") from None
    try:
        yield temporary
        if there:
            for one in temporary.iterdir():
                one.rename(path / one.name)
        else:
            temporary.chmod(0o755)  # what mkdtemp makes is for its owner alone, but web servers are others
            temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
