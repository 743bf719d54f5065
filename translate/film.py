"""Films through PyAV: pictures are decoded, changed and encoded one by one; sound and subtitles are copied as they are.

Two passes. The first (`survey`) only reads: it counts frames and finds out whether the file is whole, before hours go
into it. The second (`convert_film`) holds a few frames whatever the length.

Array names carry their shape: H height, W width, C channels.
"""

import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from av.error import FFmpegError, InvalidDataError, NotImplementedError, PatchWelcomeError
from av.stream import Disposition
from av.video.reformatter import VideoReformatter

from translate.codecs import TURNS
from translate.errors import ImageError
from translate.film_colours import Colours, from_rgb, to_rgb
from translate.film_writer import FilmWriter
from translate.images import Metadata, Pixels

_DEMUXERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi"
"""FFmpeg's names of the formats that are read. Others, play lists above all, can make it open other files and hosts."""

_SHORT_SECONDS = 0.5
"""A film may end so much before its header says."""

_HDR = {16, 18}
"""Transfer functions of high dynamic range: PQ and HLG."""

Through = Callable[[Callable[[Any], Any], Iterable[Any], int], Generator[Any]]
"""`map` with several threads, in order; the number is that of the frames that are expected."""


@dataclass(frozen=True)
class Film:
    """What `survey` finds."""

    height: int
    width: int
    """Of the frames in pixels, upright."""
    orientation: int
    """1 to 8, as EXIF has it: how frames are stored."""
    frames: int
    """How many; a few more or less may come out of a damaged file."""
    pixel_shape: Fraction
    """Width over height of a pixel as it is shown, upright."""
    rate: Fraction
    """Frames a second, on average."""
    colours: Colours
    notes: tuple[str, ...]


def survey(data: Path | bytes, name: str) -> Film:
    """Read a film from its beginning to its end, decoding only the first frame.

    Raises:
        ImageError: no film, one without pictures, or one that is cut off; one line that begins with the name.
    """
    with _opened(data, name) as container:
        stream = _pictures(container, name)
        first: av.VideoFrame | None = None
        frames, end = 0, 0.0
        for packet in container.demux():
            if packet.size == 0:
                if first is None and packet.stream is stream:
                    first = next(iter(_decoded(packet)), None)
                continue
            if packet.is_corrupt:
                raise _cut_off(name, end, container)
            if packet.pts is not None:
                end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
            if packet.stream is stream:
                frames += 1
                if first is None:
                    first = next(iter(_decoded(packet)), None)
        if first is None:
            raise ImageError(f"{name}: no frame of it can be decoded; replace it with a good copy")
        if container.duration and end < container.duration / av.time_base - _SHORT_SECONDS:
            raise _cut_off(name, end, container)
        return _film(stream, first, frames)


def convert_film(
    data: Path | bytes,
    target: Path,
    film: Film,
    change: Callable[[Pixels], Pixels],
    through: Through,
    *,
    name: str,
    scale: int,
    quality: int = 92,
    metadata: Metadata = "keep",
) -> tuple[str, ...]:
    """Change every frame of a film.

    Times, frame rate, shape of pixels and colour tags stay; frames are turned upright. The result has 8 bits and a
    quarter of the colour resolution (4:2:0), as players expect. Sound and subtitles are copied where the format of the
    result takes them.

    Args:
        data: the file or its bytes.
        target: a file that is not there yet; its suffix says the format, see `translate.film_writer`.
        film: what `survey` has found.
        change: upright uint8 (H, W, 3) -> uint8 (H * scale, W * scale, 3); called in threads.
        through: how frames go through `change`.
        name: what errors call the film.
        scale: of `change`.
        quality: 1 to 100.
        metadata: what of titles, dates and places goes along.

    Returns:
        What the user should know, a line each.

    Raises:
        ImageError: no frame can be decoded, frames change their size, or FFmpeg cannot write this.
        OSError: the disk refuses.
    """
    counts = Counter[str]()
    with _opened(data, name) as source:
        stream = _pictures(source, name)
        writer = FilmWriter(target, source, stream, quality=quality, metadata=metadata)
        with writer:
            writer.begin(film.height * scale, film.width * scale, film.pixel_shape, film.rate, film.colours)
            machine = _Machine(film, change, writer)
            packets = source.demux([stream, *writer.copied])
            frames = _frames(packets, stream, film, writer, counts, name)
            with closing(through(machine.frame, frames, film.frames)) as made:
                for frame in made:
                    writer.encode(frame)
                    counts["written"] += 1
            if not counts["written"]:
                raise ImageError(f"{name}: no frame of it can be decoded; replace it with a good copy")
    notes = list(writer.notes)
    if counts["damaged"]:
        notes.append(f"damaged frames in it: {counts['damaged']}; look at the result")
    return (*film.notes, *notes)


def _frames(
    packets: Iterable[Any], stream: Any, film: Film, writer: FilmWriter, counts: Counter[str], name: str
) -> Generator[av.VideoFrame]:
    """The frames of a film; what is not pictures goes to the writer. `counts` gets the damaged ones."""
    last = None
    stored = (film.height, film.width) if film.orientation < 5 else (film.width, film.height)
    for packet in packets:
        if packet.stream is not stream:
            writer.copy(packet)
            continue
        for frame in _decoded(packet, counts):
            if (frame.height, frame.width) != stored:
                sizes = f"{stored[1]} x {stored[0]} to {frame.width} x {frame.height}"
                raise ImageError(f"{name}: its frames change from {sizes} pixels; cut it in two there")
            if frame.pts is None:  # AVI may lack times, and others have some twice
                frame.pts = 0 if last is None else last + max(1, frame.duration)
            elif last is not None:
                frame.pts = max(frame.pts, last + 1)
            last = frame.pts
            counts["damaged"] += frame.is_corrupt
            yield frame


