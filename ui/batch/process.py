"""Converts the files of a job in a separate process, so that no film or picture can crash or block the page.

The process writes one line of JSON for each picture or frame, and continues when it gets an answer. It reads pictures
in further processes (`translate.pictures.isolated`), so that a hostile one fails alone.
"""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import IO, Any

from translate.conversion.folder import convert_folder
from translate.conversion.moving import FrameProgress
from translate.conversion.resume import Result
from translate.errors import TranslateError
from translate.inference.engine import Device, Engine
from translate.machine import available_memory_bytes
from translate.pictures.isolated import IsolatedDecoder
from ui.batch.jobs import Job, Options

try:
    import resource as _resource
except ImportError:  # Windows has no such limits
    _resource = None
resource: ModuleType | None = _resource

PICTURE_SECONDS = 600.0
"""How long a picture of a batch may take to be read; an animation is looked through at once."""
LOOK_SECONDS = 5.0
"""How often to check whether a job is still wanted while its process reports nothing."""
END_SECONDS = 30.0
"""How long the pictures in progress may still take when it is not; then the process is killed."""
_START = "import json, sys; sys.path[:] = json.loads(sys.argv.pop()); from ui.batch.process import main; main()"
_VARIABLES = {"MALLOC_ARENA_MAX": "2"}


class Interrupted(Exception):  # noqa: N818 - not an error
    """The job was stopped or deleted, or the server is closed."""


@dataclass(frozen=True)
class Outcome:
    """What became of a job."""

    done: int
    """Results made now or earlier."""
    failures: list[str]
    notes: list[str]


def convert(
    job: Job,
    device: Device,
    workers: int,
    on_picture: Callable[[Result], object],
    on_frame: Callable[[FrameProgress], object],
    wanted: Callable[[], bool],
) -> Outcome:
    """Convert a job, and wait for it.

    Args:
        job: the job.
        device: where the model runs.
        workers: number of pictures to convert in parallel.
        on_picture, on_frame: as in `convert_folder`; one that raises ends the process.
        wanted: whether to go on; asked from time to time.

    Raises:
        Interrupted: it is not wanted any more.
        TranslateError: something concerns every picture, or the process has ended before the job.
    """
    asked = {
        "source": str(job.source), "target": str(job.output), "options": job.options.to_json(), "device": device,
        "workers": workers,
    }  # fmt: skip
    with _started() as process:
        assert process.stdin is not None
        try:
            with closing(_lines(process, wanted)) as lines:
                _say(process.stdin, asked)
                for event in lines:
                    if "outcome" in event:
                        return Outcome(**event["outcome"])
                    if "error" in event:
                        raise TranslateError(event["error"])
                    if "picture" in event:
                        on_picture(Result(**event["picture"], target=None))
                    else:
                        on_frame(FrameProgress(**event["frame"]))
                    _say(process.stdin, {"go": True})
        finally:
            with suppress(OSError):
                process.stdin.close()  # which tells it to finish what is in progress
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
    raise TranslateError(
        f"the process that converted the files ended before they were done (status {process.returncode}); go on, or "
        "leave out the file it was at"
    )


def _started() -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-P", "-c", _START, json.dumps(sys.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **_VARIABLES},
        text=True,
        encoding="utf-8",
        start_new_session=True,  # Ctrl-C in the terminal is for the page, which then ends this process
    )


def _lines(process: "subprocess.Popen[str]", wanted: Callable[[], bool]) -> Generator[dict[str, Any]]:
    """The messages of the process, until it ends."""
    said: queue.SimpleQueue[str] = queue.SimpleQueue()
    output = process.stdout
    assert output is not None

    def read() -> None:
        with suppress(OSError, ValueError):  # closed: nobody waits for lines any more
            for line in output:
                said.put(line)
        said.put("")

    reader = threading.Thread(target=read, name="job output", daemon=True)
    reader.start()
    while True:
        try:
            line = said.get(timeout=LOOK_SECONDS)
        except queue.Empty:
            if not wanted():
                raise Interrupted from None
            continue
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):  # the end, or half a line before it
            return
        yield event


def _say(target: IO[str], message: dict[str, Any]) -> None:
    """Send a message to the other process; if that has ended, whoever reads its messages notices."""
    with suppress(OSError):
        target.write(json.dumps(message) + "\n")
        target.flush()


# --- in the process


def main() -> None:
    """Convert what the first line asks for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    said = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints must not get among the lines
    turn = threading.Lock()

    def tell(message: dict[str, Any]) -> None:
        with turn:
            said.write(json.dumps(message) + "\n")
            said.flush()
            if not sys.stdin.readline():
                raise Interrupted

    def picture(result: Result) -> None:
        tell({"picture": {"source": result.source, "status": result.status, "reason": result.reason}})

    def frame(progress: FrameProgress) -> None:
        tell({"frame": {"source": progress.source, "frame": progress.frame, "frames": progress.frames}})

    asked = json.loads(sys.stdin.readline())
    options = Options.from_json(asked["options"])
    try:
        engine = Engine(options.model, threads=1, device=asked["device"])
        if engine.device in ("cpu", "openvino"):
            _limit_memory()
        summary = convert_folder(
            Path(asked["source"]),
            Path(asked["target"]),
            engine,
            options.how,
            workers=asked["workers"],
            on_progress=picture,
            on_frame=frame,
            decoder=IsolatedDecoder(seconds=PICTURE_SECONDS),
        )
    except Interrupted:
        return
    except TranslateError as error:
        found: dict[str, Any] = {"error": str(error)}
    else:
        outcome = Outcome(
            summary.converted + summary.skipped,
            [result.reason or "" for result in summary.failed],
            [*summary.notes, *(note for result in summary.noted for note in result.notes)],
        )
        found = {"outcome": vars(outcome)}
    said.write(json.dumps(found) + "\n")
    said.flush()


def _limit_memory() -> None:
    """Take at most the memory that is free now: a film that wants more ends this process, and no other.

    The system counts what is written to, which on other systems than Linux it does not limit. Devices of their own
    reserve far more than they use, so with these there is no limit.
    """
    if resource is None or sys.platform != "linux":
        return
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5])
    most = pages * os.sysconf("SC_PAGE_SIZE") + available_memory_bytes()
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (most, resource.getrlimit(resource.RLIMIT_DATA)[1]))
