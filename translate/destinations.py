"""Where results are put: what a destination can do, and the one that is a folder of this machine."""

import os
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Protocol

from translate.errors import DataError, ImageError
from translate.manifest import FILE_NAME, Done, Manifest


class Record(Protocol):
    """What is done, see `translate.manifest`."""

    def find(self, target: str) -> Done | None:
        """The last line about a result of this name; whether it is still there is not asked."""
        ...

    def add(self, done: Done) -> None:
        """Add a line."""
        ...


class Destination(Protocol):
    """A folder for results, which are called by their names below it, with slashes."""

    def place(self, name: str) -> Path | str:
        """Where a result is, for people and programs."""
        ...

    def exists(self, name: str) -> bool:
        """Whether there is a result of this name.

        Raises:
            ImageError: that cannot be found out.
        """
        ...

    def is_same(self, name: str, source: str) -> bool:
        """Whether a result of this name would replace `source`, which is a path or an address."""
        ...

    def writing(self, name: str) -> AbstractContextManager[Path]:
        """Where to write a result; at the end of the context it stands whole at its place, unless something was raised.

        Raises:
            ImageError: the place cannot be written.
        """
        ...

    def prepare(self) -> None:
        """Make the folder.

        Raises:
            DataError: it cannot be made or written.
        """
        ...

    def record(self) -> AbstractContextManager[Record]:
        """What is done, to be read and added to.

        Raises:
            DataError: it cannot be read or written.
        """
        ...

    def known(self) -> AbstractContextManager[Record | None]:
        """What is done, to be read; nothing is written.

        Raises:
            DataError: it cannot be read.
        """
        ...


class LocalFolder:
    """A folder of this machine; for the methods see `Destination`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def place(self, name: str) -> Path | str:
        """See `Destination`."""
        return self._path / name

    def exists(self, name: str) -> bool:
        """See `Destination`."""
        return (self._path / name).exists()

    def is_same(self, name: str, source: str) -> bool:
        """See `Destination`."""
        place = self._path / name
        return place.exists() and Path(source).exists() and place.samefile(source)

    @contextmanager
    def writing(self, name: str) -> Generator[Path]:
        """See `Destination`; who writes there has to do that in one step himself (`translate.files`)."""
        place = self._path / name
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ImageError(f"its folder {place.parent} cannot be made ({error.strerror})") from None
        yield place

    def prepare(self) -> None:
        """See `Destination`."""
        try:
            self._path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"{self._path}: cannot be made a folder ({error.strerror}); choose another") from None
        if not os.access(self._path, os.W_OK):
            raise DataError(f"{self._path}: no right to write there; choose another folder")

    def record(self) -> AbstractContextManager[Record]:
        """See `Destination`."""
        return Manifest(self._path)

    def known(self) -> AbstractContextManager[Record | None]:
        """See `Destination`."""
        return Manifest(self._path) if (self._path / FILE_NAME).is_file() else nullcontext()
