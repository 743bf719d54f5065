"""Where results are written: the `Destination` protocol, and its implementation for a local folder."""

import os
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Protocol

from translate.conversion.manifest import FILE_NAME, Manifest, ManifestEntry
from translate.errors import DataError
from translate.files import mode_of, unwritable
from translate.lock import held


class ManifestProtocol(Protocol):
    """The entries of finished results, see `translate.conversion.manifest`."""

    def find(self, target: str) -> ManifestEntry | None:
        """The latest entry for a result of this name; does not check that the result still exists."""
        ...

    def add(self, entry: ManifestEntry) -> None:
        """Append an entry."""
        ...

    def drop(self, target: str) -> bool:
        """Forget the entry of a result that is about to be replaced; whether there was one."""
        ...


class Destination(Protocol):
    """A folder for results. Results are named by their path relative to it, with forward slashes."""

    def locate(self, name: str) -> Path | str:
        """Full path or address of a result."""
        ...

    def exists(self, name: str) -> bool:
        """Whether a result of this name exists.

        Raises:
            ImageError: the check itself failed.
        """
        ...

    def is_same(self, name: str, source: str) -> bool:
        """Whether a result of this name would overwrite `source`, a path or an address."""
        ...

    def writing(self, name: str) -> AbstractContextManager[Path]:
        """A path to write a result to. It is published when the context ends, unless an exception was raised.

        Raises:
            ImageError: the result cannot be written.
        """
        ...

    def prepare(self) -> None:
        """Create the folder.

        Raises:
            DataError: it cannot be created or written to.
        """
        ...

    def held(self) -> AbstractContextManager[str]:
        """Keep other processes from writing there, where that is possible; yields a note for the user, or "".

        Raises:
            DataError: another process writes there; the message says which.
        """
        ...

    def open_manifest(self) -> AbstractContextManager[ManifestProtocol]:
        """The manifest, opened for reading and appending.

        Raises:
            DataError: it cannot be read or written.
        """
        ...

    def read_manifest(self) -> AbstractContextManager[ManifestProtocol | None]:
        """The manifest, opened for reading only; None if there is none.

        Raises:
            DataError: it cannot be read.
        """
        ...


class LocalFolder:
    """A folder on this machine; for the methods see `Destination`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def locate(self, name: str) -> Path | str:
        """See `Destination`."""
        return self._path / name

    def exists(self, name: str) -> bool:
        """See `Destination`."""
        return mode_of(self._path / name) != 0

    def is_same(self, name: str, source: str) -> bool:
        """See `Destination`."""
        target = self._path / name
        return bool(mode_of(target) and mode_of(source)) and target.samefile(source)

    @contextmanager
    def writing(self, name: str) -> Generator[Path]:
        """See `Destination`; the caller must write the file atomically (`translate.files`)."""
        target = self._path / name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(target.parent, error, "cannot be created") from None
        yield target

    def prepare(self) -> None:
        """See `Destination`."""
        try:
            self._path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"{self._path}: cannot create this folder ({error.strerror}); choose another") from None
        if not os.access(self._path, os.W_OK):
            raise DataError(f"{self._path}: permission denied, the folder is not writable; choose another folder")

    def held(self) -> AbstractContextManager[str]:
        """See `Destination`."""
        return held(self._path)

    def open_manifest(self) -> AbstractContextManager[ManifestProtocol]:
        """See `Destination`."""
        return Manifest(self._path)

    def read_manifest(self) -> AbstractContextManager[ManifestProtocol | None]:
        """See `Destination`."""
        return Manifest(self._path, writable=False) if (self._path / FILE_NAME).is_file() else nullcontext()
