"""The process that reads pictures for `translate.pictures.isolated`: requests come in, pixels go out.

It limits its own memory, time and files before it reads the first untrusted byte.
"""

import importlib
import math
import os
import signal
import sys
import warnings
from contextlib import closing, suppress
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

from translate.errors import ImageError, TooLarge
from translate.pictures.decoder import IN_PROCESS
from translate.pictures.isolated_wire import Channel, Message

try:
    import resource as _resource
except ImportError:  # Windows: the deadline of the parent is all there is
    _resource = None
resource: ModuleType | None = _resource

MOST_FILES = 64
"""Open files and pipes."""


def main() -> None:
    """Answer requests until the parent closes the pipe or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel = Channel(sys.stdin.buffer, os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)  # whatever a library prints must not get among the answers
    _prepare()
    channel.send({"ready": True})
    while (request := channel.receive()) is not None:
        _limit_memory(request["memory"])
        _limit_time(request["seconds"])
        data = channel.read_file(request)  # not below: what is left of it must never be read as a request
        try:
            _answer(channel, request, data)
        except TooLarge as error:
            channel.send({"too_large": str(error), "height": error.height, "width": error.width})
        except ImageError as error:
            channel.send({"error": str(error)})
        except MemoryError:
            channel.send({"unexpected": "not enough memory"})
        except OSError as error:
            channel.send({"unexpected": error.strerror or str(error)})
        except Warning as error:
            channel.send({"unexpected": f"warning: {error}"})


def _answer(channel: Channel, request: Message, data: bytes | Path) -> None:
    """Do what a request asks for with a file."""
    name, what = request["name"], request["do"]
    if what == "decode":
        options = {key: request[key] for key in ("max_pixels", "bits", "page")}
        channel.send_picture(IN_PROCESS.decode(data, name, **options))
    elif what == "stated":
        channel.send(asdict(IN_PROCESS.stated(data, name, request["most_pages"])))
    elif what == "survey":
        found = IN_PROCESS.survey(data, name)
        facts: dict[str, Any] = {"opaque": not found.alpha, "timing": asdict(found.timing)}
        channel.send_picture(found.facts, sides=(found.height, found.width), **facts)
    elif what == "frames":
        with closing(IN_PROCESS.frames(data, name)) as frames:
            for frame in frames:
                channel.send_picture(frame)
                if (wanted := channel.receive()) is None or wanted["do"] != "next":
                    return
                _limit_time(request["seconds"])  # for each frame anew: an animation may have thousands
        channel.send({"end": True})
    elif what in ("count_frames", "count_pages", "jpeg_quality"):
        channel.send({"found": getattr(IN_PROCESS, what)(data)})
    else:
        raise ValueError(f"no such request: {what}")


def _prepare() -> None:
    """Import what decoders import when they are needed, and give up what they do not need."""
    from translate.pictures.libvips import vips
    from translate.pictures.plugins import opener

    vips()
    for kind in ("PNG", "JPEG", "WebP", "AVIF", "TIFF", "GIF", "HEIC", "JPEG 2000", "ICO"):
        with suppress(ImageError):
            opener(kind, "")
    importlib.import_module("PIL.ImageCms")
    # What is a warning elsewhere, such as a picture that may be a bomb, is an error here. What concerns programmers
    # alone is not said, and what concerns metadata alone is left to `translate.pictures.decode`.
    warnings.simplefilter("error")
    for kind in (DeprecationWarning, PendingDeprecationWarning, FutureWarning, ImportWarning, ResourceWarning):
        warnings.simplefilter("ignore", kind)
    _set("RLIMIT_FSIZE", 0)
    _set("RLIMIT_CORE", 0)
    _set("RLIMIT_NOFILE", MOST_FILES)


def _limit_memory(memory: int) -> None:
    """Allow this many bytes more than are in use now."""
    if taken := _address_space():
        _set("RLIMIT_AS", taken + memory, soft=True)


def _limit_time(seconds: float) -> None:
    """Allow this many seconds of work from now on, on all cores."""
    if resource is None:
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    # The parent's deadline comes first; this one is for a process whose parent is gone.
    _set("RLIMIT_CPU", math.ceil(used.ru_utime + used.ru_stime + seconds * (os.cpu_count() or 1)) + 1, soft=True)


def _set(name: str, most: int, *, soft: bool = False) -> None:
    kind = getattr(resource, name, None)  # none of them on Windows
    if resource is None or kind is None:
        return
    with suppress(ValueError, OSError):  # a lower limit is set already, or the system has no such limit
        resource.setrlimit(kind, (most, resource.getrlimit(kind)[1] if soft else most))


def _address_space() -> int:
    """Bytes that are taken now; 0 where the system does not say."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[0]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0


if __name__ == "__main__":
    main()
