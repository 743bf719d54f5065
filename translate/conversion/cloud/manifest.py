"""The manifest of results in cloud storage, which cannot append to files: segments in a folder `.translate`.

The lines have the format of `translate.conversion.manifest`. Each process has a segment, which it uploads again about
once a second as it grows; when a segment is full, the next is started. The worst that a kill can leave is one second of
results without entries, which are converted again. Segments are numbered, so that the later of two entries for one
result wins."""

import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict
from itertools import groupby
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any

from translate.conversion.location import Remote, store_errors
from translate.conversion.manifest import FILE_NAME, REPLACED, Manifest, ManifestEntry, format_line
from translate.errors import DataError
from translate.files import PROCESS

FOLDER = ".translate"

FLUSH_SECONDS = 1.0
"""Time between two uploads."""
SEGMENT_BYTES = 1 << 20
"""A segment of this size is full."""
MAX_SEGMENTS = 64
"""If more segments than this are not full, they are merged."""

_BATCH = 32
"""Number of segments downloaded at once."""


class RemoteManifest:
    """Like `translate.conversion.manifest.Manifest`, of which a local temporary copy is used for look-ups."""

    def __init__(self, root: Remote, *, writable: bool = True) -> None:
        """Read the existing entries.

        Raises:
            DataError: they cannot be read.
        """
        self._folder, self._writable = root / FOLDER, writable
        self._lock = threading.Lock()
        self._lines: list[bytes] = []
        self._due = 0.0
        self._cleanup = ExitStack()
        try:
            folder = Path(self._cleanup.enter_context(TemporaryDirectory(prefix="translate-")))
            with store_errors(str(self._folder)):
                self._number = 1 + self._download(folder / FILE_NAME)
            self._local = self._cleanup.enter_context(Manifest(folder))
        except BaseException:
            self._cleanup.close()
            raise

    def __enter__(self) -> "RemoteManifest":
        if self._writable:
            try:
                with store_errors(str(self._folder.parent), DataError, "cannot be written"):
                    self._upload()
            except BaseException:
                self._cleanup.close()
                raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._cleanup, self._lock:
            if self._writable and self._lines:
                self._flush()
            elif self._writable:
                with suppress(Exception):  # an empty segment does no harm
                    self._segment.fs.rm_file(self._segment.path)

    def find(self, target: str) -> ManifestEntry | None:
        """The latest entry for a result of this name; does not check that the result still exists."""
        return self._local.find(target)

    def add(self, entry: ManifestEntry) -> None:
        """Add an entry. If the upload fails, the only cost is that the picture is converted again next time."""
        self._local.add(entry)
        self._append(asdict(entry))

    def drop(self, target: str) -> bool:
        """Forget the entry of a result that is about to be replaced; whether there was one. Uploaded like entries."""
        known = self._local.drop(target)
        if known and self._writable:
            self._append({REPLACED: target})
        return known

    def _append(self, fields: dict[str, Any]) -> None:
        with self._lock:
            self._lines.append(format_line(fields))
            if time.monotonic() >= self._due:
                self._flush()
                self._due = time.monotonic() + FLUSH_SECONDS

    @property
    def _segment(self) -> Remote:
        return self._folder / f"{self._number:08}-{PROCESS}.jsonl"

    def _flush(self) -> None:
        with suppress(Exception):  # the lines are kept and uploaded with the next ones
            self._upload()
            if sum(map(len, self._lines)) > SEGMENT_BYTES:
                self._number += 1
                self._lines = []

    def _upload(self) -> None:
        self._segment.put_bytes(b"".join(self._lines))

    def _download(self, path: Path) -> int:
        """Write the lines of all segments to a file; returns the number of the last segment."""
        sizes = self._sizes()
        with path.open("wb") as file:
            for names in _batched(sizes):
                file.write(self._read(names))
        if self._writable and sum(size < SEGMENT_BYTES for size in sizes.values()) > MAX_SEGMENTS:
            with suppress(Exception):  # tried again by a later run
                self._merge(sizes)
        return int(max(sizes, default="0").partition("-")[0])

    def _sizes(self) -> dict[str, int]:
        """Segment name -> size in bytes, in order."""
        fs = self._folder.fs
        fs.invalidate_cache()
        try:
            found = fs.ls(self._folder.path, detail=True)
        except FileNotFoundError:
            return {}
        sizes = {PurePosixPath(info["name"]).name: int(info["size"]) for info in found}
        return {name: sizes[name] for name in sorted(sizes) if re.fullmatch(r"\d{8}-\w+-*\.jsonl", name)}

    def _read(self, names: Sequence[str]) -> bytes:
        """The lines of these segments, except those that another process has just merged and removed."""
        paths = [(self._folder / name).path for name in names]
        found = self._folder.fs.cat(paths, on_error="return")
        for path in paths:
            if isinstance(found[path], FileNotFoundError):
                found[path] = b""
            elif isinstance(found[path], Exception):
                raise found[path]
        # So that the next line does not become part of an incomplete one.
        return b"".join(lines if lines.endswith(b"\n") else lines + b"\n" for lines in map(found.__getitem__, paths))

    def _merge(self, sizes: Mapping[str, int]) -> None:
        """Merge neighbours that are not full. The merged segment is named to sort just before the last of them, which
        another process may be uploading again: this keeps the order, and a line merged twice does no harm."""
        for small, run in groupby(sizes, lambda name: sizes[name] < SEGMENT_BYTES):
            names = list(run)
            if small and len(names) > 1:
                merged = self._folder / names[-1].replace(".jsonl", "-.jsonl")
                merged.put_bytes(b"".join(self._read(some) for some in _batched(names)))
                for name in names:
                    merged.fs.rm_file((self._folder / name).path)


def _batched(names: Iterable[str]) -> Iterator[list[str]]:
    """The names in batches of `_BATCH`."""
    remaining = list(names)
    for start in range(0, len(remaining), _BATCH):
        yield remaining[start : start + _BATCH]
