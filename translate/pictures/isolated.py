"""Reads pictures from untrusted sources in separate processes, with limits on time and memory.

If a file makes a decoder crash, hang or allocate gigabytes, only that file fails, with a one-line error: its process is
killed, and the next picture gets a new one. The processes run `translate.pictures.isolated_child`; they inherit almost
no environment variables, cannot write files, and hold no model. They run as the same user as the program, so this
protects against crashes and decompression bombs, not against a file that takes over a decoder (docs/serving.md).
"""

import json
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, cast

from translate.errors import ImageError, TooLarge, one_line
from translate.machine import available_memory_bytes
from translate.pictures.animation import Animation
from translate.pictures.band_writer import Timing
from translate.pictures.decoder import Stated
from translate.pictures.found import BYTES_PER_16_BIT_PIXEL
from translate.pictures.isolated_wire import Broken, Channel, Message, items, pair, table, whole
from translate.pictures.picture import Picture

SECONDS = 30.0
"""How long a picture may take to be read."""
SPARE_BYTES = 512 << 20
"""Memory that a process may use in addition to the pixels, for the decoder's tables for example."""
MOST_IDLE = 2
"""Processes that are kept for the next pictures."""
START_SECONDS = 60.0
_MOST_FRAMES = 10_000_000
_MOST_MESSAGE = 1000
_KEPT_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")
"""Where libraries are found."""
_PIPE_BYTES = 1 << 20
_NOT_STARTED = "pictures cannot be read: the process that reads them does not start"
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop()); "
    "from translate.pictures.isolated_child import main; main()"
)


class IsolatedDecoder:
    """A `translate.pictures.decoder.Decoder` that works in other processes. Thread-safe.

    Processes are started on demand, kept for later pictures, and end with this program.

    Args:
        seconds: how long one answer may take: a picture, or a frame of an animation.
        spare_bytes: memory for an answer in addition to its pixels.
    """

    def __init__(self, seconds: float = SECONDS, spare_bytes: int = SPARE_BYTES) -> None:
        self.seconds, self.spare_bytes = seconds, spare_bytes
        self._idle: list[_Child] = []
        self._lock = threading.Lock()
        weakref.finalize(self, _end, self._idle)

    def start(self) -> None:
        """Start a process in the background, so that the first picture does not wait for it."""

        def begin() -> None:
            with suppress(ImageError):  # the first picture reports it
                self._give_back(self._taken())

        threading.Thread(target=begin, name="reader", daemon=True).start()

    def close(self) -> None:
        """End the processes; others are started if they are needed again."""
        with self._lock:
            _end(self._idle)

    def decode(
        self,
        data: bytes | Path,
        name: str | None = None,
        *,
        max_pixels: int | None = None,
        bits: Literal[8, 16] = 8,
        page: int = 1,
    ) -> Picture:
        """See `translate.pictures.decoder.Decoder`."""
        name = name or (str(data) if isinstance(data, Path) else "picture")
        most = _fitting() if max_pixels is None else max_pixels
        options = {"max_pixels": max_pixels, "bits": bits, "page": page}
        with self._asked("decode", data, name, most, **options) as (child, answer):
            return child.channel.read_picture(answer, most, bits)

    def stated(self, data: bytes | Path, name: str, most_pages: int) -> Stated:
        """See `translate.pictures.decoder.Decoder`."""
        with self._asked("stated", data, name, most_pages=most_pages) as (_, answer):
            sides = tuple(map(pair, items(answer.get("sides"), most=most_pages)))
            return Stated(whole(answer.get("frames")), whole(answer.get("pages")), sides)

    def count_frames(self, data: bytes | Path) -> int:
        """See `translate.pictures.decoder.Decoder`."""
        with self._asked("count_frames", data, _called(data)) as (_, answer):
            return whole(answer.get("found"))

    def count_pages(self, data: bytes | Path) -> int:
        """See `translate.pictures.decoder.Decoder`."""
        with self._asked("count_pages", data, _called(data)) as (_, answer):
            return whole(answer.get("found"))

    def jpeg_quality(self, data: bytes | Path) -> int | None:
        """See `translate.pictures.decoder.Decoder`."""
        with self._asked("jpeg_quality", data, _called(data)) as (_, answer):
            quality = answer.get("found")
            return None if quality is None else whole(quality)

    def survey(self, data: bytes | Path, name: str) -> Animation:
        """See `translate.pictures.decoder.Decoder`."""
        most = _fitting()
        with self._asked("survey", data, name, most) as (child, answer):
            facts = child.channel.read_picture(answer, most, 8)
            timing = table(answer.get("timing"))
            if answer.get("sides") != [facts.height, facts.width]:
                raise Broken
            milliseconds = tuple(map(whole, items(timing.get("milliseconds"), least=1, most=_MOST_FRAMES)))
            made = Timing(milliseconds, whole(timing.get("plays")))
            return Animation(facts.height, facts.width, answer.get("opaque") is False, made, facts)

    def frames(self, data: bytes | Path, name: str) -> Generator[Picture]:
        """See `translate.pictures.decoder.Decoder`."""
        most = _fitting()
        with self._asked("frames", data, name, most) as (child, answer):
            try:
                while "end" not in answer:
                    with child.deadline(self.seconds):
                        frame = child.channel.read_picture(answer, most, 8)
                    yield frame
                    with child.deadline(self.seconds):
                        child.channel.send({"do": "next"})
                        answer = _checked(child.channel.receive(), name)
            except GeneratorExit:
                with suppress(OSError):  # it has ended
                    child.channel.send({"do": "stop"})

    @contextmanager
    def _asked(
        self, what: str, data: bytes | Path, name: str, pixels: int = 0, **more: Any
    ) -> Generator[tuple["_Child", Message]]:
        """Ask a process, and hold it while its answer is read.

        Args:
            what: a method of `Decoder`.
            data: the file.
            name: what errors call it.
            pixels: the most that the answer may have.
            more: the method's arguments.

        Raises:
            ImageError: what the process says of the file; or it took too much time or memory, or died.
        """
        memory = self.spare_bytes + BYTES_PER_16_BIT_PIXEL * pixels + 3 * _length(data)
        child = self._taken()
        try:
            with child.deadline(self.seconds):
                child.channel.send_request(what, data, name=name, memory=memory, seconds=self.seconds, **more)
                answer = _checked(child.channel.receive(), name)
                if what != "frames":
                    yield child, answer
            if what == "frames":
                yield child, answer
        except (Broken, OSError, TypeError, ValueError):
            child.kill()
            raise ImageError(
                f"{name}: cannot be read within {self.seconds:g} s and {memory / 1e9:.1f} GB of memory; save it again "
                "with another program, or make it smaller"
            ) from None
        except ImageError:
            self._give_back(child)
            raise
        except BaseException:
            child.kill()
            raise
        self._give_back(child)

    def _taken(self) -> "_Child":
        with self._lock:
            while self._idle:
                child = self._idle.pop()
                if child.process.poll() is None:
                    return child
                child.kill()
        return _Child()

    def _give_back(self, child: "_Child") -> None:
        with self._lock:
            if len(self._idle) < MOST_IDLE and not child.late and child.process.poll() is None:
                self._idle.append(child)
                return
        child.kill()


