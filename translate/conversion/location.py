"""Where pictures are: a local path, or an address in cloud storage that fsspec supports, e.g. `s3://bucket/folder`."""

import importlib
import re
import secrets
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, partial
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from translate.errors import DataError, MissingExtra, TranslateError, message_of, require
from translate.files import PROCESS
from translate.pictures.formats import HEAD_BYTES

_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+)://(.*)", re.IGNORECASE | re.DOTALL)
"""At least two letters: a single letter is a Windows drive."""

_TIMES = ("mtime", "LastModified", "last_modified", "updated", "modified", "created")
"""Names that storage services use for the modification time."""

_DIGESTS = ("ETag", "etag", "md5Hash", "content_md5")

PATIENCE_SECONDS, LEAST_BYTES_PER_SECOND = 120.0, 20_000
"""An upload that takes longer than this is given up; the time for retries of the store's library is included."""

_OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oci", "oss", "r2"})
"""Protocols with atomic uploads; for others, files are uploaded under a temporary name and then renamed."""


@dataclass(frozen=True)
class Remote:
    """A folder or file in cloud storage, with the methods of `Path` that are needed here. Connects only on demand."""

    url: str
    """Without a trailing slash."""

    def __str__(self) -> str:
        return re.sub(r"(://[^/@:]*):[^/@]*@", r"\1@", self.url)  # without the password

    def __truediv__(self, name: str) -> "Remote":
        return self._same_store(f"{self.url}/{name}", f"{self.path.rstrip('/')}/{name}")

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        kind = self.url.partition("://")[0].lower()
        require("s3", "fsspec", *(["s3fs"] if kind in ("s3", "s3a") else []))
        core: Any = importlib.import_module("fsspec.core")
        with store_errors(str(self)):
            try:
                return core.url_to_fs(self.url)
            except ImportError as error:
                raise MissingExtra(f"{self}: {message_of(error)}") from None
            except ValueError as error:
                raise DataError(f"{self}: {error}; give a local folder or an address like s3://bucket/folder") from None

    @property
    def fs(self) -> Any:
        """The file system, an `fsspec.AbstractFileSystem`.

        Raises:
            MissingExtra: its package is not installed.
            DataError: the protocol is unknown, or the service cannot be reached.
        """
        return self._opened[0]

    @property
    def path(self) -> str:
        """The path within the file system."""
        return self._opened[1]

    @property
    def name(self) -> str:
        """The last component."""
        return PurePosixPath(self.url).name

    @property
    def suffix(self) -> str:
        """With the dot; '' for a bucket."""
        return PurePosixPath(self.url.partition("://")[2]).suffix if self.path.strip("/").count("/") else ""

    @property
    def parent(self) -> "Remote":
        """The folder it is in."""
        return self._same_store(self.url.rpartition("/")[0], self.path.rpartition("/")[0])

    def _same_store(self, url: str, path: str) -> "Remote":
        """Another place in this store. Its address is not parsed: fsspec takes `::` in a name for a chain of stores."""
        found = Remote(url)
        found.__dict__["_opened"] = self.fs, path  # where `cached_property` keeps it
        return found

    def info(self) -> Mapping[str, Any] | None:
        """Metadata from the storage service; None if it does not exist.

        Raises:
            DataError: the request failed.
        """
        with store_errors(str(self)):
            self.fs.invalidate_cache()
            try:
                return self.fs.info(self.path)
            except FileNotFoundError:
                return None

    def is_dir(self) -> bool:
        """Whether it is a folder; object stores have no empty folders."""
        info = self.info()
        return info is not None and info["type"] == "directory"

    def is_file(self) -> bool:
        """Whether it is a file."""
        info = self.info()
        return info is not None and info["type"] != "directory"

    def open(self) -> BinaryIO:
        """Open for reading with random access."""
        with store_errors(str(self)):
            return self.fs.open(self.path, "rb")

    def head(self) -> bytes:
        """Return the first bytes, see `read_head`."""
        return read_head(self.fs, self.path)

    def put_file(self, path: Path) -> None:
        """Upload a file atomically. Raises whatever the storage library raises."""
        self._put(partial(self.fs.put_file, str(path)), path.stat().st_size)

    def put_bytes(self, data: bytes) -> None:
        """Upload bytes, like `put_file`."""

        def upload(target: str, **options: Any) -> None:
            self.fs.pipe_file(target, data, **options)

        self._put(upload, len(data))

    def _put(self, upload: Callable[..., None], size: int) -> None:
        fs, protocols = self.fs, self.fs.protocol
        # S3's library waits without end for the permission to send (HTTP 100), whatever its own timeouts are.
        patience = {"timeout": PATIENCE_SECONDS + size / LEAST_BYTES_PER_SECOND} if fs.async_impl else {}
        if not _OBJECT_STORES.isdisjoint([protocols] if isinstance(protocols, str) else protocols):
            upload(self.path, **patience)
            return
        folder = self.path.rpartition("/")[0]
        fs.makedirs(folder, exist_ok=True)
        temporary = _unused(folder)
        try:
            upload(temporary, **patience)
            try:
                _move(fs, temporary, self.path)
            except Exception:
                if not fs.exists(self.path):
                    raise
                self._replace(temporary, _unused(folder))  # some services do not overwrite on a move
        except BaseException:
            with suppress(Exception):
                fs.rm_file(temporary)
            raise

    def _replace(self, temporary: str, aside: str) -> None:
        """Move the file aside while `temporary` takes its place; if that fails, it is as it was."""
        _move(self.fs, self.path, aside)
        try:
            _move(self.fs, temporary, self.path)
        except BaseException:
            with suppress(Exception):
                _move(self.fs, aside, self.path)
            raise
        self.fs.rm_file(aside)


