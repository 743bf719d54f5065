"""Video conversion with PyAV: frames are decoded, changed and encoded one by one; audio and subtitles are copied.

Two passes. The first (`survey`) only reads: it counts frames and checks that the file is complete before hours are
spent on it. The second (`convert_video`) holds only a few frames in memory, whatever the length.

Array names carry their shape: H height, W width, C channels.
"""

import threading
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from av.error import FFmpegError, InvalidDataError, NotImplementedError, PatchWelcomeError
from av.video.reformatter import VideoReformatter

from translate.errors import ImageError
from translate.pictures.decode import TURNS
from translate.pictures.operations import Metadata, Pixels
from translate.video.colour import Colours, from_rgb, to_rgb
from translate.video.encoders import choose_encoder
from translate.video.extras import is_cover
from translate.video.writer import VideoWriter

_DEMUXERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi"
"""FFmpeg's names of the accepted formats. Others, playlists above all, can make it open other files and hosts."""

_TOLERANCE_SECONDS = 0.5
"""A video may end this much earlier than its header says."""

_USUAL, _FASTEST = Fraction(25), 240
"""Frame rate of a video of one frame, and the highest that is believed without a second frame."""

_HDR = {16, 18}
"""Transfer functions for high dynamic range: PQ and HLG."""

_MOST_REORDERED = 16
"""Frames that may be stored between one and those that are shown before it (H.264, A.3.1)."""

MapFrames = Callable[[Callable[[Any], Any], Iterable[Any], int], Generator[Any]]
"""A parallel, ordered `map`; the integer is the expected number of frames."""


@dataclass(frozen=True)
class Video:
    """Properties of a video, as found by `survey`."""

    height: int
    width: int
    """Size of the upright frames in pixels."""
    orientation: int
    """How frames are stored: 1 to 8, as in EXIF."""
    frames: int
    """Number of frames; decoding a damaged file may give a few more or less."""
    pixel_shape: Fraction
    """Aspect ratio of a pixel, width over height, upright."""
    rate: Fraction
    """Average frame rate per second."""
    colours: Colours
    covers: Mapping[int, bytes] = field(repr=False)
    """Cover pictures: index of the stream -> the JPEG or PNG file."""
    notes: tuple[str, ...]


def survey(data: Path | bytes, name: str) -> Video:
    """Read a video from start to end, decoding only the first frame.

    Raises:
        ImageError: not a video, no video stream, or truncated; one line that begins with the name.
    """
    with _opened(data, name) as container:
        stream = _video_stream(container, name)
        first: av.VideoFrame | None = None
        times = _Times()
        covers: dict[int, bytes] = {}
        for packet in container.demux():
            if packet.size == 0:
                if first is None and packet.stream is stream:
                    first = next(iter(_decoded(packet)), None)
                continue
            if packet.is_corrupt:
                raise _truncated(name, times.end, container)
            if is_cover(packet.stream):
                covers.setdefault(packet.stream.index, bytes(packet))
                continue
            times.see(packet, packet.stream is stream)
            if packet.stream is stream and first is None:
                first = next(iter(_decoded(packet)), None)
        if first is None:
            raise ImageError(f"{name}: none of its frames can be decoded; replace it with a good copy")
        if container.duration and times.end < container.duration / av.time_base - _TOLERANCE_SECONDS:
            raise _truncated(name, times.end, container)
        return _properties(stream, first, times, covers)


@dataclass
class _Times:
    """What is learnt about time from the packets of a video."""

    frames: int = 0
    """Number of packets of the video stream."""
    end: float = 0.0
    """In seconds, of all streams."""
    _first: Fraction | None = None
    _last: Fraction | None = None

    def see(self, packet: Any, is_frame: bool) -> None:
        self.frames += is_frame
        if packet.pts is None:
            return
        start = packet.pts * packet.time_base
        self.end = max(self.end, float(start + (packet.duration or 0) * packet.time_base))
        if is_frame:
            self._first = start if self._first is None else min(start, self._first)
            self._last = start if self._last is None else max(start, self._last)

    def rate(self, stream: Any) -> Fraction:
        """Frames per second: as the header says, if that is near the truth.

        Recordings of browsers have no rate, and FFmpeg then takes the unit of their times, such as 1/1000 s, for the
        time between frames. Players and encoders would reckon with 1000 frames/s.
        """
        stated = stream.average_rate or stream.guessed_rate
        if self._first is None or self._last is None or self._last == self._first:
            return stated if stated and stated <= _FASTEST else _USUAL
        measured = (self.frames - 1) / (self._last - self._first)
        if stated and measured / 2.5 < stated < measured * 2.5:  # not 2: the packets may be fields
            return stated
        return measured.limit_denominator(1001) or Fraction(1, 1001)


