"""What is done, for results in a store, which cannot append: segments in a folder `.translate` beside the results.

The lines are those of `translate.manifest`. Each process has a segment, which it sends anew, grown, every second or so;
a full one is left and the next begun. After a kill the worst is a second's results without their lines, which are made
again. Segments are numbered, so that of two lines about one result the later one counts.
"""

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

from translate.errors import DataError
from translate.files import PROCESS
from translate.location import Remote, reaching
from translate.manifest import FILE_NAME, Done, Manifest, line_of

FOLDER = ".translate"

FLUSH_SECONDS = 1.0
"""Between two times that the lines are sent."""
SEGMENT_BYTES = 1 << 20
"""Of a full segment."""
MOST_SEGMENTS = 64
"""That are not full; if there are more, they are joined."""

_AT_ONCE = 32
"""Segments that are fetched at once."""


class RemoteManifest:
    """As `translate.manifest.Manifest`, which holds the lines here, in a temporary file."""

    def __init__(self, root: Remote, *, writable: bool = True) -> None:
        """Read what is there.

        Raises:
            DataError: it cannot be read.
        """
        self._folder, self._writable = root / FOLDER, writable
        self._lock = threading.Lock()
        self._lines: list[bytes] = []
        self._due = 0.0
        self._leave = ExitStack()
        try:
            place = Path(self._leave.enter_context(TemporaryDirectory(prefix="translate-")))
            with reaching(str(self._folder)):
                self._number = 1 + self._fetch(place / FILE_NAME)
            self._local = self._leave.enter_context(Manifest(place))
        except BaseException:
            self._leave.close()
            raise

    def __enter__(self) -> "RemoteManifest":
        if self._writable:
            try:
                with reaching(str(self._folder.parent), DataError, "cannot be written"):
                    self._send()
            except BaseException:
                self._leave.close()
                raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._leave, self._lock:
            if self._writable and self._lines:
                self._flush()
            elif self._writable:
                with suppress(Exception):  # an empty segment does no harm
                    self._segment.fs.rm_file(self._segment.path)

    def find(self, target: str) -> Done | None:
        """The last line about a result of this name; whether it is still there is not asked."""
        return self._local.find(target)

    def add(self, done: Done) -> None:
        """Add a line. A store that refuses it costs only that the picture is made again another time."""
        self._local.add(done)
        with self._lock:
            self._lines.append(line_of(asdict(done)))
            if time.monotonic() >= self._due:
                self._flush()
                self._due = time.monotonic() + FLUSH_SECONDS

    @property
    def _segment(self) -> Remote:
        return self._folder / f"{self._number:08}-{PROCESS}.jsonl"

    def _flush(self) -> None:
        with suppress(Exception):  # the lines stay, and go with the next
            self._send()
            if sum(map(len, self._lines)) > SEGMENT_BYTES:
                self._number += 1
                self._lines = []

    def _send(self) -> None:
        self._segment.put_bytes(b"".join(self._lines))

    def _fetch(self, path: Path) -> int:
        """Write the lines of all segments to a file; returns the number of the last one."""
        sizes = self._sizes()
        with path.open("wb") as file:
            for names in _batched(sizes):
                file.write(self._read(names))
        if self._writable and sum(size < SEGMENT_BYTES for size in sizes.values()) > MOST_SEGMENTS:
            with suppress(Exception):  # another time
                self._join(sizes)
        return int(max(sizes, default="0").partition("-")[0])

    def _sizes(self) -> dict[str, int]:
        """Name of each segment, in order -> its size."""
        fs = self._folder.fs
        fs.invalidate_cache()
        try:
            found = fs.ls(self._folder.path, detail=True)
        except FileNotFoundError:
            return {}
        sizes = {PurePosixPath(info["name"]).name: int(info["size"]) for info in found}
        return {name: sizes[name] for name in sorted(sizes) if re.fullmatch(r"\d{8}-\w+-*\.jsonl", name)}

    def _read(self, names: Sequence[str]) -> bytes:
        """The lines of these segments; without those that another process has just joined."""
        paths = [(self._folder / name).path for name in names]
        found = self._folder.fs.cat(paths, on_error="return")
        for path in paths:
            if isinstance(found[path], FileNotFoundError):
                found[path] = b""
            elif isinstance(found[path], Exception):
                raise found[path]
        # What follows a torn line must not be lost with it.
        return b"".join(lines if lines.endswith(b"\n") else lines + b"\n" for lines in map(found.__getitem__, paths))

    def _join(self, sizes: Mapping[str, int]) -> None:
        """Join neighbours that are not full under a name just before that of the last, which another process may be
        sending anew: thus the order stays, and what is joined twice does no harm."""
        for small, run in groupby(sizes, lambda name: sizes[name] < SEGMENT_BYTES):
            names = list(run)
            if small and len(names) > 1:
                joined = self._folder / names[-1].replace(".jsonl", "-.jsonl")
                joined.put_bytes(b"".join(self._read(some) for some in _batched(names)))
                for name in names:
                    joined.fs.rm_file((self._folder / name).path)


def _batched(names: Iterable[str]) -> Iterator[list[str]]:
    """Some at a time."""
    left = list(names)
    for start in range(0, len(left), _AT_ONCE):
        yield left[start : start + _AT_ONCE]
