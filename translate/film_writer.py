"""A film that is being written: its encoder, and the streams that are copied into it.

Array names carry their shape: H height, W width, C channels.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import numpy as np
from av.codec.context import Flags
from av.error import FFmpegError

from translate.encoding import Metadata
from translate.film_colours import Colours
from translate.picture import Pixels


@dataclass(frozen=True)
class _Encoder:
    name: str
    worst: float
    """CRF of quality 0; the scale ends there."""
    step: float
    """By which CRF falls with quality."""
    odd: bool = False
    """Whether sides may be odd though colours have half of them."""
    options: Mapping[str, str] = field(default_factory=dict[str, str])

    def options_of(self, quality: int) -> dict[str, str]:
        return {"crf": f"{self.worst - self.step * quality:.0f}", **self.options}


# CRF falls with quality in a straight line. 92, the default, is 18 of H.264, where a loss is hardly seen; its encoder's
# own 23 is 78.
_H264 = _Encoder("libx264", 51, 0.36)
_VP9 = _Encoder(
    "libvpx-vp9",
    63,
    0.44,
    odd=True,
    # Without these it keeps to 200 kbit/s whatever the quality, and takes ten times as long.
    options={"b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"},
)
_AV1 = _Encoder("libsvtav1", 63, 0.44, options={"preset": "8"})

_ENCODERS = {".mp4": (_H264, _VP9, _AV1), ".mov": (_H264,), ".mkv": (_H264, _VP9, _AV1), ".webm": (_VP9, _AV1)}
"""Suffix -> encoders, the best first; which there are depends on how FFmpeg was built."""

_OF_FILES = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration"}
"""Tags of a film that are about the file."""

_OF_STREAMS = {"language", "title", "handler_name", "comment", "creation_time"}
"""Tags of a stream that still hold when it is copied; Matroska has sizes and bit rates there too."""


class FilmWriter:
    """A film, to be used in a `with` block: `begin`, then frames and packets as they come.

    Args:
        path: where it is written, as it comes; its suffix says the format.
        source: what other streams and tags come from.
        stream: its pictures.
        quality: 1 to 100. CRF is 51 - 0.36 * quality with H.264 (92 is 18), 63 - 0.44 * quality with VP9 and AV1.
        metadata: what of the tags goes along; languages of streams always do.

    Raises:
        OSError: from all methods: FFmpeg or the disk refuses.
    """

    def __init__(self, path: Path, source: Any, stream: Any, *, quality: int = 92, metadata: Metadata = "keep") -> None:
        self._path, self._source, self._stream = path, source, stream
        suffix = path.suffix.lower()
        known = [one for one in _ENCODERS[suffix] if one.name in av.codecs_available]
        if not known:
            names = " or ".join(one.name for one in _ENCODERS[suffix])
            raise OSError(f"FFmpeg here has no {names}")
        self._encoder, self._quality, self._metadata = known[0], quality, metadata
        self._tags = _kept(source.metadata, metadata)
        self._copies: dict[int, Any] = {}
        self.notes: list[str] = []
        """What the user should know, a line each."""

    def __enter__(self) -> Self:
        options: dict[str, str] = {}
        if self._path.suffix.lower() in (".mp4", ".mov"):
            # What is at the end by itself stands in front, so that a film begins before all of it is there. Names with
            # dots, as telephones write them, need another kind of tags, which not all players read.
            flags = "+faststart" + ("+use_metadata_tags" if any("." in name for name in self._tags) else "")
            options["movflags"] = flags
        with _refused():
            self._result: Any = av.open(str(self._path.absolute()), "w", options=options)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            # It is thrown away: what closing would otherwise move to the front of it may take long.
            with suppress(OSError):
                self._path.unlink()
        try:
            with _refused():
                if error is None:
                    self._result.mux(self._out.encode(None))
                self._result.close()
        except OSError:
            if error is None:
                raise

    def begin(self, height: int, width: int, pixel_shape: Fraction, rate: Fraction, colours: Colours) -> None:
        """Say what is to come; see `Film`. `height`, `width`: of the frames, before `even`."""
        out: Any = self._result.add_stream(self._encoder.name, rate, self._encoder.options_of(self._quality))
        coder = out.codec_context
        even = self._encoder.odd
        out.width, out.height = (side if even else side + side % 2 for side in (width, height))
        out.pix_fmt = "yuv420p"
        coder.sample_aspect_ratio = pixel_shape
        coder.time_base = out.time_base = self._stream.time_base
        coder.color_range, coder.colorspace = colours.range, colours.matrix
        coder.color_primaries, coder.color_trc = colours.primaries, colours.transfer
        coder.thread_type = "AUTO"
        coder.flags |= Flags.frame_duration
        if (out.width, out.height) != (width, height):
            self.notes.append(
                f"{width} x {height} pixels became {out.width} x {out.height}, since sides must be even in this format"
            )
        self._out = out
        self._label(self._stream, out)
        self._result.metadata.update(self._tags)
        self._result.set_chapters(self._source.chapters() if self._metadata != "strip" else [])
        for stream in self._source.streams:
            if stream.type in ("audio", "subtitle"):
                self._add_copy(stream)

    def _add_copy(self, stream: Any) -> None:
        try:
            if stream.codec_context is None:
                raise ValueError("unknown codec")
            copy: Any = self._result.add_stream_from_template(stream, opaque=True)
        except ValueError:
            what = "sound was" if stream.type == "audio" else "subtitles were"
            codec = f" ({stream.codec_context.name})" if stream.codec_context else ""
            kind = self._path.suffix[1:].upper()
            hint = "" if kind == "MKV" else "; --format mkv holds more kinds"
            self.notes.append(f"its {what} left out, since {kind} does not hold that kind{codec}{hint}")
        else:
            copy.disposition = stream.disposition
            self._label(stream, copy)
            self._copies[stream.index] = copy

    def _label(self, source: Any, result: Any) -> None:
        kept = _OF_STREAMS if self._metadata != "strip" else {"language"}
        result.metadata.update({name: value for name, value in source.metadata.items() if name in kept})

    @property
    def copied(self) -> list[Any]:
        """The streams of the source whose packets `copy` wants."""
        return [self._source.streams[index] for index in self._copies]

    def copy(self, packet: Any) -> None:
        """Write a packet of one of the streams that are copied; the empty one at the end is passed over."""
        if packet.size:
            packet.stream = self._copies[packet.stream.index]
            with _refused():
                self._result.mux(packet)

    def encode(self, frame: av.VideoFrame) -> None:
        """Write the next frame."""
        with _refused():
            self._result.mux(self._out.encode(frame))

    def even(self, rgb_HWC: Pixels) -> Pixels:
        """Repeat the last row and column where the encoder wants even sides."""
        height, width = rgb_HWC.shape[:2]
        if self._encoder.odd or not (height % 2 or width % 2):
            return rgb_HWC
        return np.pad(rgb_HWC, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def _kept(tags: Mapping[str, str], metadata: Metadata) -> dict[str, str]:
    if metadata == "strip":
        return {}
    return {
        name: value
        for name, value in tags.items()
        if name not in _OF_FILES and not (metadata == "no-location" and "location" in name.lower())
    }


@contextmanager
def _refused() -> Generator[None]:
    """FFmpeg's errors as OSError: encoders and the disk raise the same ones."""
    try:
        yield
    except FFmpegError as error:
        raise OSError(error.errno or 0, error.strerror or str(error)) from None
