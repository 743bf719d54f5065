"""Picture files row by row, for pictures that do not fit in memory: PNG, JPEG, TIFF and WebP, by libvips.

What comes in is what `translate.pictures.decode` reads, and what goes out is what `translate.pictures.encode` writes:
sRGB, turned upright, with the same profiles, EXIF and XMP; only TIFF files get no EXIF here.

Array names carry their shape: H height, W width, C channels, N channels as found.
"""

import mmap
import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Literal, Self, cast

import numpy as np
from PIL.JpegImagePlugin import JpegImageFile

from translate.errors import ImageError
from translate.machine import available_memory_bytes
from translate.pictures import coded_colours
from translate.pictures.coded_colours import CodedColours
from translate.pictures.colours import SourceColours
from translate.pictures.formats import FORMATS, listed
from translate.pictures.libvips import one_line, vips
from translate.pictures.metadata import exif as exif_tags
from translate.pictures.metadata import xmp as xmp_packet
from translate.pictures.metadata.facts import Facts
from translate.pictures.metadata.from_pillow import facts_of
from translate.pictures.metadata.png import SIGNATURE, read_facts
from translate.pictures.metadata.stored import orientation_of, size_of
from translate.pictures.picture import BAND, Picture, Pixels, to_bits

Format = str
"""libvips' name of a format."""

_HEADS: dict[Format, tuple[bytes, ...]] = {
    "png": (SIGNATURE,),
    "jpeg": (b"\xff\xd8\xff",),
    "tiff": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "webp": (b"RIFF",),
}
_TURNS = {2: (0, 0, 1), 3: (0, 1, 1), 4: (0, 1, 0), 5: (1, 0, 0), 6: (1, 0, 1), 7: (1, 1, 1), 8: (1, 1, 0)}
"""EXIF's orientation -> whether to swap rows and columns, then turn upside down, then mirror."""
_EXTRA_SAMPLES, _UNSPECIFIED = 338, 0
_FETCHED = 64
"""Rows taken from libvips at once; more take more memory and no less time."""
_DTYPES = {"uchar": np.uint8, "ushort": np.uint16}


