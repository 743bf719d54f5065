"""Pictures and results in cloud storage, see `translate.conversion.location`.

Each picture is downloaded once, into memory or, if it is large, into a temporary file. Each result is written to a
temporary file and then uploaded. Retries are left to the library of the storage service.
"""

import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from translate.conversion.cloud.manifest import FOLDER, RemoteManifest
from translate.conversion.destinations import ManifestProtocol
from translate.conversion.location import Remote, modified_ns, read_head, store_errors
from translate.conversion.sources import Item, NameFilter
from translate.errors import DataError, ImageError
from translate.files import MANIFEST_NAME

MAX_BYTES_IN_MEMORY = 32 << 20
"""Larger files are downloaded to disk, where they can be read in parts."""

_RESULTS = (FOLDER, MANIFEST_NAME)
"""What shows that a folder holds results."""

_SINGLE_CHECKS = 20
"""Number of existence checks per folder that are made one by one; after that the whole folder is listed."""
_CACHED_FOLDERS = 16
"""Number of folder listings to cache: those being written to, and a few more."""
_REMEMBERED_HEADS = 100_000
"""Number of files without a known suffix whose first bytes are remembered."""
_CACHE_SECONDS = 60.0
"""Minimum lifetime of a cached listing."""


class RemoteFolderSource:
    """A folder in cloud storage; for the methods see `translate.conversion.sources.Source`. Skips hidden files and the
    folder `without`."""

    def __init__(self, root: Remote, wanted: NameFilter, without: Remote | None = None) -> None:
        self.root, self._wanted, self._without = root, wanted, without
        self._heads: OrderedDict[tuple[Any, ...], bytes] = OrderedDict()
        self.left_out: dict[str, str] = {}

    def groups(self) -> Iterator[list[Item]]:
        """See `Source`."""
        fs, top = self.root.fs, self.root.path
        without = self._without.path if self._without is not None and self._without.fs == fs else None
        waiting = [top]
        while waiting:
            folder = waiting.pop()
            relative = folder[len(top) :].strip("/")
            items: list[Item] = []
            inside: list[str] = []
            listed = self._listed(fs, folder)
            if relative and any(PurePosixPath(info["name"]).name in _RESULTS for info in listed):
                self.left_out[self.title(relative)] = (
                    "holds results of translate convert; give the folder itself to use them"
                )
                continue
            for info in listed:
                path = info["name"].rstrip("/")
                name = PurePosixPath(path).name
                if path == folder or name.startswith("."):
                    continue  # some stores represent a folder by an empty file
                name = f"{relative}/{name}" if relative else name
                if info["type"] == "directory":
                    inside += [path] if path != without else []
                elif self._wanted(name, partial(self._head, fs, info)):
                    items.append(_item(name, info))
            waiting += sorted(inside, reverse=True)
            if items:
                yield sorted(items, key=lambda item: item.name)

    def _listed(self, fs: Any, folder: str) -> list[dict[str, Any]]:
        with store_errors(str(self.root), DataError, "cannot be listed"):
            fs.invalidate_cache()  # a cache would hold a million names in memory and hide new files
            try:
                return fs.ls(folder, detail=True)
            except FileNotFoundError:
                return []  # object stores have no empty folders
            finally:
                fs.invalidate_cache()

    def _head(self, fs: Any, info: Mapping[str, Any]) -> bytes:
        """The first bytes; remembered, since a folder is listed several times and requests may cost money."""
        item = _item(info["name"], info)
        key = (item.name, item.size, item.modified_ns)
        if key not in self._heads:
            self._heads[key] = read_head(fs, item.name)
            if len(self._heads) > _REMEMBERED_HEADS:
                self._heads.popitem(last=False)
        return self._heads[key]

    @contextmanager
    def load(self, item: Item) -> Generator[Path | bytes]:
        """See `Source`."""
        remote, title = self.root / item.name, self.title(item.name)
        if item.size <= MAX_BYTES_IN_MEMORY:
            with store_errors(title, ImageError):
                data = remote.fs.cat_file(remote.path)
            yield data
            return
        with TemporaryDirectory(prefix="translate-") as folder:
            path = Path(folder, "picture" + PurePosixPath(item.name).suffix)
            with store_errors(title, ImageError):
                remote.fs.get_file(remote.path, str(path))
            yield path

    def title(self, name: str) -> str:
        """See `Source`."""
        return str(self.root / name)


