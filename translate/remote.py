"""Pictures and results in a store that fsspec knows, see `translate.location`.

A picture is fetched once, into memory or, a large one, into a temporary file; a result is made in a temporary file and
sent whole. Retries are those of the store's library.
"""

import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from translate.destinations import Record
from translate.errors import DataError, ImageError
from translate.location import Remote, modified_ns, reaching
from translate.remote_manifest import RemoteManifest
from translate.sources import Chosen, Item

MOST_BYTES_IN_MEMORY = 32 << 20
"""Of a picture's file; larger ones go to the disk, where they can be read in parts."""

_FEW = 20
"""Names of a folder that are asked for one by one; from then on the folder is listed."""
_LISTED_FOLDERS = 16
"""Whose names are kept: those that are being filled, and a few more."""
_LISTED_SECONDS = 60.0
"""Least time for which a listing is believed."""


class RemoteFolderSource:
    """A folder in a store, for the methods see `translate.sources.Source`; hidden files are left out, and so is
    `without`."""

    def __init__(self, root: Remote, wanted: Chosen, without: Remote | None = None) -> None:
        self.root, self._wanted, self._without = root, wanted, without

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
            for info in self._listed(fs, folder):
                path = info["name"].rstrip("/")
                name = PurePosixPath(path).name
                if path == folder or name.startswith("."):
                    continue  # some stores keep an empty file in the place of a folder
                below = f"{relative}/{name}" if relative else name
                if info["type"] == "directory":
                    inside += [path] if path != without else []
                elif self._wanted(below):
                    items.append(_item(below, info))
            waiting += sorted(inside, reverse=True)
            if items:
                yield sorted(items, key=lambda item: item.name)

    def _listed(self, fs: Any, folder: str) -> list[dict[str, Any]]:
        with reaching(str(self.root), DataError, "cannot be listed"):
            fs.invalidate_cache()  # a million names would stay in memory, and later looks would see nothing new
            try:
                return fs.ls(folder, detail=True)
            except FileNotFoundError:
                return []  # stores have no empty folders
            finally:
                fs.invalidate_cache()

    @contextmanager
    def load(self, item: Item) -> Generator[Path | bytes]:
        """See `Source`."""
        remote, title = self.root / item.name, self.title(item.name)
        if item.size <= MOST_BYTES_IN_MEMORY:
            with reaching(title, ImageError):
                data = remote.fs.cat_file(remote.path)
            yield data
            return
        with TemporaryDirectory(prefix="translate-") as folder:
            path = Path(folder, "picture" + PurePosixPath(item.name).suffix)
            with reaching(title, ImageError):
                remote.fs.get_file(remote.path, str(path))
            yield path

    def title(self, name: str) -> str:
        """See `Source`."""
        return str(self.root / name)


class RemoteFileSource(RemoteFolderSource):
    """One picture in a store."""

    def __init__(self, picture: Remote) -> None:
        super().__init__(picture.parent, lambda _: True)
        self._picture = picture

    def groups(self) -> Iterator[list[Item]]:
        """See `Source`."""
        yield [_item(self._picture.name, self._picture.info() or {})]


class RemoteFolder:
    """A folder in a store for results; for the methods see `translate.destinations.Destination`."""

    def __init__(self, root: Remote) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._asked: Counter[str] = Counter()
        self._names: OrderedDict[str, tuple[float, set[str]]] = OrderedDict()

    def __reduce__(self) -> tuple[type["RemoteFolder"], tuple[Remote]]:
        """Other processes ask for themselves."""
        return RemoteFolder, (self._root,)

    def place(self, name: str) -> Path | str:
        """See `Destination`."""
        return str(self._root / name)

    def exists(self, name: str) -> bool:
        """See `Destination`; a request a picture would be slow where most are done, so that folders are listed."""
        remote = self._root / name
        folder = remote.parent
        with self._lock:
            self._asked[folder.url] += 1
            few = self._asked[folder.url] <= _FEW
        with reaching(str(remote), ImageError):
            if few:
                return remote.fs.exists(remote.path)
            with self._lock:
                until, names = self._names.get(folder.url, (0.0, set[str]()))
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
            with reaching(str(remote), ImageError, "cannot be written"):
                remote.put_file(path)
        with self._lock:
            if remote.parent.url in self._names:
                self._names[remote.parent.url][1].add(remote.name)

    def prepare(self) -> None:
        """See `Destination`: folders come with their first file, and the manifest shows whether one may write."""

    def record(self) -> AbstractContextManager[Record]:
        """See `Destination`."""
        return RemoteManifest(self._root)

    def known(self) -> AbstractContextManager[Record | None]:
        """See `Destination`."""
        return RemoteManifest(self._root, writable=False)

    def _list(self, folder: Remote) -> set[str]:
        began = time.monotonic()
        folder.fs.invalidate_cache()
        try:
            names = {PurePosixPath(path).name for path in folder.fs.ls(folder.path, detail=False)}
        except FileNotFoundError:
            names = set[str]()
        folder.fs.invalidate_cache()
        now = time.monotonic()
        self._names[folder.url] = now + max(_LISTED_SECONDS, 10 * (now - began)), names
        self._names.move_to_end(folder.url)
        if len(self._names) > _LISTED_FOLDERS:
            self._names.popitem(last=False)
        return names


def _item(name: str, info: Mapping[str, Any]) -> Item:
    return Item(name, int(info.get("size") or 0), modified_ns(info))
