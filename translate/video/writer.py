"""Writes a video: the encoder, and the streams that are copied.

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

from translate.pictures.encode import Metadata
from translate.pictures.picture import Pixels
from translate.video.colour import Colours


@dataclass(frozen=True)
class _Encoder:
    name: str
    worst: float
    """CRF for quality 0, the end of the scale."""
    step: float
    """Decrease of the CRF per quality step."""
    odd: bool = False
    """Whether sides may be odd in spite of chroma subsampling."""
    options: Mapping[str, str] = field(default_factory=dict[str, str])

    def options_of(self, quality: int) -> dict[str, str]:
        return {"crf": f"{self.worst - self.step * quality:.0f}", **self.options}


# The CRF decreases linearly with quality. The default of 92 is CRF 18 for H.264, which is nearly lossless to the eye;
# the encoder's own default, CRF 23, is quality 78.
_H264 = _Encoder("libx264", 51, 0.36)
_VP9 = _Encoder(
    "libvpx-vp9",
    63,
    0.44,
    odd=True,
    # Without these, it targets 200 kbit/s whatever the quality, and takes ten times as long.
    options={"b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"},
)
_AV1 = _Encoder("libsvtav1", 63, 0.44, options={"preset": "8"})

_ENCODERS = {".mp4": (_H264, _VP9, _AV1), ".mov": (_H264,), ".mkv": (_H264, _VP9, _AV1), ".webm": (_VP9, _AV1)}
"""Suffix -> encoders, best first; which are available depends on the build of FFmpeg."""

_FILE_TAGS = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration"}
"""Tags of a video that describe the file."""

_STREAM_TAGS = {"language", "title", "handler_name", "comment", "creation_time"}
"""Tags of a stream that stay valid in a copy; Matroska also stores sizes and bit rates as tags."""


class VideoWriter:
    """Writes a video, as a context manager: call `start`, then pass frames and packets as they come.

    Args:
        path: output file, written in place; the suffix determines the format.
        source: container from which other streams and tags are copied.
        stream: its video stream.
        quality: 1 to 100. CRF is 51 - 0.36 * quality with H.264 (92 is 18), 63 - 0.44 * quality with VP9 and AV1.
        metadata: which tags to keep; languages of streams are always kept.

    Raises:
        OSError: from all methods: FFmpeg failed or the file cannot be written.
    """

    def __init__(self, path: Path, source: Any, stream: Any, *, quality: int = 92, metadata: Metadata = "keep") -> None:
        self._path, self._source, self._stream = path, source, stream
        suffix = path.suffix.lower()
        known = [one for one in _ENCODERS[suffix] if one.name in av.codecs_available]
        if not known:
            names = " or ".join(one.name for one in _ENCODERS[suffix])
            raise OSError(f"this FFmpeg has no {names} encoder")
        self._encoder, self._quality, self._metadata = known[0], quality, metadata
        self._tags = _kept(source.metadata, metadata)
        self._copies: dict[int, Any] = {}
        self.notes: list[str] = []
        """Notes for the user, one line each."""

    def __enter__(self) -> Self:
        options: dict[str, str] = {}
        if self._path.suffix.lower() in (".mp4", ".mov"):
            # faststart moves the index to the front, so that a video plays before it is fully downloaded. Tag names
            # with dots, as phones write them, need another kind of tags, which not all players read.
            flags = "+faststart" + ("+use_metadata_tags" if any("." in name for name in self._tags) else "")
            options["movflags"] = flags
        with _refused():
            self._result: Any = av.open(str(self._path.absolute()), "w", options=options)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            # The file is discarded: unlink it first, since closing would spend time on moving the index to the front.
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

    def start(self, height: int, width: int, pixel_shape: Fraction, rate: Fraction, colours: Colours) -> None:
        """Set up the streams; for the parameters see `Video`. `height`, `width`: of the frames, before `even`."""
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
                f"{width} x {height} pixels became {out.width} x {out.height}: this format needs even sides"
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
            what = "audio was" if stream.type == "audio" else "subtitles were"
            codec = f" ({stream.codec_context.name})" if stream.codec_context else ""
            kind = self._path.suffix[1:].upper()
            hint = "" if kind == "MKV" else "; --format mkv supports more codecs"
            self.notes.append(f"its {what} dropped, because {kind} does not support the codec{codec}{hint}")
        else:
            copy.disposition = stream.disposition
            self._label(stream, copy)
            self._copies[stream.index] = copy

    def _label(self, source: Any, result: Any) -> None:
        kept = _STREAM_TAGS if self._metadata != "strip" else {"language"}
        result.metadata.update({name: value for name, value in source.metadata.items() if name in kept})

    @property
    def copied(self) -> list[Any]:
        """The streams of the source whose packets should be passed to `copy`."""
        return [self._source.streams[index] for index in self._copies]

    def copy(self, packet: Any) -> None:
        """Write a packet of a copied stream; the empty packet at the end is ignored."""
        if packet.size:
            packet.stream = self._copies[packet.stream.index]
            with _refused():
                self._result.mux(packet)

    def encode(self, frame: av.VideoFrame) -> None:
        """Write the next frame."""
        with _refused():
            self._result.mux(self._out.encode(frame))

    def even(self, rgb_HWC: Pixels) -> Pixels:
        """Repeat the last row or column if the encoder needs even sides."""
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
        if name not in _FILE_TAGS and not (metadata == "no-location" and "location" in name.lower())
    }


@contextmanager
def _refused() -> Generator[None]:
    """Raise FFmpeg's errors as OSError: encoders and the disk cause the same ones."""
    try:
        yield
    except FFmpegError as error:
        raise OSError(error.errno or 0, error.strerror or str(error)) from None