def convert_video(
    data: Path | bytes,
    target: Path,
    video: Video,
    change: Callable[[Pixels], Pixels],
    map_frames: MapFrames,
    *,
    name: str,
    scale: int,
    quality: int = 92,
    metadata: Metadata = "keep",
    source_type: str = "",
) -> tuple[str, ...]:
    """Apply a function to every frame of a video.

    Timestamps, frame rate, pixel aspect ratio and colour tags are kept; frames are rotated upright. The result has 8
    bits and 4:2:0 chroma subsampling, as players expect. Audio, subtitles, tags, chapters, time code, cover pictures
    and attachments are copied if the output format supports them; the notes say what is lost.

    Args:
        data: the file or its bytes.
        target: a file that does not exist yet; the suffix determines the format, see `translate.video.encoders`.
        video: the result of `survey`.
        change: upright uint8 (H, W, 3) -> uint8 (H * scale, W * scale, 3); called from several threads.
        map_frames: applies a function to frames in parallel.
        name: name of the video in error messages.
        scale: output side length of `change` over its input side length.
        quality: 1 to 100.
        metadata: which of the titles, dates and locations to keep.
        source_type: see `VideoWriter`.

    Returns:
        Notes for the user, one line each.

    Raises:
        ImageError: no frame can be decoded, the frame size changes, or the format does not take the result, in
            particular its size; the latter is known before the first call of `change`.
        OSError: the file cannot be written.
    """
    counts = Counter[str]()
    height, width = video.height * scale, video.width * scale
    encoder = choose_encoder(target.suffix.lower(), height, width, name)
    with _opened(data, name) as source:
        stream = _video_stream(source, name)
        with VideoWriter(
            target, source, stream, encoder, name=name, quality=quality, metadata=metadata, source_type=source_type
        ) as writer:
            shape, rate, colours = video.pixel_shape, video.rate, video.colours
            writer.start(height, width, shape, rate, colours, covers=video.covers)
            converter = _FrameConverter(video, change, writer)
            packets = source.demux([stream, *writer.copied])
            frames = _frames(packets, stream, video, writer, counts, name)
            with closing(map_frames(converter.convert, frames, video.frames)) as converted:
                for frame in converted:
                    writer.encode(frame)
                    counts["written"] += 1
            if not counts["written"]:
                raise ImageError(f"{name}: none of its frames can be decoded; replace it with a good copy")
        notes = [*writer.notes, *writer.missing()]
    if counts["damaged"]:
        notes.append(f"damaged frames: {counts['damaged']}; check the result")
    return (*video.notes, *notes)


def _frames(
    packets: Iterable[Any], stream: Any, video: Video, writer: VideoWriter, counts: Counter[str], name: str
) -> Generator[av.VideoFrame]:
    """Yield the frames of a video; other packets go to the writer. Counts damaged frames in `counts`."""
    last = None
    avi = _AviTimes(stream) if stream.container.format.name == "avi" else None
    stored = (video.height, video.width) if video.orientation < 5 else (video.width, video.height)
    for packet in packets:
        if packet.stream is not stream:
            writer.copy(packet)
            continue
        if avi is not None:
            avi.see(packet)
        for frame in _decoded(packet, counts):
            if avi is not None:
                avi.set(frame)
            if (frame.height, frame.width) != stored:
                sizes = f"{stored[1]} x {stored[0]} to {frame.width} x {frame.height}"
                raise ImageError(f"{name}: the frame size changes from {sizes} pixels; split the video there")
            if frame.pts is None:  # AVI may lack timestamps, and other formats may repeat them
                frame.pts = 0 if last is None else last + max(1, frame.duration)
            elif last is not None:
                frame.pts = max(frame.pts, last + 1)
            last = frame.pts
            counts["damaged"] += frame.is_corrupt
            yield frame


class _AviTimes:
    """When the frames of an AVI file are shown.

    It says only in which order they are stored, one in each interval. What FFmpeg makes of that is late, or in that
    order, where frames are stored in another order than they are shown.
    """

    def __init__(self, stream: Any) -> None:
        stream.codec_context.copy_opaque = True
        self._number = 0
        self._waiting: dict[int, None] = {}
        """Numbers of the packets whose frames have not come yet, in order."""
        self._free: deque[int] = deque()
        """Times of the intervals without a frame, as many."""
        self._interlaced = False
        """Each interval may have half a frame then, and FFmpeg is believed."""

    def see(self, packet: Any) -> None:
        """Take note of a packet that is about to be decoded."""
        if packet.size and packet.dts is not None and not self._interlaced:
            packet.opaque = self._number
            self._waiting[self._number] = None
            self._free.append(packet.dts)
            self._number += 1

    def set(self, frame: av.VideoFrame) -> None:
        """Set the time of the next frame that is shown."""
        self._interlaced = self._interlaced or frame.interlaced_frame
        own: Any = frame.opaque
        if self._interlaced or own not in self._waiting:
            return
        while (oldest := next(iter(self._waiting))) < own - _MOST_REORDERED:  # it is damaged, and will not come
            del self._waiting[oldest]
            self._free.popleft()
        del self._waiting[own]
        frame.pts = self._free.popleft()


def _decoded(packet: Any, counts: Counter[str] | None = None) -> list[av.VideoFrame]:
    """The frames decoded from a packet; none if it is damaged."""
    try:
        return packet.decode()
    except (InvalidDataError, PatchWelcomeError, NotImplementedError):
        if counts is not None:
            counts["damaged"] += 1
        return []