def _move(fs: Any, path: str, target: str) -> None:
    """Move one file; fsspec's own way, where a store has none, takes `*`, `?` and `[` in its name for patterns."""
    spec: Any = importlib.import_module("fsspec.spec")
    if getattr(fs.mv, "__func__", None) is not spec.AbstractFileSystem.mv:
        fs.mv(path, target)
        return
    fs.cp_file(path, target)
    fs.rm_file(path)


def _unused(folder: str) -> str:
    """A name for a temporary file."""
    return f"{folder}/.{PROCESS}{secrets.token_hex(4)}.part"


Location = Path | Remote


def location(text: str | Path | Remote) -> Location:
    """Parse what a user has entered; nothing is looked up."""
    if not isinstance(text, str):
        return text
    address = _ADDRESS.fullmatch(text)
    if address is None:
        return Path(text)
    return Path(address[2]) if address[1].lower() in ("file", "local") else Remote(text.rstrip("/"))


def relative_name(inner: Location, outer: Location) -> str | None:
    """Path of `inner` relative to `outer`, with forward slashes; `.` if they are equal, None if it is not inside."""
    if isinstance(inner, Path) and isinstance(outer, Path):
        one, other = PurePosixPath(inner.resolve().as_posix()), PurePosixPath(outer.resolve().as_posix())
    elif isinstance(inner, Remote) and isinstance(outer, Remote) and inner.fs == outer.fs:
        one, other = PurePosixPath(inner.path), PurePosixPath(outer.path)
    else:
        return None
    return one.relative_to(other).as_posix() if one.is_relative_to(other) else None


def modified_ns(info: Mapping[str, Any]) -> int:
    """When a file in cloud storage was last modified, in nanoseconds since 1970, as far as the service reports it.

    Most services report whole seconds, within which a file can change more than once: if they report a digest of the
    content, part of it replaces the fraction of the second.
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
def store_errors(place: str, kind: type[TranslateError] = DataError, failed: str = "cannot be read") -> Generator[None]:
    """Convert any exception of a storage library into a one-line error that begins with `place`.

    Raises:
        TranslateError: of this kind.
    """
    try:
        yield
    except TranslateError:
        raise
    except Exception as error:  # every storage library has its own exceptions
        raise kind(f"{place}: {failed} ({_explained(error)}") from None


def _explained(error: Exception) -> str:
    text = message_of(error) or ("no answer" if isinstance(error, TimeoutError) else type(error).__name__)
    if isinstance(error, FileNotFoundError):
        return f"not found: {text}); check the name"
    if "Credentials" in type(error).__name__:
        return f"{text}); set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the credentials this service needs"
    if isinstance(error, PermissionError):
        return f"permission denied: {text}); check the name and the credentials"
    return f"{text}); check the address and the network, then run the same command again"


def read_head(fs: Any, path: str) -> bytes:
    """Return as many first bytes of a file as `translate.pictures.formats.recognise` looks at; none if that fails."""
    try:
        return fs.cat_file(path, start=0, end=HEAD_BYTES)
    except Exception:  # each storage library raises its own
        return b""