def _decoded(packet: Any, counts: Counter[str] | None = None) -> list[av.VideoFrame]:
    """The frames that come out when a packet is put in; none of a damaged one."""
    try:
        return packet.decode()
    except (InvalidDataError, PatchWelcomeError, NotImplementedError):
        if counts is not None:
            counts["damaged"] += 1
        return []


@dataclass
class _Machine:
    """Decoded frame -> frame to encode; safe in threads."""

    film: Film
    change: Callable[[Pixels], Pixels]
    writer: FilmWriter
    _local: threading.local = field(default_factory=threading.local)

    def frame(self, frame: av.VideoFrame) -> av.VideoFrame:
        if not hasattr(self._local, "converters"):  # libswscale's tables are costly to make and not safe in threads
            self._local.converters = VideoReformatter(), VideoReformatter()
        decode, encode = self._local.converters
        turn = TURNS.get(self.film.orientation)
        rgb_HWC = to_rgb(frame, decode)
        rgb_HWC = self.change(rgb_HWC if turn is None else np.ascontiguousarray(turn(rgb_HWC)))
        made = from_rgb(self.writer.even(rgb_HWC), self.film.colours, encode)
        made.pts, made.time_base, made.duration = frame.pts, frame.time_base, frame.duration
        return made


@contextmanager
def _opened(data: Path | bytes, name: str) -> Generator[Any]:
    """The container of a film.

    Raises:
        ImageError: it is none, or FFmpeg says inside the block that it cannot be read.
    """
    try:
        if not (data.stat().st_size if isinstance(data, Path) else data):
            raise ImageError(f"{name}: an empty file; replace it with a good copy")
        # By its whole path: FFmpeg takes a:b.mp4 for an address.
        file = str(data.absolute()) if isinstance(data, Path) else BytesIO(data)
        options = {"format_whitelist": _DEMUXERS, "protocol_whitelist": "file"}
        container: Any = av.open(file, options=options, metadata_errors="replace")
    except (FFmpegError, OSError) as error:
        raise ImageError(
            f"{name}: damaged or no film ({error.strerror}), expected MP4, MOV, MKV, WebM or AVI; "
            "replace it with a good copy"
        ) from None
    with container:
        try:
            yield container
        except FFmpegError as error:
            raise ImageError(f"{name}: damaged film ({error.strerror}); replace it with a good copy") from None


def _pictures(container: Any, name: str) -> Any:
    """The stream of pictures that players show."""
    stream: Any = container.streams.best("video")
    if stream is None or stream.disposition & _COVER:
        raise ImageError(f"{name}: a film without pictures; leave it out")
    if stream.codec_context is None:
        raise ImageError(f"{name}: its pictures are stored in a way that FFmpeg here does not know; convert it first")
    stream.thread_type = "AUTO"
    return stream


def _cut_off(name: str, end: float, container: Any) -> ImageError:
    whole = f" of {container.duration / av.time_base:.1f} s" if container.duration else ""
    return ImageError(
        f"{name}: cut off after {end:.1f} s{whole}; copy it again, or keep what is there with: "
        "ffmpeg -i damaged.mp4 -c copy repaired.mp4"
    )


def _film(stream: Any, first: av.VideoFrame, frames: int) -> Film:
    orientation = _orientation(first)
    height, width = first.height, first.width
    shape = Fraction(stream.sample_aspect_ratio or 1)
    notes: list[str] = []
    if first.format.components[0].bits > 8:
        light = " and bright light (HDR)" if first.color_trc in _HDR else ""
        notes.append(f"has {first.format.components[0].bits} bits a colour{light}, the result has 8")
    if len(first.format.components) == 4 or stream.metadata.get("alpha_mode") == "1":
        notes.append("its transparency was left out")
    if first.interlaced_frame:
        notes.append("is interlaced: each frame mixes two moments; deinterlace it first for a better result")
    if len([one for one in stream.container.streams.video if not one.disposition & _COVER]) > 1:
        notes.append("has more than one stream of pictures; only the first was converted")
    if orientation >= 5:
        height, width, shape = width, height, 1 / shape
    rate = stream.average_rate or stream.guessed_rate or Fraction(25)
    return Film(height, width, orientation, frames, shape, rate, Colours.of(first), tuple(notes))


_COVER = Disposition.attached_pic

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
"""Display matrix (x' = ax + cy, y' = bx + dy, as (a, b, c, d), y downwards) -> EXIF's orientation."""


def _orientation(frame: av.VideoFrame) -> int:
    """How a frame is stored, by its display matrix; only quarter turns and mirrors are known, others are left."""
    found: Any = cast("Any", frame.side_data).get("DISPLAYMATRIX")
    if found is None:
        return 1
    a, b, _, c, d = np.sign(np.frombuffer(bytes(found), np.int32)[:5]).tolist()
    return _ORIENTATIONS.get((a, b, c, d), 1)