@dataclass
class _FrameConverter:
    """Decoded frame -> frame to encode. Thread-safe."""

    video: Video
    change: Callable[[Pixels], Pixels]
    writer: VideoWriter
    _local: threading.local = field(default_factory=threading.local)

    def convert(self, frame: av.VideoFrame) -> av.VideoFrame:
        if not hasattr(self._local, "converters"):  # libswscale contexts are expensive to create and not thread-safe
            self._local.converters = VideoReformatter(), VideoReformatter()
        decode, encode = self._local.converters
        turn = TURNS.get(self.video.orientation)
        rgb_HWC = to_rgb(frame, decode)
        rgb_HWC = self.change(rgb_HWC if turn is None else np.ascontiguousarray(turn(rgb_HWC)))
        result = from_rgb(self.writer.even(rgb_HWC), self.video.colours, encode, self.writer.pixel_format)
        result.pts, result.time_base, result.duration = frame.pts, frame.time_base, frame.duration
        return result


@contextmanager
def _opened(data: Path | bytes, name: str) -> Generator[Any]:
    """Open the container of a video.

    Raises:
        ImageError: it is not a video, or FFmpeg fails to read it inside the block.
    """
    try:
        if not (data.stat().st_size if isinstance(data, Path) else data):
            raise ImageError(f"{name}: an empty file; replace it with a good copy")
        # The absolute path: FFmpeg would take a:b.mp4 for a URL.
        file = str(data.absolute()) if isinstance(data, Path) else BytesIO(data)
        options = {"format_whitelist": _DEMUXERS, "protocol_whitelist": "file"}
        container: Any = av.open(file, options=options, metadata_errors="replace")
    except (FFmpegError, OSError) as error:
        raise ImageError(
            f"{name}: damaged or not a video ({error.strerror}), expected MP4, MOV, MKV, WebM or AVI; "
            "replace it with a good copy"
        ) from None
    with container:
        try:
            yield container
        except FFmpegError as error:
            raise ImageError(f"{name}: damaged video ({error.strerror}); replace it with a good copy") from None


def _video_stream(container: Any, name: str) -> Any:
    """The video stream that players show."""
    stream: Any = container.streams.best("video")
    if stream is None or is_cover(stream):
        others = [one for one in container.streams.video if not is_cover(one)]
        if not others:
            raise ImageError(f"{name}: has no video stream; exclude it")
        stream = others[0]
    if stream.codec_context is None:
        raise ImageError(f"{name}: its video codec is not supported by this FFmpeg; convert it to another codec first")
    stream.thread_type = "AUTO"
    return stream


def _truncated(name: str, end: float, container: Any) -> ImageError:
    total = f" of {container.duration / av.time_base:.1f} s" if container.duration else ""
    return ImageError(
        f"{name}: truncated after {end:.1f} s{total}; copy it again, or keep the intact part with: "
        "ffmpeg -i damaged.mp4 -c copy repaired.mp4"
    )


def _properties(stream: Any, first: av.VideoFrame, times: _Times, covers: Mapping[int, bytes]) -> Video:
    orientation = _orientation(first)
    height, width = first.height, first.width
    shape = Fraction(stream.sample_aspect_ratio or 1)
    notes: list[str] = []
    if first.format.components[0].bits > 8:
        hdr = " and high dynamic range (HDR)" if first.color_trc in _HDR else ""
        notes.append(f"has {first.format.components[0].bits} bits per colour{hdr}, the result has 8")
    if len(first.format.components) == 4 or stream.metadata.get("alpha_mode") == "1":
        notes.append("its transparency was dropped")
    if first.interlaced_frame:
        notes.append("is interlaced: each frame mixes two moments; deinterlace it first for a better result")
    indices = [one.index for one in stream.container.streams.video if not is_cover(one)]
    if len(indices) > 1:
        number = indices.index(stream.index) + 1
        notes.append(f"has {len(indices)} video streams; only the main one, number {number}, was converted")
    if orientation >= 5:
        height, width, shape = width, height, 1 / shape
    rate = times.rate(stream)
    return Video(height, width, orientation, times.frames, shape, rate, Colours.of(first), covers, tuple(notes))


_ORIENTATIONS = {
    (1, 0, 0, 1): 1,
    (-1, 0, 0, 1): 2,
    (-1, 0, 0, -1): 3,
    (1, 0, 0, -1): 4,
    (0, 1, 1, 0): 5,
    (0, 1, -1, 0): 6,
    (0, -1, -1, 0): 7,
    (0, -1, 1, 0): 8,
}
"""Display matrix (x' = ax + cy, y' = bx + dy, as (a, b, c, d), y downwards) -> EXIF orientation."""


def _orientation(frame: av.VideoFrame) -> int:
    """EXIF orientation from a display matrix; anything but quarter turns and mirroring is ignored."""
    found: Any = cast("Any", frame.side_data).get("DISPLAYMATRIX")
    if found is None:
        return 1
    a, b, _, c, d = np.sign(np.frombuffer(bytes(found), np.int32)[:5]).tolist()
    return _ORIENTATIONS.get((a, b, c, d), 1)
