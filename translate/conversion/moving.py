"""Converts videos and animations frame by frame: several frames in parallel, and only a few in memory."""

import threading
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from translate.conversion.naming import VIDEO_OUTPUTS
from translate.errors import ImageError, MissingExtra, require
from translate.files import Finish, atomic_path, unwritable
from translate.inference.engine import Engine
from translate.machine import cores
from translate.pictures import animation
from translate.pictures.band_writer import RowWriter
from translate.pictures.decoder import Decoder
from translate.pictures.formats import ANIMATED
from translate.pictures.operations import BYTES_PER_DECODED_PIXEL, Picture, Pixels, to_bits
from translate.threads import Input, Output, Stopped, ordered_map

_ENCODER_BYTES = 150
"""Memory per pixel of a video result: an encoder looks ahead some 50 frames, and keeps reference frames."""


@dataclass(frozen=True)
class FrameProgress:
    """Progress of a video or an animation."""

    source: str
    """Name of the file for messages."""
    frame: int
    """Number of frames done."""
    frames: int
    """Total number of frames; may be off by a few if the video is damaged."""


OnFrame = Callable[[FrameProgress], None]


def still_note(data: Path | bytes, target: Path, decoder: Decoder) -> tuple[str, ...]:
    """A note for the user if only the first frame of an animation is used: one line or none."""
    count = decoder.count_frames(data)
    if count == 1 or target.suffix.lower() in ANIMATED:
        return ()
    kind = target.suffix[1:].upper()
    return (f"has {count} frames, but {kind} holds only one; use --format webp to keep all",)


@dataclass(frozen=True, kw_only=True)
class FrameOptions:
    """How to process the frames of a video or an animation."""

    workers: int | None = None
    """Number of frames to convert in parallel; None: one per core."""
    alone: bool = False
    """Whether there is nothing else to convert, so that an animation can use all workers. Videos always use all, and
    are converted one at a time."""
    stop: threading.Event = field(default_factory=threading.Event)
    """Set to abandon the work."""
    on_frame: OnFrame | None = None
    """Called after each frame, from the thread of the video."""


class FrameConverter:
    """Converts videos and animations. Thread-safe.

    `hold`: reserves memory (bytes) for the duration of a `with` block, waiting for it if necessary. `decoder`: what
    reads animations.
    """

    def __init__(
        self,
        engine: Engine,
        hold: Callable[[int], AbstractContextManager[None]],
        frames: FrameOptions,
        decoder: Decoder,
    ) -> None:
        self._engine, self._hold, self._frames, self._decoder = engine, hold, frames, decoder
        self._workers = frames.workers or cores()
        self._video_lock = threading.Lock()

    def convert(
        self,
        data: Path | bytes,
        target: Path,
        title: str,
        controls: Mapping[str, Any],
        stored: Mapping[str, Any],
        finish: Finish | None = None,
    ) -> tuple[str, ...] | None:
        """Convert a video or an animation; None if the file or the suffix of the result is for a still picture.

        Args:
            data: the file or its bytes.
            target: the result, written atomically.
            title: name of the file for messages.
            controls: keyword arguments of `Engine.apply`.
            stored: keyword arguments of `write_picture`.
            finish: see `atomic_path`.

        Returns:
            Notes for the user, one line each.

        Raises:
            ImageError: it cannot be read, converted or written.
            Stopped: the work was abandoned.
        """
        if target.suffix.lower() in VIDEO_OUTPUTS:
            with self._video_lock:
                return self._video(data, target, title, controls, stored, finish)
        if target.suffix.lower() not in ANIMATED or self._decoder.count_frames(data) == 1:
            return None
        return self._animation(data, target, title, controls, {**stored, "finish": finish})

    def _video(
        self,
        data: Path | bytes,
        target: Path,
        title: str,
        controls: Mapping[str, Any],
        stored: Mapping[str, Any],
        finish: Finish | None,
    ) -> tuple[str, ...]:
        self._check_stopped()
        try:
            require("video", "av")
        except MissingExtra as error:
            raise ImageError(f"{title}: a video; {error}") from None
        from translate.video.transcode import convert_video, survey

        video = survey(data, title)
        scale = self._engine.spec.scale
        workers, needed = self._reserve(video.height, video.width, self._workers)

        def change(rgb_HWC: Pixels) -> Pixels:
            return to_bits(self._engine.apply(Picture(rgb_HWC), **controls).rgb_HWC, 8)

        def map_frames(function: Callable[[Input], Output], frames: Iterable[Input], count: int) -> Generator[Output]:
            return self._map(function, frames, count, title, workers)

        encoder_bytes = video.height * video.width * scale**2 * _ENCODER_BYTES
        try:
            with self._hold(needed + encoder_bytes), atomic_path(target, finish) as path:
                notes = convert_video(
                    data,
                    path,
                    video,
                    change,
                    map_frames,
                    name=title,
                    scale=scale,
                    quality=stored["quality"],
                    metadata=stored["metadata"],
                    source_type=stored["source_type"],
                )
        except OSError as error:
            raise unwritable(target, error) from None
        return self._with_caution(notes, video.height, video.width)

    def _animation(
        self, data: Path | bytes, target: Path, title: str, controls: Mapping[str, Any], stored: Mapping[str, Any]
    ) -> tuple[str, ...]:
        found = self._decoder.survey(data, title)
        scale, timing = self._engine.spec.scale, found.timing
        if target.suffix.lower() == ".gif":
            timing = animation.hundredths(timing)
            stored = {**stored, "keep_profile": False}  # GIF cannot store a profile
        workers, needed = self._reserve(found.height, found.width, self._workers if self._frames.alone else 1)

        def change(picture: Picture) -> Picture:
            result = self._engine.apply(picture, **controls)
            return animation.with_alpha(result) if found.alpha else replace(result, alpha_HW=None)

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
                self._map(change, self._decoder.frames(data, title), len(timing.milliseconds), title, workers)
            ) as frames,
        ):
            for frame in frames:
                writer.write(frame)
        return self._with_caution((*found.facts.notes, *writer.lost), found.height, found.width)

    def _reserve(self, height: int, width: int, workers: int) -> tuple[int, int]:
        """How many of `workers` fit in memory, at least one, and how many bytes they need."""
        each = self._engine.work_bytes(height, width) + 2 * height * width * BYTES_PER_DECODED_PIXEL
        workers = max(1, min(workers, self._engine.memory_bytes // each))
        return workers, workers * each

    def _map(
        self, function: Callable[[Input], Output], items: Iterable[Input], count: int, title: str, workers: int
    ) -> Generator[Output]:
        with closing(ordered_map(function, items, workers)) as results:
            for number, result in enumerate(results, 1):
                self._check_stopped()
                yield result
                if self._frames.on_frame is not None:
                    self._frames.on_frame(FrameProgress(title, number, max(number, count)))

    def _check_stopped(self) -> None:
        if self._frames.stop.is_set():
            raise Stopped

    def _with_caution(self, notes: tuple[str, ...], height: int, width: int) -> tuple[str, ...]:
        caution = self._engine.caution(height, width)
        return (*notes, caution) if caution else notes
