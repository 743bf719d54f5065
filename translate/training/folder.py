"""The folder of a run: one process at a time trains there."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from translate.errors import ConfigError, DataError
from translate.files import atomic_path, remove_leftovers
from translate.lock import held

if TYPE_CHECKING:
    from translate.training.snapshot import Header


def refuse_old_run(out: Path, *, fresh: bool) -> None:
    """Raise ConfigError if a run that is not to be resumed is there."""
    from translate.training.snapshot import FILE_NAME

    if fresh and (out / FILE_NAME).exists():
        raise ConfigError(f"{out} already holds a run; add --resume to go on with it, or choose another --out")


def refuse_name(out: Path) -> None:
    """Refuse a folder whose name is not valid UTF-8, which the library for snapshots cannot open, before any work."""
    try:
        str(out).encode()
    except UnicodeEncodeError:
        raise ConfigError(
            f"--out {out} is not UTF-8, so no snapshot can be opened there; choose another name"
        ) from None


@contextmanager
def held_run(out: Path, saved: "Header | None") -> Iterator[None]:
    """Hold the run's folder for this process, made if need be; it is removed again if nothing is written there.

    Raises:
        DataError: another process trains there, or the folder cannot be made.
        ConfigError: another process has trained there since `saved` was read.
    """
    from translate.training.snapshot import FILE_NAME, read_header

    if int(os.environ.get("RANK", "0")):  # torchrun's first process does it for all
        yield
        return
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_written(out, error) from None
    try:
        with held(out) as note:
            if note:
                sys.stderr.write(f"note: {note}\n")
            else:
                for folder in (out, out / "samples"):  # not in any other: other runs may be in progress there
                    remove_leftovers(folder, below=False)
            if (out / FILE_NAME).exists() and (saved is None or read_header(out / FILE_NAME).steps != saved.steps):
                raise ConfigError(f"{out} has been trained meanwhile by another process; look at it, then try again")
            yield
    finally:
        with suppress(OSError):
            for folder in made:
                folder.rmdir()


def write_config(out: Path, config: Any) -> None:
    """Write the config of the run.

    Raises:
        DataError: it cannot be written.
    """
    try:
        with atomic_path(out / "config.json") as temporary:
            temporary.write_text(json.dumps(config.settings(), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise _not_written(out, error) from None


def _not_written(out: Path, error: OSError) -> DataError:
    return DataError(f"cannot write to {out}: {error.strerror}; choose another --out")
