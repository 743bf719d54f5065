"""A picture file written row by row, by libvips in a thread of its own.

libvips pulls: its writers ask for pixels. Ours are pushed, so they go as an unpacked PNG (with everything that is to
stand beside the pixels) through a short queue, from which libvips reads a PNG that never ends up on the disk.

Array names carry their shape: H height, W width, C channels.
"""

import os
import queue
import struct
import threading
import zlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal, Self

import numpy as np

from translate.errors import ImageError, message_of
from translate.files import FULL, Finish, atomic_path, unwritable
from translate.pictures.band_reader import Format
from translate.pictures.encode import Metadata, facts_for, lost_with_location, with_jfif_density, with_source_type
from translate.pictures.formats import ANIMATED, BY_BAND, FORMATS, SIXTEEN_BITS, PictureFormat, usual_suffixes
from translate.pictures.icc import from_srgb, srgb_profile
from translate.pictures.libvips import tiff_options, vips
from translate.pictures.metadata import exif as exif_tags
from translate.pictures.metadata import iptc as iptc_records
from translate.pictures.metadata import kept
from translate.pictures.metadata.facts import Density, Facts
from translate.pictures.metadata.png import SIGNATURE, chunk, complete, with_facts
from translate.pictures.picture import Picture, Pixels, flatten, to_bits

_JFIF_HEAD = 20
"""Bytes at the beginning of a JPEG file in which libvips says the density."""
_PIECE_BYTES = 4 << 20
_WAIT = 0.2
_STAND_IN, _LONGEST = 100, (1 << 24) - 1
"""Milliseconds; the most that a frame of WebP can be shown."""


@dataclass(frozen=True)
class Timing:
    """When the frames of an animation are shown."""

    milliseconds: tuple[int, ...]
    """How long each is shown; GIF counts in hundredths of a second."""
    plays: int
    """How often it is shown; 0: for ever."""


_HELD: dict[Format, tuple[str, ...]] = {
    "jpeg": (kept.EXIF, kept.XMP, kept.IPTC, kept.RESOLUTION),
    "tiff": (kept.XMP, kept.IPTC, kept.RESOLUTION),
}
"""What libvips writes, where that is less than the format holds."""
_IPTC_FIELDS = {"jpeg": ("iptc-data", 0), "tiff": ("photoshop-data", len(iptc_records.PHOTOSHOP))}
"""Field of libvips that it writes IPTC from, and from which byte of a JPEG segment on. Its own one of TIFF is cut."""
_UNKNOWN_DENSITY = 72 / 25.4
"""What EXIF is to say then (EXIF 2.32, 4.6.5), in pixels per millimetre; libvips would write 1."""


