"""Where pictures are: a path of this machine, or an address in a store that fsspec knows, as `s3://bucket/folder`."""

import importlib
import re
import secrets
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from translate.errors import DataError, MissingExtra, TranslateError
from translate.extras import require
from translate.files import PROCESS

_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+)://(.*)", re.IGNORECASE | re.DOTALL)
"""Two letters or more: one is a drive of Windows."""

_TIMES = ("mtime", "LastModified", "last_modified", "updated", "modified", "created")
"""What stores call the time of the last change."""

_DIGESTS = ("ETag", "etag", "md5Hash", "content_md5")

_OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oci", "oss", "r2"})
"""Protocols where what is sent appears whole or not at all; elsewhere it is sent under another name and moved."""


@dataclass(frozen=True)
class Remote:
    """A folder or a file in a store, with as much of `Path` as is needed here; nothing is asked before it must be."""

    url: str
    """Without a slash at the end."""

    def __str__(self) -> str:
        return re.sub(r"(://[^/@:]*):[^/@]*@", r"\1@", self.url)  # without the password

    def __truediv__(self, name: str) -> "Remote":
        return Remote(f"{self.url}/{name}")

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        kind = self.url.partition("://")[0].lower()
        require("s3", "fsspec", *(["s3fs"] if kind in ("s3", "s3a") else []))
        core: Any = importlib.import_module("fsspec.core")
        with reaching(str(self)):
            try:
                return core.url_to_fs(self.url)
            except ImportError as error:
                raise MissingExtra(f"{self}: {' '.join(str(error).split())}") from None
            except ValueError as error:
                raise DataError(f"{self}: {error}; give a folder here, s3://bucket/folder or alike") from None

    @property
    def fs(self) -> Any:
        """The store, an `fsspec.AbstractFileSystem`.

        Raises:
            MissingExtra: its package is not installed.
            DataError: there are no such stores, or it cannot be reached.
        """
        return self._opened[0]

    @property
    def path(self) -> str:
        """As the store takes it."""
        return self._opened[1]

    @property
    def name(self) -> str:
        """The last part."""
        return PurePosixPath(self.url).name

    @property
    def suffix(self) -> str:
        """With the dot; '' of a bucket."""
        return PurePosixPath(self.url.partition("://")[2]).suffix if self.path.strip("/").count("/") else ""

    @property
    def parent(self) -> "Remote":
        """The folder it is in."""
        return Remote(self.url.rpartition("/")[0])

    def info(self) -> Mapping[str, Any] | None:
        """What the store says about it; None if it is not there.

        Raises:
            DataError: the store cannot be asked.
        """
        with reaching(str(self)):
            self.fs.invalidate_cache()
            try:
                return self.fs.info(self.path)
            except FileNotFoundError:
                return None

    def is_dir(self) -> bool:
        """Whether it is a folder; object stores have none that is empty."""
        info = self.info()
        return info is not None and info["type"] == "directory"

    def is_file(self) -> bool:
        """Whether it is a file."""
        info = self.info()
        return info is not None and info["type"] != "directory"

    def open(self) -> BinaryIO:
        """Open to be read in any order."""
        with reaching(str(self)):
            return self.fs.open(self.path, "rb")

    def put_file(self, path: Path) -> None:
        """Send a file; it appears whole or not at all. Raises what the store's library does."""
        self._put(lambda place: self.fs.put_file(str(path), place))

    def put_bytes(self, data: bytes) -> None:
        """Send bytes, as `put_file`."""
        self._put(lambda place: self.fs.pipe_file(place, data))

    def _put(self, send: Callable[[str], None]) -> None:
        fs, protocols = self.fs, self.fs.protocol
        if not _OBJECT_STORES.isdisjoint([protocols] if isinstance(protocols, str) else protocols):
            send(self.path)
            return
        folder = self.path.rpartition("/")[0]
        fs.makedirs(folder, exist_ok=True)
        temporary = f"{folder}/.{PROCESS}{secrets.token_hex(4)}.part"
        try:
            send(temporary)
            if fs.exists(self.path):
                fs.rm_file(self.path)  # some do not move onto a file that is there
            fs.mv(temporary, self.path)
        except BaseException:
            with suppress(Exception):
                fs.rm_file(temporary)
            raise


Location = Path | Remote


def location(text: str | Path | Remote) -> Location:
    """What a user has written -> where that is; nothing is looked up."""
    address = _ADDRESS.fullmatch(text) if isinstance(text, str) else None
    if address is None:
        return Path(text) if isinstance(text, str) else text
    if address[1].lower() in ("file", "local"):
        return Path(address[2])
    return Remote(text.rstrip("/")) if isinstance(text, str) else text


def below(inner: Location, outer: Location) -> str | None:
    """Name of `inner` as seen from `outer`, with slashes, `.` if it is the same; None if it is not in there."""
    if isinstance(inner, Path) and isinstance(outer, Path):
        one, other = PurePosixPath(inner.resolve().as_posix()), PurePosixPath(outer.resolve().as_posix())
    elif isinstance(inner, Remote) and isinstance(outer, Remote) and inner.fs == outer.fs:
        one, other = PurePosixPath(inner.path), PurePosixPath(outer.path)
    else:
        return None
    return one.relative_to(other).as_posix() if one.is_relative_to(other) else None


def modified_ns(info: Mapping[str, Any]) -> int:
    """When a file in a store was changed, in nanoseconds since 1970, as far as the store tells.

    Stores know seconds only, in which much can change: where there is a digest of the content, a part of it stands in
    for the rest.
    """
    found = next((info[name] for name in _TIMES if info.get(name)), 0.0)
    if isinstance(found, str):
        found = datetime.fromisoformat(found)
    seconds = found.timestamp() if isinstance(found, datetime) else float(found)
    digest = next((str(info[name]) for name in _DIGESTS if info.get(name)), None)
    if digest is None:
        return round(seconds * 1e6) * 1000
    return int(seconds) * 10**9 + int(sha256(digest.encode()).hexdigest(), 16) % 10**9


@contextmanager
def reaching(place: str, kind: type[TranslateError] = DataError, failed: str = "cannot be read") -> Generator[None]:
    """Turn whatever the store or its library raises into one line that begins with `place`.

    Raises:
        TranslateError: of this kind.
    """
    try:
        yield
    except TranslateError:
        raise
    except Exception as error:  # every library of a store has its own errors
        raise kind(f"{place}: {failed} ({_explained(error)}") from None


def _explained(error: Exception) -> str:
    said = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, FileNotFoundError):
        return f"not found: {said}); check the name"
    if "Credentials" in type(error).__name__:
        return f"{said}); set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or what else this store takes"
    if isinstance(error, PermissionError):
        return f"no right: {said}); check the name, and whose credentials are used"
    return f"{said}); check the address and the network, and run the same command again"