class RemoteFileSource(RemoteFolderSource):
    """A single picture in cloud storage."""

    def __init__(self, picture: Remote) -> None:
        super().__init__(picture.parent, lambda name, head: True)
        self._picture = picture

    def groups(self) -> Iterator[list[Item]]:
        """See `Source`."""
        yield [_item(self._picture.name, self._picture.info() or {})]


class RemoteFolder:
    """A folder for results in cloud storage; for the methods see `translate.conversion.destinations.Destination`."""

    def __init__(self, root: Remote) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._checks: Counter[str] = Counter()
        self._listings: OrderedDict[str, tuple[float, set[str]]] = OrderedDict()

    def __reduce__(self) -> tuple[type["RemoteFolder"], tuple[Remote]]:
        """Caches and locks are not sent to other processes."""
        return RemoteFolder, (self._root,)

    def locate(self, name: str) -> Path | str:
        """See `Destination`."""
        return str(self._root / name)

    def exists(self, name: str) -> bool:
        """See `Destination`. Folders are listed, since one request per picture would be slow when most are done."""
        remote = self._root / name
        folder = remote.parent
        with self._lock:
            self._checks[folder.url] += 1
            few = self._checks[folder.url] <= _SINGLE_CHECKS
        with store_errors(str(remote), ImageError):
            if few:
                return remote.fs.exists(remote.path)
            with self._lock:
                until, names = self._listings.get(folder.url, (0.0, set[str]()))
                return remote.name in (names if time.monotonic() < until else self._list(folder))

    def is_same(self, name: str, source: str) -> bool:
        """See `Destination`."""
        return str(self._root / name) == source

    @contextmanager
    def writing(self, name: str) -> Generator[Path]:
        """See `Destination`."""
        remote = self._root / name
        with TemporaryDirectory(prefix="translate-") as folder:
            path = Path(folder, "result" + PurePosixPath(name).suffix)
            yield path
            with store_errors(str(remote), ImageError, "cannot be written"):
                remote.put_file(path)
        with self._lock:
            if remote.parent.url in self._listings:
                self._listings[remote.parent.url][1].add(remote.name)

    def prepare(self) -> None:
        """See `Destination`. Folders are created with their first file; opening the manifest tests write access."""

    def held(self) -> AbstractContextManager[str]:
        """See `Destination`. Stores have no locks. Two processes do no harm, since every result and every line of the
        manifest appears whole; what both take up is only made twice."""
        return nullcontext("")

    def open_manifest(self) -> AbstractContextManager[ManifestProtocol]:
        """See `Destination`."""
        return RemoteManifest(self._root)

    def read_manifest(self) -> AbstractContextManager[ManifestProtocol | None]:
        """See `Destination`."""
        return RemoteManifest(self._root, writable=False)

    def _list(self, folder: Remote) -> set[str]:
        started = time.monotonic()
        folder.fs.invalidate_cache()
        try:
            names = {PurePosixPath(path).name for path in folder.fs.ls(folder.path, detail=False)}
        except FileNotFoundError:
            names = set[str]()
        folder.fs.invalidate_cache()
        now = time.monotonic()
        self._listings[folder.url] = now + max(_CACHE_SECONDS, 10 * (now - started)), names
        self._listings.move_to_end(folder.url)
        if len(self._listings) > _CACHED_FOLDERS:
            self._listings.popitem(last=False)
        return names


def _item(name: str, info: Mapping[str, Any]) -> Item:
    return Item(name, int(info.get("size") or 0), modified_ns(info))