class RowWriter:
    """A file that appears whole at the end of the `with` block, or not at all if that ends in an error.

    For `quality`, `metadata`, `keep_profile` and `source_type` see `translate.pictures.encode.encode`.

    Args:
        path: its suffix says the format.
        height, width: of the whole picture.
        alpha: whether bands will have it; JPEG lays them on white.
        bits: of the bands; more than 8 stay in PNG and TIFF only.
        facts: its profile and metadata; of its pixels nothing is used.
        timing: of an animation, whose frames come below one another and are `height` high each.
        finish: see `translate.files.atomic_path`.

    Raises:
        ImageError: a format that cannot be written row by row, or that does not hold so large a picture; from `write`
            and at the end also whatever the disk says.
    """

    def __init__(
        self,
        path: Path,
        height: int,
        width: int,
        *,
        alpha: bool,
        bits: Literal[8, 16],
        facts: Picture,
        quality: int = 92,
        metadata: Metadata = "keep",
        keep_profile: bool = False,
        source_type: str = "",
        timing: Timing | None = None,
        finish: Finish | None = None,
    ) -> None:
        self._format = check_target(path, height, width, BY_BAND if timing is None else ANIMATED)
        self._timing, self._finish = timing, finish
        self._path, self._height, self._width = path, height, width
        self._bits: Literal[8, 16] = bits if path.suffix.lower() in SIXTEEN_BITS else 8
        self._channels = 4 if alpha and self._format != "jpeg" else 3
        self._profile = facts.icc if keep_profile else None
        if self._profile and from_srgb(np.zeros((1, 1, 3), np.uint8), self._profile) is None:
            self._profile = None
        icc = self._profile or (srgb_profile() if facts.icc else None)
        wanted = facts_for(facts, height, width, metadata, icc)
        name = (BY_BAND if timing is None else ANIMATED)[path.suffix.lower()].name
        self.lost = (
            *lost_with_location(facts, wanted, metadata),
            *kept.lost(wanted, name, _HELD.get(self._format)),
        )
        """Lines on the metadata that the file does not hold, see `translate.pictures.encode.lost`."""
        self._facts = _fitting(with_source_type(wanted, source_type), self._format)
        # Without "keep" libvips makes up EXIF for files that have none.
        keep = vips().ForeignKeep
        iptc = keep.IPTC | keep.OTHER  # TIFF's is among Photoshop's fields
        flags = {keep.EXIF: self._facts.exif, keep.XMP: self._facts.xmp, iptc: self._facts.iptc, keep.ICC: icc}
        size = height * width * self._channels * self._bits // 8
        self._options = {"keep": sum(flag for flag, fact in flags.items() if fact)}
        self._options |= _options(self._format, quality, size)
        self._pieces: queue.Queue[bytes] = queue.Queue(2)
        self._rest = memoryview(b"")
        self._packer = zlib.compressobj(0)
        self._ended = threading.Event()
        self._error: Exception | None = None
        self._stack = ExitStack()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        try:
            temporary = self._stack.enter_context(atomic_path(self._path, self._finish))
        except OSError as error:
            raise self._unwritable(error) from None
        self._thread = threading.Thread(target=self._save, args=(temporary,), daemon=True)
        self._thread.start()
        self._put(self._head())
        return self

    def write(self, band: Picture) -> None:
        """Write the next rows."""
        rgb_HWC = band.rgb_HWC if self._channels == 4 else flatten(band) if band.alpha_HW is not None else band.rgb_HWC
        rgb_HWC = to_bits(rgb_HWC, self._bits)
        if self._profile is not None:
            mapped_HWC = from_srgb(rgb_HWC, self._profile)
            assert mapped_HWC is not None
            rgb_HWC = mapped_HWC
        alpha_HW = None
        if self._channels == 4:
            assert band.alpha_HW is not None
            alpha_HW = to_bits(band.alpha_HW, self._bits)
        count = max(1, _PIECE_BYTES // (self._width * self._channels * self._bits // 8))
        for top in range(0, len(rgb_HWC), count):
            part_HW = None if alpha_HW is None else alpha_HW[top : top + count]
            rows_HWC = Picture(rgb_HWC[top : top + count], part_HW).to_array()
            packed = self._packer.compress(_scanlines(rows_HWC))
            if packed:
                self._put(chunk(b"IDAT", packed))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._put(chunk(b"IDAT", self._packer.flush()) + chunk(b"IEND", b""))
                self._put(b"")
                self._wait()
        except BaseException as late:
            self._close(late)
            raise
        self._close(error)

    def _close(self, error: BaseException | None) -> None:
        """Stop the thread, and keep the file or throw it away."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        try:
            self._stack.__exit__(None if error is None else type(error), error, None)
        except OSError as found:
            raise self._unwritable(found) from None

    def _wait(self) -> None:
        assert self._thread is not None
        while self._thread.is_alive():  # in short waits: without a timeout Windows would not see Ctrl-C
            self._thread.join(_WAIT)
        if self._error is not None:
            raise self._unwritable(self._error) from None

    def _put(self, piece: bytes) -> None:
        while True:
            try:
                self._pieces.put(piece, timeout=_WAIT)
                return
            except queue.Full:
                if self._thread is None or not self._thread.is_alive():
                    self._wait()
                    return  # all rows have been taken, and libvips does not care how the file ends

    def _get(self, size: int) -> bytes | memoryview:
        """At most `size` bytes for libvips; none of them: the end, or there will be no more."""
        while not self._rest and not self._ended.is_set():
            try:
                piece = self._pieces.get(timeout=_WAIT)
            except queue.Empty:
                continue
            if not piece:
                self._ended.set()
            self._rest = memoryview(piece)
        found, self._rest = self._rest[:size], self._rest[size:]
        return found

    def _save(self, temporary: Path) -> None:
        try:
            source = vips().SourceCustom()
            source.on_read(self._get)
            image = vips().Image.pngload_source(source, access="sequential", fail_on="error")
            if self._timing is not None:
                image = image.copy()
                image.set_type(vips().GValue.gint_type, "page-height", self._height)
                image.set_type(vips().GValue.gint_type, "loop", self._timing.plays)
                delays = self._timing.milliseconds
                if self._format == "webp":  # libvips takes 10 ms and less for 100; `_retime` writes the right ones
                    delays = [_STAND_IN] * len(delays)
                image.set_type(vips().GValue.array_int_type, "delay", delays)
            if self._dense is None:
                image = image.copy(xres=_UNKNOWN_DENSITY, yres=_UNKNOWN_DENSITY)
            if self._facts.iptc and self._format in _IPTC_FIELDS:
                image = image.copy()
                data = iptc_records.PHOTOSHOP + iptc_records.wrapped(self._facts.iptc)
                field, start = _IPTC_FIELDS[self._format]
                image.set_type(vips().GValue.blob_type, field, data[start:])
            getattr(image, f"{self._format}save")(os.fsencode(temporary), **self._options)
            self._complete(temporary)
        except OSError as error:
            self._error = error
        except vips().Error as error:
            self._error = error

    def _complete(self, temporary: Path) -> None:
        """Put into the file what libvips does not write."""
        with temporary.open("r+b") as file:
            if self._format == "png":
                complete(file, self._facts)
            elif self._format == "jpeg":
                head = with_jfif_density(file.read(_JFIF_HEAD), self._facts)
                file.seek(0)
                file.write(head)
            elif self._timing is not None and self._format == "webp":
                _retime(file, self._timing.milliseconds)

    @property
    def _dense(self) -> Density | None:
        density = self._facts.density
        return density if density is not None and density.absolute else None

    def _head(self) -> bytes:
        kind = 6 if self._channels == 4 else 2
        rows = self._height * (1 if self._timing is None else len(self._timing.milliseconds))
        header = struct.pack(">IIBBBBB", self._width, rows, self._bits, kind, 0, 0, 0)
        return with_facts(
            SIGNATURE + chunk(b"IHDR", header), replace(self._facts, density=self._dense, iptc=None, texts=())
        )

    def _unwritable(self, error: Exception) -> ImageError:
        if isinstance(error, OSError):
            return unwritable(self._path, error)
        reason = message_of(error, most=200)
        return unwritable(self._path, OSError(next((code for code in FULL if os.strerror(code) in reason), 0), reason))


def check_target(path: Path, height: int, width: int, known: Mapping[str, PictureFormat] = BY_BAND) -> Format:
    """Return the format of a file that is to hold so large a picture.

    Raises:
        ImageError: it cannot be written row by row, or does not hold it.
    """
    suffix = path.suffix.lower()
    if suffix not in known:
        raise ImageError(
            f"{path}: too large to be encoded at once, and {suffix or 'a file without suffix'} cannot be written "
            f"row by row; use {usual_suffixes(one for one in FORMATS if one.by_band)}"
        )
    longest = known[suffix].longest_side
    if max(height, width) > longest:
        raise ImageError(
            f"{path}: the result has {width} x {height} pixels, {suffix} holds at most {longest} a side; "
            "write .png or .tif"
        )
    return known[suffix].vips_name


def _options(kind: Format, quality: int, size: int) -> dict[str, Any]:
    """Options of libvips' writers, as `translate.pictures.encode` chooses them; `size`: bytes of the pixels."""
    if kind == "png":
        return {"compression": 2, "filter": "all"}
    if kind == "tiff":
        return tiff_options(size)
    if kind == "gif":
        return {"keep_duplicate_frames": True}  # or else it would forget how long they are shown
    return {"Q": quality, "subsample_mode": "off"} if kind == "jpeg" else {"Q": quality}


def _fitting(facts: Facts, kind: Format) -> Facts:
    """The facts without what is longer than a segment of JPEG; WebP has its density in EXIF."""
    if kind == "webp" and facts.density is not None:
        return replace(facts, exif=exif_tags.with_density(facts.exif, facts.density))
    if kind != "jpeg":
        return facts
    fitting = {
        name: data
        for name, kind in (("exif", kept.EXIF), ("xmp", kept.XMP), ("iptc", kept.IPTC))
        if (data := getattr(facts, name)) and kept.fits_segment(kind, data)
    }
    return Facts(facts.icc, density=facts.density, **fitting)


def _retime(file: BinaryIO, milliseconds: Sequence[int]) -> None:
    """Write how long the frames of a WebP file are shown, which say `_STAND_IN` (RFC 9649, 2.7.1.1).

    Of frames that are alike libvips makes one, which is shown as long as all.
    """
    left = iter(milliseconds)
    file.seek(12)
    while len(head := file.read(8)) == 8:
        length = int.from_bytes(head[4:], "little")
        end = file.tell() + length + length % 2
        if head[:4] == b"ANMF":
            file.seek(12, os.SEEK_CUR)  # behind place and size
            count = int.from_bytes(file.read(3), "little") // _STAND_IN
            file.seek(-3, os.SEEK_CUR)
            file.write(min(sum(islice(left, count)), _LONGEST).to_bytes(3, "little"))
        file.seek(end)


def _scanlines(rows_HWC: Pixels) -> bytes:
    """Rows as PNG has them: the most significant byte first, and before each row how it was filtered (not at all)."""
    height = len(rows_HWC)
    data = rows_HWC.astype(">u2").view(np.uint8) if rows_HWC.dtype == np.uint16 else rows_HWC
    lines = np.zeros((height, 1 + data[0].size), np.uint8)
    lines[:, 1:] = data.reshape(height, -1)
    return lines.tobytes()