class RowReader:
    """A picture file that can be read from the top, as often as wanted, until the `with` block ends.

    Args:
        source: path, or the file's bytes.
        name: what errors call it.
        folder: where a temporary file as large as the pixels may be, for pictures that are stored turned.
        bits: as in `translate.pictures.decode.decode`: 16 leaves deep pixels deep, 8 rounds them to 8.

    Raises:
        ImageError: not such a picture, damaged, not readable, or of a kind that has to be decoded whole and does not
            fit in memory; the message has the name.
    """

    height: int
    width: int
    alpha: bool
    deep: bool
    """Whether bands are uint16."""
    facts: Picture
    """What the file says, and notes on what was left out; without pixels."""

    def __init__(self, source: Path | bytes, name: str, folder: Path, *, bits: Literal[8, 16] = 8) -> None:
        self._source, self._name, self._folder, self._bits = source, name, folder, bits
        self._format = _format_of(source, name)
        self._turned: _Turned | None = None
        image = self._open()
        if image.format not in _DTYPES and image.interpretation not in ("lab", "labs"):
            raise ImageError(f"{name}: holds {image.format} values, expected 8 or 16 bits a channel; convert it")
        self._colours = 4 if image.interpretation == "cmyk" else 3 if image.bands >= 3 else 1
        self.alpha = image.bands > self._colours
        stored = self._facts(image)
        facts = stored.facts
        self.alpha = self.alpha and stored.extra[:1] != (_UNSPECIFIED,)
        self._orientation = orientation_of(facts, stored.orientation)
        exif = exif_tags.upright(facts.exif) if facts.exif else None
        xmp = xmp_packet.upright(facts.xmp) if facts.xmp else None
        self._source_colours = SourceColours(facts.icc, stored.coded)
        self._measured = False
        self._source_colours.to_srgb(np.zeros((1, 1, self._colours), _DTYPES.get(image.format, np.uint8)))
        colours, size = self._source_colours, size_of(facts, image.height, image.width, self._orientation)
        no_pixels_HWC = np.empty((0, 0, 3), np.uint8)
        self.facts = Picture(no_pixels_HWC, None, colours.icc, exif, xmp, colours.notes, size, facts.iptc, facts.texts)
        self.deep = bits == 16 and image.format == "ushort"
        self.height, self.width = image.height, image.width
        if _TURNS.get(self._orientation, (0,))[0]:
            self.height, self.width = self.width, self.height
        self._check_memory(image)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._turned is not None:
            self._turned.close()

    def bands(self) -> Generator[Picture]:
        """Yield the picture in bands of at most `BAND` rows, from the top; each is upright and in sRGB.

        Raises:
            ImageError: damaged, or no room for the temporary file.
        """
        if self._source_colours.is_hdr and not self._measured:
            for pixels_HWN in self._pixels():
                self._source_colours.measure(pixels_HWN[..., : self._colours])
            self._measured = True
        transpose, down, mirror = _TURNS.get(self._orientation, (0, 0, 0))
        if not transpose and not down:
            for band in self._stored():
                yield _mirrored(band) if mirror else band
            return
        if self._turned is None:
            try:
                self._turned = _Turned(self._stored(), self._orientation, self._folder)
            except OSError as error:
                reason = f"no room to turn it upright in {self._folder} ({error.strerror})"
                raise ImageError(f"{self._name}: {reason}; choose another folder") from None
        for top in range(0, self.height, BAND):
            yield self._turned.rows(top, min(top + BAND, self.height))

    def _open(self) -> Any:
        image = vips().Image
        options = {"access": "sequential", "fail_on": "error"}
        try:
            if isinstance(self._source, bytes):
                return getattr(image, f"{self._format}load_buffer")(self._source, **options)
            return getattr(image, f"{self._format}load")(os.fsencode(self._source), **options)
        except vips().Error as error:
            raise self._damaged(error) from None

    def _stored(self) -> Generator[Picture]:
        """Bands as they are stored, in sRGB."""
        for pixels_HWN in self._pixels():
            yield self._band(pixels_HWN)

    def _pixels(self) -> Generator[Pixels]:
        """Bands as they are stored, in the file's colours."""
        image = self._open()
        if image.interpretation in ("lab", "labs"):
            image = image.colourspace("srgb")
        # One region for all: separate evaluations would forget the strip of a TIFF file in which a band ends.
        region = vips().Region.new(image)
        for top in range(0, image.height, BAND):
            count = min(BAND, image.height - top)
            pixels_HWN = np.empty((count, image.width, image.bands), _DTYPES[image.format])
            for first in range(0, count, _FETCHED):
                rows_HWN = pixels_HWN[first : first + _FETCHED]
                try:
                    data = region.fetch(0, top + first, image.width, len(rows_HWN))
                except vips().Error as error:
                    raise self._damaged(error) from None
                rows_HWN[:] = np.frombuffer(data, rows_HWN.dtype).reshape(rows_HWN.shape)
            yield pixels_HWN

    def _band(self, pixels_HWN: Pixels) -> Picture:
        colours_HWN = np.ascontiguousarray(pixels_HWN[..., : self._colours])
        rgb_HWC = self._source_colours.to_srgb(colours_HWN)
        alpha_HW = np.ascontiguousarray(pixels_HWN[..., self._colours]) if self.alpha else None
        if self._bits == 8:
            rgb_HWC, alpha_HW = to_bits(rgb_HWC, 8), None if alpha_HW is None else to_bits(alpha_HW, 8)
        return Picture(rgb_HWC, alpha_HW)

    def _facts(self, image: Any) -> "_Stored":
        """What the file says beside the pixels, of which libvips does not tell all."""
        if self._format == "jpeg":
            with self._file() as file, JpegImageFile(file, self._name) as opened:  # reads the head only
                return _Stored(facts_of(opened))
        icc, xmp = _blob(image, "icc-profile-data"), _blob(image, "xmp-data")
        if self._format == "webp":
            exif = _blob(image, "exif-data")
            return _Stored(Facts(icc, exif.removeprefix(b"Exif\0\0") if exif else None, xmp))
        with self._bytes() as data:
            if self._format == "png":
                facts = read_facts(data)
                return _Stored(facts, coded_colours.from_png(facts.colours))
            facts, orientation = exif_tags.facts_of_tiff(data, icc, xmp), exif_tags.orientation(data)
            return _Stored(facts, None, orientation, exif_tags.tiff_numbers(data, _EXTRA_SAMPLES))

    def _file(self) -> BinaryIO:
        return BytesIO(self._source) if isinstance(self._source, bytes) else self._source.open("rb")

    @contextmanager
    def _bytes(self) -> Generator[bytes]:
        """The file, of which only what is looked at comes into memory."""
        if isinstance(self._source, bytes):
            yield self._source
            return
        with self._source.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            yield cast(bytes, mapped)

    def _check_memory(self, image: Any) -> None:
        """Some files can only be decoded whole."""
        pixel = image.bands * np.dtype(_DTYPES.get(image.format, np.float32)).itemsize
        if self._format == "webp":
            kind, needed = "a WebP picture", 6
        elif image.get_typeof("interlaced") and image.get("interlaced"):
            # Of progressive JPEG the coefficients, two bytes each, are collected.
            kind, needed = ("a progressive JPEG", 2 * pixel) if self._format == "jpeg" else ("an interlaced PNG", pixel)
        else:
            return
        if needed * image.height * image.width > available_memory_bytes():
            raise ImageError(
                f"{self._name}: {kind} of {image.width} x {image.height} pixels, which has to be decoded whole, "
                "does not fit in memory; save it as TIFF"
            )

    def _damaged(self, error: Exception) -> ImageError:
        return ImageError(f"{self._name}: damaged picture ({one_line(error)}); replace it with a good copy")


