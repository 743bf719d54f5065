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
    """Yield a temporary folder next to `path`; on success it becomes `path`, on failure it is removed.

    Raises:
        ConfigError: there is something already, or the folder cannot be made.
    """
    check_new(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".", suffix=".part", dir=path.parent))
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}; choose another folder with -o") from None
    try:
        yield temporary
        temporary.chmod(0o755)  # what mkdtemp makes is for its owner alone, but web servers are others
        if path.exists():
            path.rmdir()
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
