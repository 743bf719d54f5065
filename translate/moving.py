"""Films and animations through a model, frame by frame: several frames at once, and few of them held."""

import threading
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from translate import animation
from translate.cores import cores
from translate.engine import Engine
from translate.errors import ImageError, MissingExtra
from translate.extras import require
from translate.files import atomic_path
from translate.frames import Given, Made, Stopped, ordered_map
from translate.images import BYTES_PER_DECODED_PIXEL, Picture, Pixels, to_bits
from translate.naming import FILM_RESULTS
from translate.row_writer import RowWriter

_CODER_BYTES = 150
"""Memory for each pixel of a film's result: an encoder looks at some 50 frames before it writes one, and has others to
compare with."""


@dataclass(frozen=True)
class FrameDone:
    """How far a film or an animation has come."""

    source: str
    """What it is called in messages."""
    frame: int
    """How many are done."""
    frames: int
    """How many there are; may be a few off where a film is damaged."""


OnFrame = Callable[[FrameDone], None]


def still_note(data: Path | bytes, target: Path) -> tuple[str, ...]:
    """What is to be said where only the first frame of an animation is taken: one line or none."""
    count = animation.count_frames(data)
    if count == 1 or target.suffix.lower() in animation.ANIMATED:
        return ()
    kind = target.suffix[1:].upper()
    return (f"has {count} frames, of which {kind} holds one; use --format webp to have all",)


@dataclass(frozen=True, kw_only=True)
class FrameWork:
    """How the frames of one film or animation are worked on."""

    workers: int | None = None
    """Frames at once; None: one per core."""
    alone: bool = False
    """Whether there is nothing else to convert, so that an animation gets all workers too. Films always do, and wait
    for one another."""
    stop: threading.Event = field(default_factory=threading.Event)
    """Set when no more work is wanted."""
    on_frame: OnFrame | None = None
    """Called after each frame, from the thread of the film."""


class Mover:
    """Makes films and animations; safe in threads.

    `hold`: gives memory (bytes) for the time of its `with` block, waiting for it if need be.
    """

    def __init__(self, engine: Engine, hold: Callable[[int], AbstractContextManager[None]], frames: FrameWork) -> None:
        self._engine, self._hold, self._frames = engine, hold, frames
        self._workers = frames.workers or cores()
        self._film_lock = threading.Lock()

    def make(
        self, data: Path | bytes, target: Path, title: str, knobs: Mapping[str, Any], stored: Mapping[str, Any]
    ) -> tuple[str, ...] | None:
        """Make a film or an animation; None where neither the file nor the suffix of the result asks for one.

        Args:
            data: the file or its bytes.
            target: the result; it appears whole or not at all.
            title: what it is called in messages.
            knobs: as `Engine.apply` takes them.
            stored: as `write_picture` takes it.

        Returns:
            What the user should know, a line each.

        Raises:
            ImageError: it cannot be read, converted or written.
            Stopped: no more work is wanted.
        """
        if target.suffix.lower() in FILM_RESULTS:
            with self._film_lock:
                return self._film(data, target, title, knobs, stored)
        if target.suffix.lower() not in animation.ANIMATED or animation.count_frames(data) == 1:
            return None
        return self._animation(data, target, title, knobs, stored)

    def _film(
        self, data: Path | bytes, target: Path, title: str, knobs: Mapping[str, Any], stored: Mapping[str, Any]
    ) -> tuple[str, ...]:
        self._check_wanted()
        try:
            require("video", "av")
        except MissingExtra as error:
            raise ImageError(f"{title}: a film; {error}") from None
        from translate.film import convert_film, survey

        film = survey(data, title)
        scale = self._engine.spec.scale
        workers, needed = self._share(film.height, film.width, self._workers)

        def change(rgb_HWC: Pixels) -> Pixels:
            return to_bits(self._engine.apply(Picture(rgb_HWC), **knobs).rgb_HWC, 8)

        def through(function: Callable[[Given], Made], frames: Iterable[Given], count: int) -> Generator[Made]:
            return self._through(function, frames, count, title, workers)

        try:
            with self._hold(needed + film.height * film.width * scale**2 * _CODER_BYTES), atomic_path(target) as path:
                notes = convert_film(
                    data,
                    path,
                    film,
                    change,
                    through,
                    name=title,
                    scale=scale,
                    quality=stored["quality"],
                    metadata=stored["metadata"],
                )
        except OSError as error:
            reason = error.strerror or error
            raise ImageError(f"{target}: cannot be written ({reason}); check the disk and rights") from None
        return self._cautioned(notes, film.height, film.width)

    def _animation(
        self, data: Path | bytes, target: Path, title: str, knobs: Mapping[str, Any], stored: Mapping[str, Any]
    ) -> tuple[str, ...]:
        found = animation.survey(data, title)
        scale, timing = self._engine.spec.scale, found.timing
        if target.suffix.lower() == ".gif":
            timing = animation.hundredths(timing)
            stored = {**stored, "keep_profile": False}  # GIF has no place for it
        workers, needed = self._share(found.height, found.width, self._workers if self._frames.alone else 1)

        def change(picture: Picture) -> Picture:
            made = self._engine.apply(picture, **knobs)
            return animation.with_alpha(made) if found.alpha else replace(made, alpha_HW=None)

        with (
            self._hold(needed),
            RowWriter(
                target,
                found.height * scale,
                found.width * scale,
                alpha=found.alpha,
                bits=8,
                facts=found.facts,
                timing=timing,
                **stored,
            ) as writer,
            closing(
                self._through(change, animation.frames(data, title), len(timing.milliseconds), title, workers)
            ) as frames,
        ):
            for frame in frames:
                writer.write(frame)
        return self._cautioned(found.facts.notes, found.height, found.width)

    def _share(self, height: int, width: int, workers: int) -> tuple[int, int]:
        """How many of `workers` there is memory for, one at least, and how much of it they take in bytes."""
        each = self._engine.work_bytes(height, width) + 2 * height * width * BYTES_PER_DECODED_PIXEL
        workers = max(1, min(workers, self._engine.memory_bytes // each))
        return workers, workers * each

    def _through(
        self, function: Callable[[Given], Made], items: Iterable[Given], count: int, title: str, workers: int
    ) -> Generator[Made]:
        with closing(ordered_map(function, items, workers)) as results:
            for number, made in enumerate(results, 1):
                self._check_wanted()
                yield made
                if self._frames.on_frame is not None:
                    self._frames.on_frame(FrameDone(title, number, max(number, count)))

    def _check_wanted(self) -> None:
        if self._frames.stop.is_set():
            raise Stopped

    def _cautioned(self, notes: tuple[str, ...], height: int, width: int) -> tuple[str, ...]:
        caution = self._engine.caution(height, width)
        return (*notes, caution) if caution else notes