class _Child:
    """A process that answers one request after another.

    `late`: whether it was ended because it took too long.
    """

    def __init__(self) -> None:
        self.late = False
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-B", "-c", _START, json.dumps(sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=_environment(),
                cwd=Path(sys.executable).anchor,
                start_new_session=True,  # Ctrl-C in the terminal is for the program, which finishes pictures first
            )
        except OSError as error:  # no memory, or too many processes or files
            raise ImageError(f"{_NOT_STARTED} ({error.strerror or error}); try again later") from None
        source, target = self.process.stdout, self.process.stdin
        assert source is not None
        assert target is not None
        self.channel = Channel(cast(Any, source), cast(Any, target))
        _widen(source.fileno())
        _widen(target.fileno())
        try:
            with self.deadline(START_SECONDS):
                if self.channel.receive() != {"ready": True}:
                    raise Broken
        except (Broken, OSError):
            self.kill()
            raise ImageError(f"{_NOT_STARTED}; try again later") from None

    @contextmanager
    def deadline(self, seconds: float) -> Generator[None]:
        """End the process if the block takes longer: whoever waits for it then finds the pipe closed."""
        timer = threading.Timer(seconds, self._end)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _end(self) -> None:
        self.late = True  # `poll` may still say for a moment that it is alive
        self.process.kill()

    def kill(self) -> None:
        """End the process, if it has not ended, and forget it."""
        self.process.kill()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            with suppress(OSError):  # what could not be written
                stream.close()
        self.process.wait()


def _checked(answer: Message | None, name: str) -> Message:
    """An answer; ImageError if it is one."""
    if answer is None:
        raise Broken
    if "too_large" in answer:
        said = _said(answer["too_large"], name)
        raise TooLarge(said, whole(answer.get("height")), whole(answer.get("width")))
    if "error" in answer:
        raise ImageError(_said(answer["error"], name))
    if "unexpected" in answer:
        reason = one_line(str(answer["unexpected"]))[:_MOST_MESSAGE]
        raise ImageError(f"{name}: cannot be read ({reason}); replace it with a good copy")
    return answer


def _said(text: object, name: str) -> str:
    """A message of another process, in one line that begins with the name."""
    said = one_line(str(text))[: _MOST_MESSAGE + len(name)]
    return said if said.startswith(name) else f"{name}: {said}"


def _called(data: bytes | Path) -> str:
    return data.name if isinstance(data, Path) else "picture"


def _length(data: bytes | Path) -> int:
    if isinstance(data, bytes):
        return len(data)
    with suppress(OSError):  # whoever reads it says so
        return data.stat().st_size
    return 0


def _fitting() -> int:
    """Pixels that fit in memory."""
    return available_memory_bytes() // BYTES_PER_16_BIT_PIXEL


def _environment() -> dict[str, str]:
    found = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    # Threads of numpy are of no use there, and every one, as every arena of the allocator, takes address space.
    return {**found, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}


def _widen(pipe: int) -> None:
    """Let a pipe hold more, which saves switching between the processes; Linux alone can."""
    if sys.platform == "linux":
        import fcntl

        with suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def _end(children: list[_Child]) -> None:
    while children:
        children.pop().kill()