@dataclass(frozen=True)
class _Stored:
    """What a file says beside its pixels, as in `translate.pictures.decode`."""

    facts: Facts
    coded: CodedColours | None = None
    orientation: int = 0
    extra: tuple[int, ...] = ()
    """What the channels beyond the colours are."""


class _Turned:
    """Bands of a stored picture, turned, in a temporary file from which rows can be read.

    Raises:
        OSError: the disk is full.
    """

    def __init__(self, bands: Generator[Picture], orientation: int, folder: Path) -> None:
        self._transpose, self._down, self._mirror = _TURNS[orientation]
        self._file: Any = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - see `close`
        self._pieces: list[tuple[int, tuple[int, int, int], Any]] = []
        place = 0
        try:
            for band in bands:
                piece_HWC = band.to_array()
                if self._transpose:
                    piece_HWC = piece_HWC.swapaxes(0, 1)
                piece_HWC = piece_HWC[:: -1 if self._down else 1, :: -1 if self._mirror else 1]
                self._file.write(np.ascontiguousarray(piece_HWC).data)
                self._pieces.append((place, piece_HWC.shape, piece_HWC.dtype))
                place += piece_HWC.nbytes
            self._file.flush()
        except BaseException:
            self.close()
            raise
        # The first band comes to lie at the right or at the bottom.
        if self._mirror if self._transpose else self._down:
            self._pieces.reverse()

    def close(self) -> None:
        """Remove the file."""
        self._file.close()

    def rows(self, top: int, bottom: int) -> Picture:
        """Return these rows of the turned picture."""
        if self._transpose:  # the pieces lie side by side
            return Picture.from_array(
                np.concatenate([self._read(piece, top, bottom) for piece in self._pieces], axis=1)
            )
        found: list[Pixels] = []
        first = 0
        for piece in self._pieces:
            last = first + piece[1][0]
            if first < bottom and top < last:
                found.append(self._read(piece, max(top - first, 0), min(bottom, last) - first))
            first = last
        return Picture.from_array(np.concatenate(found))

    def _read(self, piece: tuple[int, tuple[int, int, int], Any], top: int, bottom: int) -> Pixels:
        place, (_, width, channels), dtype = piece
        rows_HWC = np.empty((bottom - top, width, channels), dtype)
        self._file.seek(place + top * width * channels * dtype.itemsize)
        read = self._file.readinto(rows_HWC.data.cast("B"))
        assert read == rows_HWC.nbytes
        return rows_HWC


def _format_of(source: Path | bytes, name: str) -> Format:
    try:
        if isinstance(source, bytes):
            head = source[:12]
        else:
            with source.open("rb") as file:
                head = file.read(12)
    except OSError as error:
        raise ImageError(f"{name}: cannot be read ({error.strerror or error}); check the name and the rights") from None
    for kind, heads in _HEADS.items():
        if head.startswith(heads) and (kind != "webp" or head[8:] == b"WEBP"):
            return kind
    by_band = [one for one in FORMATS if one.by_band]
    raise ImageError(
        f"{name}: too large to be read at once, and only {listed(by_band, 'and')} can be read row by row; convert it"
    )


def _blob(image: Any, name: str) -> bytes | None:
    return bytes(image.get(name)) if image.get_typeof(name) else None


def _mirrored(band: Picture) -> Picture:
    return Picture.from_array(np.ascontiguousarray(band.to_array()[:, ::-1]))
