"""What `chaos.py` disturbs: work that a process does, and a conversion of a folder; the training is beside it."""

import errno
import json
import os
import random
import secrets
import shutil
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from translate import files, lock
from translate.cli.main import main
from translate.conversion.folder import convert_folder  # noqa: F401 - imported once, before processes are forked

MODEL = "super-resolution-x2"
Fault = Callable[["Work", random.Random], bool]


class Broken(Exception):  # noqa: N818 - what is looked for
    """A promise was broken: one line."""


def inject(kind: str, moment: int) -> None:
    """Let this process meet a fault: every `os.fsync` from the `moment`-th on, or the clock all the time."""
    if kind == "clock":
        right = time.time
        time.time = lambda: right() + (3600.0 if moment % 2 else -3600.0)
        return
    number = {"full": errno.ENOSPC, "read-only": errno.EROFS}[kind]
    calls: list[int] = []

    def refuse(file: int) -> None:
        calls.append(file)
        if len(calls) >= moment:
            raise OSError(number, os.strerror(number))

    os.fsync = refuse


class Work(ABC):
    """Something that is done by one command and its repetitions, in a folder of its own."""

    name: str
    share: float
    """Of all faults."""
    faults: dict[str, Fault]
    """That only this work knows."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.out = folder, folder / "out"
        folder.mkdir()
        self._ended: dict[int, int] = {}
        self._last = 0

    # --- processes

    @abstractmethod
    def command(self, out: Path, fault: str = "") -> list[str]:
        """What a user types."""

    def start(self, fault: str = "", moment: int = 0, output: str = "said", out: Path | None = None) -> int:
        """Start the command in a process of its own; returns its number."""
        arguments, text = self.command(out or self.out, fault), self.folder / output
        sys.stdout.flush()
        process = os.fork()
        if process:
            if output == "said":
                self._last = process
            return process
        try:
            self._become(arguments, text, fault, moment)
        finally:
            os._exit(99)

    @staticmethod
    def _become(arguments: Sequence[str], text: Path, fault: str, moment: int) -> None:
        target = os.open(text, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(target, 1)
        os.dup2(target, 2)
        before, now = files.PROCESS, secrets.token_hex(4)  # each is a new process, as if it had been started
        for module in list(sys.modules.values()):
            if getattr(module, "PROCESS", None) == before:
                vars(module)["PROCESS"] = now
        if fault:
            inject(fault, moment)
        try:
            status = main(arguments)
        except BaseException:
            import traceback

            traceback.print_exc()
            status = 1
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and not thread.daemon:
                thread.join()  # as Python itself does at its end
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)

    def ended(self, process: int) -> bool:
        """Whether it has."""
        if process not in self._ended:
            number, status = os.waitpid(process, os.WNOHANG)
            if number:
                self._ended[process] = status
        return process in self._ended

    def wait(self, process: int) -> int:
        """Its status, as `os.waitpid` gives it."""
        if process not in self._ended:
            self._ended[process] = os.waitpid(process, 0)[1]
        return self._ended[process]

    def said(self, output: str = "said") -> str:
        """What a process has printed."""
        return (self.folder / output).read_text(errors="replace")

    def begun(self) -> bool:
        """Whether the process that was started last holds the folder."""
        try:
            return json.loads((self.out / lock.FILE_NAME).read_text())["process"] == self._last
        except (OSError, ValueError):
            return False

    def undisturbed(self, out: Path) -> None:
        """Run the command to its end."""
        status = os.waitstatus_to_exitcode(self.wait(self.start(out=out)))
        if status:
            raise Broken(f"{self.name}: an undisturbed process ended with {status}: {self.said()}")

    def leftovers(self) -> list[Path]:
        """Temporary files."""
        return [path for path in self.out.rglob(".*") if ".part" in path.name or path.name == lock.FILE_NAME]

    def reset(self) -> None:
        """Begin again."""
        shutil.rmtree(self.out)

    # --- what each work does

    @abstractmethod
    def done(self) -> int:
        """A number that grows as work is done."""

    @abstractmethod
    def complete(self) -> bool:
        """Whether everything seems to be done."""

    @abstractmethod
    def check(self) -> None:
        """Raise Broken if anything that is visible is not as it may be."""

    @abstractmethod
    def finish(self) -> None:
        """Do what is left, undisturbed, and compare; raises Broken."""


def contents(folder: Path) -> dict[str, bytes]:
    """Visible files."""
    paths = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


class Conversion(Work):
    """A folder of pictures; a few of them have a second version, between which they change."""

    name, share = "conversion", 0.65

    def __init__(self, folder: Path, count: int, dice: random.Random) -> None:
        super().__init__(folder)
        self.source = folder / "in"
        make_pictures(self.source, count)
        self.undisturbed(folder / "first")
        self.expected = contents(folder / "first")
        self.count = len(self.expected)
        self._versions: dict[Path, tuple[bytes, bytes]] = {}
        for number in range(0, count, max(1, count // 6)):
            path = next(self.source.rglob(f"{number:03}.png"), None)
            if path is not None:
                first = path.read_bytes()
                draw(path, 1000 + number)
                self._versions[path] = first, path.read_bytes()
        self.undisturbed(folder / "second")
        second = contents(folder / "second")
        self._allowed = {name: {data, second[name]} for name, data in self.expected.items()}
        self._restore()
        self.faults = {
            "line of the manifest cut off": self._cut,
            "line of the manifest spoiled": self._spoil,
            "result deleted": self._delete,
            "input touched": self._touch,
            "input changed": self._change,
            "input folder gone": self._hide,
        }

    def command(self, out: Path, fault: str = "") -> list[str]:
        """See `Work`."""
        limit = ["--limit", "5"] if fault == "clock" else []
        return ["convert", str(self.source), str(out), "--model", MODEL, "--device", "cpu", "--workers", "2", *limit]

    def done(self) -> int:
        """Number of results."""
        return sum(name[0] != "." for _, _, names in os.walk(self.out) for name in names)

    def complete(self) -> bool:
        """See `Work`."""
        return self.done() == self.count

    def check(self) -> None:
        """See `Work`."""
        for name, data in contents(self.out).items():
            if data not in self._allowed.get(name, ()):
                raise Broken(f"{self.name}: {name} is none of its right results ({len(data)} bytes): {self.said()}")

    def finish(self) -> None:
        """See `Work`."""
        self._restore()
        self.undisturbed(self.out)
        found = contents(self.out)
        if found != self.expected:
            wrong = sorted(name for name in found.keys() | self.expected if found.get(name) != self.expected.get(name))
            raise Broken(f"{self.name}: not as undisturbed: {', '.join(wrong)}")
        if left := self.leftovers():
            raise Broken(f"{self.name}: left behind: {', '.join(map(str, left))}")
        self.undisturbed(self.out)
        if not self.said().startswith("0 pictures converted"):
            raise Broken(f"{self.name}: something was made twice: {self.said()}")

    def _restore(self) -> None:
        for path, (first, _) in self._versions.items():
            if path.read_bytes() != first:
                path.write_bytes(first)

    @property
    def _manifest(self) -> Path:
        return self.out / files.MANIFEST_NAME

    def _cut(self, _: Work, dice: random.Random) -> bool:
        if not self._manifest.exists():
            return False
        data = self._manifest.read_bytes()
        self._manifest.write_bytes(data[: max(0, len(data) - dice.randrange(1, 300))])
        return True

    def _spoil(self, _: Work, dice: random.Random) -> bool:
        data = bytearray(self._manifest.read_bytes() if self._manifest.exists() else b"")
        if not data:
            return False
        place = dice.randrange(len(data))
        data[place : place + 8] = dice.randbytes(8)
        self._manifest.write_bytes(data)
        return True

    def _delete(self, _: Work, dice: random.Random) -> bool:
        found = sorted(path for path in self.out.rglob("*") if path.is_file() and path.name[0] != ".")
        if found:
            dice.choice(found).unlink()
        return bool(found)

    def _touch(self, _: Work, dice: random.Random) -> bool:
        path = dice.choice(sorted(path for path in self.source.rglob("*") if path.is_file()))
        now = time.time() + dice.choice([-3600.0, 0.0, 3600.0])
        os.utime(path, (now, now))
        return True

    def _change(self, _: Work, dice: random.Random) -> bool:
        """Replace a picture by its other version while a process reads."""
        process = self.start()
        while not self.begun() and not self.ended(process):
            time.sleep(0.002)
        path = dice.choice(sorted(self._versions))
        first, second = self._versions[path]
        path.write_bytes(second if path.read_bytes() == first else first)
        self._expect(process, (0, 1))  # 1: it was empty, or half there, when it was read
        return True

    def _hide(self, _: Work, dice: random.Random) -> bool:
        """Take the whole folder away while a process reads it, and bring it back."""
        process = self.start()
        while not self.begun() and not self.ended(process):
            time.sleep(0.002)
        time.sleep(dice.uniform(0.0, 0.1))
        hidden = self.source.rename(self.source.with_name("gone"))
        try:
            return self._expect(process, (0, 1, 2)) != 0
        finally:
            hidden.rename(self.source)

    def _expect(self, process: int, statuses: Sequence[int]) -> int:
        ended = os.waitstatus_to_exitcode(self.wait(process))
        if ended not in statuses or "Traceback" in self.said():
            raise Broken(f"{self.name}: ended with {ended}: {self.said()}")
        return ended


# --- pictures


def draw(path: Path, seed: int, side: int = 24) -> None:
    """A small picture, in the format of the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((side, side + seed % 7), Image.Resampling.BICUBIC).save(path)


def make_pictures(folder: Path, count: int) -> None:
    """Pictures of several formats in subfolders, an animation, a file of several pages, and a film."""
    for number in range(count):
        suffix = ("png", "jpg", "png", "webp", "png", "tif", "png", "bmp")[number % 8]
        draw(folder / f"{number % 4}" / f"{number:03}.{suffix}", number)
    frames = [Image.fromarray(np.full((20, 24, 3), 60 * number, np.uint8)) for number in range(4)]
    frames[0].save(folder / "animation.gif", save_all=True, append_images=frames[1:], duration=100, loop=0)
    frames[0].save(folder / "pages.tif", save_all=True, append_images=frames[1:])
    try:
        import av
    except ImportError:
        return
    with av.open(str(folder / "film.mp4"), "w") as film:
        stream = film.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for number in range(6):
            picture_HWC = np.full((32, 32, 3), 40 * number, np.uint8)
            film.mux(stream.encode(av.VideoFrame.from_ndarray(picture_HWC, format="rgb24")))
        film.mux(stream.encode())
