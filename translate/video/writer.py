"""Writes a video: the encoder, and the streams that are copied.

Array names carry their shape: H height, W width, C channels.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import numpy as np
from av.codec.context import Flags
from av.error import ArgumentError, FFmpegError

from translate.errors import ImageError
from translate.pictures.encode import Metadata
from translate.pictures.picture import Pixels
from translate.video import extras
from translate.video.colour import Colours
from translate.video.encoders import Encoder, size_note
from translate.video.subtitles import SubtitleConverter, is_text, style_note


class VideoWriter:
    """Writes a video, as a context manager: call `start`, then `encode` and `copy` frames and packets as they come.

    The file is complete at the end of the `with` block; `missing` tells what it lacks.

    Args:
        path: output file, written in place; the suffix determines the format.
        source: container from which other streams and tags are copied.
        stream: its video stream.
        encoder: the result of `translate.video.encoders.choose_encoder`.
        name: name of the source in error messages.
        quality: 1 to 100. CRF is 51 - 0.36 * quality with H.264 (92 is 18), 63 - 0.44 * quality with VP9 and AV1.
        metadata: which tags to keep; languages of streams are always kept.
        source_type: address of the digital source type, which becomes a tag in MKV and WebM.

    Raises:
        ImageError: from all methods: the encoder or the format refuses the result.
        OSError: from all methods: the file cannot be written.
    """

    def __init__(
        self,
        path: Path,
        source: Any,
        stream: Any,
        encoder: Encoder,
        *,
        name: str,
        quality: int,
        metadata: Metadata,
        source_type: str,
    ) -> None:
        self._name = name
        self._path, self._source, self._stream = path, source, stream
        self._encoder, self._quality = encoder, quality
        self._metadata: Metadata = metadata
        self._suffix = path.suffix.lower()
        self._kind = self._suffix[1:].upper()
        self._tags = extras.file_tags(source.metadata, metadata)
        if source_type and self._suffix in (".mkv", ".webm"):
            self._tags[extras.SOURCE_TYPE] = source_type
        self._out: Any = None
        self._copies: dict[int, Any] = {}
        self._subtitles: dict[int, SubtitleConverter] = {}
        self._stream_tags: list[dict[str, str]] = []
        self.notes: list[str] = []
        """Notes for the user, one line each."""

    def __enter__(self) -> Self:
        cover = self._metadata != "strip" and any(map(extras.is_cover, self._source.streams))
        options = extras.mov_options(self._suffix, self._tags, cover)
        with self._refused():
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
            with self._refused():
                if error is None:
                    self._result.mux(self._out.encode(None))
                self._result.close()
        except (OSError, ImageError):
            if error is None:
                raise

    def start(
        self,
        height: int,
        width: int,
        pixel_shape: Fraction,
        rate: Fraction,
        colours: Colours,
        *,
        covers: Mapping[int, bytes],
    ) -> None:
        """Set up the streams and write the header, so that whatever the format refuses is known before any work.

        For the parameters see `Video`. `height`, `width`: of the frames, before `even`.
        """
        self._add_pictures(height, width, pixel_shape, rate, colours)
        self._result.metadata.update(self._tags)
        self._result.set_chapters(self._source.chapters() if self._metadata != "strip" else [])
        for stream in self._source.streams:
            if stream.type in ("audio", "subtitle"):
                self._add_copy(stream)
        self._add_attachments()
        pictures = [self._add_cover(index, data) for index, data in covers.items() if self._keeps_cover(data)]
        if lost := extras.other_data(self._source):
            self.notes.append(f"its data streams were dropped: {', '.join(lost)}")
        with self._refused():
            self._result.start_encoding()
            self._result.mux([packet for packet in pictures if packet is not None])

    def _add_pictures(self, height: int, width: int, pixel_shape: Fraction, rate: Fraction, colours: Colours) -> None:
        out: Any = self._result.add_stream(self._encoder.name, rate, self._encoder.options_of(self._quality))
        coder = out.codec_context
        out.height, out.width = self._encoder.sides(height, width)
        out.pix_fmt = self._encoder.pixel_format
        coder.sample_aspect_ratio = pixel_shape
        coder.time_base = out.time_base = self._stream.time_base
        coder.color_range, coder.colorspace = colours.range, colours.matrix
        coder.color_primaries, coder.color_trc = colours.primaries, colours.transfer
        coder.thread_type = "AUTO"
        coder.flags |= Flags.frame_duration
        self._out = out
        self.notes += size_note(self._suffix, self._encoder, height, width)
        self._label(self._stream, out)
        if self._metadata != "strip":
            self._set_time_code(out, float(rate))

    def _set_time_code(self, out: Any, rate: float) -> None:
        code, possible = extras.time_code(self._source, self._stream, rate)
        if code is None:
            return
        if possible:
            out.metadata["timecode"] = self._stream_tags[0]["timecode"] = code
        else:
            out.metadata.pop("timecode", None)
            self._stream_tags[0].pop("timecode", None)
            self.notes.append(f"its time code {code} was dropped, because it does not suit {rate:.4g} frames/s")

    def _add_copy(self, stream: Any) -> None:
        if stream.codec_context is not None and extras.can_hold(self._suffix, stream):
            copy: Any = self._result.add_stream_from_template(stream, opaque=True)
            copy.disposition = stream.disposition
            if stream.type == "audio" and (layout := extras.usual_layout(stream)):
                copy.codec_context.layout = layout  # without one, MP4 does not take sound that is not compressed
            self._label(stream, copy)
            self._copies[stream.index] = copy
            return
        if is_text(stream):
            converter = SubtitleConverter(stream, self._result, self._suffix)
            converter.stream.disposition = stream.disposition
            self._label(stream, converter.stream)
            self._subtitles[stream.index] = converter
            self.notes += style_note(stream, self._suffix)
            return
        what = "audio was" if stream.type == "audio" else "subtitles were"
        codec = f" ({stream.codec_context.name})" if stream.codec_context else ""
        more = "" if self._kind == "MKV" else "; --format mkv supports more codecs"
        self.notes.append(f"its {what} dropped, because {self._kind} does not support the codec{codec}{more}")

    def _add_attachments(self) -> None:
        """Copy attached files, such as the fonts of subtitles."""
        attachments = self._source.streams.attachments
        if self._suffix == ".mkv":
            for one in attachments:
                kind = one.mimetype or "application/octet-stream"
                self._result.add_attachment(one.name or "unnamed", kind, one.data or b"")
        elif attachments:
            names = ", ".join(one.name or "unnamed" for one in attachments)
            self.notes.append(f"its attachments were dropped, because {self._kind} cannot hold them: {names}")
            self.notes[-1] += extras.hint(self._suffix)

    def _keeps_cover(self, data: bytes) -> bool:
        if self._metadata == "no-location" and extras.may_tell_place(data):
            self.notes.append("its cover picture was dropped, because its metadata may contain a location")
            return False
        return self._metadata != "strip"

    def _add_cover(self, index: int, data: bytes) -> Any:
        """Add a cover picture: a file in MKV, a stream in MP4; returns the packet to write after the header, if any.

        Nothing is added if the format has no place for it.
        """
        stream = self._source.streams[index]
        found = extras.cover_type(stream)
        if found is None or self._suffix not in (".mkv", ".mp4"):
            why = f"because {self._kind} cannot hold it{extras.hint(self._suffix)}"
            self.notes.append(f"its cover picture was dropped, {why}")
            return None
        if self._suffix == ".mkv":
            self._result.add_attachment(*found, data)
            return None
        copy = self._result.add_stream_from_template(stream)
        copy.disposition = extras.COVER
        packet: Any = av.Packet(data)
        packet.stream, packet.pts, packet.dts, packet.is_keyframe = copy, 0, 0, True
        return packet

    def _label(self, source: Any, result: Any) -> None:
        tags = extras.stream_tags(source, self._metadata, self._suffix)
        result.metadata.update(tags)
        self._stream_tags.append(tags)

    @property
    def copied(self) -> list[Any]:
        """The streams of the source whose packets should be passed to `copy`."""
        return [self._source.streams[index] for index in (*self._copies, *self._subtitles)]

    def copy(self, packet: Any) -> None:
        """Write a packet of a copied stream; the empty packet at the end is ignored."""
        if not packet.size:
            return
        converter = self._subtitles.get(packet.stream.index)
        if converter is not None:
            packets = converter.convert(packet)
        else:
            packet.stream = self._copies[packet.stream.index]
            packets = [packet]
        with self._refused():
            self._result.mux(packets)

    def encode(self, frame: av.VideoFrame) -> None:
        """Write the next frame."""
        with self._refused():
            self._result.mux(self._out.encode(frame))

    def missing(self) -> list[str]:
        """Notes about what the result lacks; call it when the file is complete."""
        chapters = self._metadata != "strip"
        damaged = sum(converter.damaged for converter in self._subtitles.values())
        notes = [f"damaged subtitles: {damaged}; they were dropped"] if damaged else []
        return notes + extras.missing(self._path, self._source, self._tags, self._stream_tags, chapters)

    def even(self, rgb_HWC: Pixels) -> Pixels:
        """Repeat the last row or column if the encoder needs even sides."""
        height, width = rgb_HWC.shape[:2]
        even = self._encoder.sides(height, width)
        if even == (height, width):
            return rgb_HWC
        return np.pad(rgb_HWC, ((0, even[0] - height), (0, even[1] - width), (0, 0)), mode="edge")

    @property
    def pixel_format(self) -> str:
        """FFmpeg's name of the pixel format that `encode` takes."""
        return self._encoder.pixel_format

    @contextmanager
    def _refused(self) -> Generator[None]:
        """Raise FFmpeg's errors as ImageError, and those of the operating system, which it passes on, as OSError."""
        try:
            yield
        except FFmpegError as error:
            if isinstance(error, ArgumentError) or (error.errno or 0) >= _OWN_ERRORS:
                size = f", {self._out.width} x {self._out.height} pixels" if self._out else ""
                raise ImageError(
                    f"{self._name}: FFmpeg cannot write it as {self._kind} with {self._encoder.codec}{size} "
                    f"({error.strerror}); try another --format"
                ) from None
            raise OSError(error.errno or 0, error.strerror or str(error)) from None


_OWN_ERRORS = 1 << 24
"""FFmpeg's own error numbers are four characters; those of operating systems are smaller."""
