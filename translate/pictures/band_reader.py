"""Picture files row by row, for pictures that do not fit in memory: PNG, JPEG, TIFF and WebP, by libvips.

What comes in is what `translate.pictures.decode` reads, and what goes out is what `translate.pictures.encode` writes:
sRGB, turned upright, with the same profiles, EXIF and XMP; only TIFF files get no EXIF here.

Array names carry their shape: H height, W width, C channels, N channels as found.
"""

import os
import tempfile
from collections.abc import Generator
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from translate.errors import ImageError
from translate.machine import available_memory_bytes
from translate.pictures import tiff
from translate.pictures.formats import FORMATS, HEAD_BYTES, listed, recognise
from translate.pictures.icc import cmyk_to_rgb, to_srgb
from translate.pictures.libvips import one_line, vips
from translate.pictures.metadata import exif as exif_tags
from translate.pictures.metadata import xmp as xmp_packet
from translate.pictures.pages import at_page, mapped, tiff_pages
from translate.pictures.picture import BAND, Picture, Pixels, to_bits
from translate.pictures.repair import repaired

Format = str
"""libvips' name of a format."""

_TURNS = {2: (0, 0, 1), 3: (0, 1, 1), 4: (0, 1, 0), 5: (1, 0, 0), 6: (1, 0, 1), 7: (1, 1, 1), 8: (1, 1, 0)}
"""EXIF's orientation -> whether to swap rows and columns, then turn upside down, then mirror."""
_EXTRA_SAMPLES, _UNSPECIFIED = 338, 0
_FETCHED = 64
"""Rows taken from libvips at once; more take more memory and no less time."""
_TAIL = 1 << 16
"""Bytes at the end of a JPEG file in which its end marker is looked for; other bytes may follow it."""
_DTYPES = {"uchar": np.uint8, "ushort": np.uint16}


class RowReader:
    """A picture file that can be read from the top, as often as wanted, until the `with` block ends.

    Args:
        source: path, or the file's bytes.
        name: what errors call it.
        folder: where a temporary file as large as the pixels may be, for pictures that are stored turned.
        bits: as in `translate.pictures.decode.decode`: 16 leaves deep pixels deep, 8 rounds them to 8.
        page: of a TIFF file with several, from 1.

    Raises:
        ImageError: not such a picture, damaged, not readable, or of a kind that has to be decoded whole and does not
            fit in memory; the message has the name.
    """

    height: int
    width: int
    alpha: bool
    deep: bool
    """Whether bands are uint16."""
    icc: bytes | None
    """Profile that the pixels are converted from."""
    exif: bytes | None
    xmp: bytes | None
    notes: tuple[str, ...]
    """What was left out, a few words each."""
    pages: int
    """How many pages the file has, of which this is one."""

    def __init__(
        self, source: Path | bytes, name: str, folder: Path, *, bits: Literal[8, 16] = 8, page: int = 1
    ) -> None:
        self._source, self._name, self._folder, self._bits = source, name, folder, bits
        self._format = _format_of(source, name)
        self._turned: _Turned | None = None
        repairs = self._add_end() if self._format == "jpeg" else ()
        self._number, self._exif, self._extra, self._reason, self.pages = 0, None, (), None, 1
        if self._format == "tiff":
            self._read_tiff_facts(page)
        image = self._open()
        if image.format not in _DTYPES and image.interpretation not in ("lab", "labs"):
            raise ImageError(f"{name}: holds {image.format} values, expected 8 or 16 bits a channel; convert it")
        self._colours = 4 if image.interpretation == "cmyk" else 3 if image.bands >= 3 else 1
        self.alpha = image.bands > self._colours
        exif, xmp = _blob(image, "exif-data"), _blob(image, "xmp-data")
        exif = exif.removeprefix(b"Exif\0\0") if exif else None
        if self._format == "tiff":
            exif = self._exif
            self.alpha = self.alpha and self._extra[:1] != (_UNSPECIFIED,)
        self._orientation = exif_tags.orientation(exif) if exif else 0
        if not self._orientation and xmp:
            self._orientation = xmp_packet.orientation(xmp)
        self.exif = exif_tags.upright(exif) if exif else None
        self.xmp = xmp_packet.upright(xmp) if xmp else None
        self.icc, self.notes = _blob(image, "icc-profile-data"), ()
        pixel_HWN = np.zeros((1, 1, self._colours), _DTYPES.get(image.format, np.uint8))
        if self.icc is not None and to_srgb(pixel_HWN, self.icc) is None:
            self.icc, self.notes = None, ("its colour profile is unusable and was left out",)
        self.deep = bits == 16 and image.format == "ushort"
        self.height, self.width = image.height, image.width
        if _TURNS.get(self._orientation, (0,))[0]:
            self.height, self.width = self.width, self.height
        self.notes = (*self.notes, *repairs)
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
        options: dict[str, Any] = {"access": "sequential", "fail_on": "error"}
        options |= {"page": self._number} if self._number else {}
        try:
            if isinstance(self._source, bytes):
                return getattr(image, f"{self._format}load_buffer")(self._source, **options)
            return getattr(image, f"{self._format}load")(os.fsencode(self._source), **options)
        except vips().Error as error:
            raise self._damaged(error) from None

    def _stored(self) -> Generator[Picture]:
        """Bands as they are stored, in sRGB."""
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
            yield self._band(pixels_HWN)

    def _band(self, pixels_HWN: Pixels) -> Picture:
        colours_HWN = np.ascontiguousarray(pixels_HWN[..., : self._colours])
        rgb_HWC = None if self.icc is None else to_srgb(colours_HWN, self.icc)
        if rgb_HWC is None:
            rgb_HWC = (
                cmyk_to_rgb(colours_HWN) if self._colours == 4 else np.repeat(colours_HWN, 3 // self._colours, axis=2)
            )
        alpha_HW = np.ascontiguousarray(pixels_HWN[..., self._colours]) if self.alpha else None
        if self._bits == 8:
            rgb_HWC, alpha_HW = to_bits(rgb_HWC, 8), None if alpha_HW is None else to_bits(alpha_HW, 8)
        return Picture(rgb_HWC, alpha_HW)

    def _add_end(self) -> tuple[str, ...]:
        """Read a JPEG file without its end marker from memory, with one; returns notes."""
        try:
            with BytesIO(self._source) if isinstance(self._source, bytes) else self._source.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - _TAIL))
                if b"\xff\xd9" in file.read() or size > available_memory_bytes() // 4:
                    return ()
                file.seek(0)
                better = repaired(file.read(), "JPEG")
        except (OSError, ValueError, IndexError):  # libvips says what is wrong
            return ()
        if better is None:
            return ()
        self._source, note = better
        return (note,)

    def _read_tiff_facts(self, page: int) -> None:
        """Find the page, its EXIF, and what its channels beyond the colours are."""
        if isinstance(self._source, bytes):
            self._read_tiff_page(self._source, page)
            return
        try:
            with self._source.open("rb") as file:
                self._read_tiff_page(mapped(file), page)  # only the directories are looked at, not the pixels
        except OSError as error:
            raise ImageError(f"{self._name}: cannot be read ({error.strerror}); check the name and rights") from None

    def _read_tiff_page(self, data: bytes, page: int) -> None:
        pages = tiff_pages(data)
        data, self.pages = at_page(data, self._name, page)
        self._number = pages[page - 1].number if pages else 0
        self._exif, self._extra = exif_tags.from_tiff(data), exif_tags.tiff_numbers(data, _EXTRA_SAMPLES)
        self._reason = tiff.unsupported(tiff.compression(data))

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
        if self._reason is not None:
            return ImageError(f"{self._name}: {self._reason}")
        return ImageError(f"{self._name}: damaged picture ({one_line(error)}); replace it with a good copy")


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
            head = source[:HEAD_BYTES]
        else:
            with source.open("rb") as file:
                head = file.read(HEAD_BYTES)
    except OSError as error:
        raise ImageError(f"{name}: cannot be read ({error.strerror or error}); check the name and the rights") from None
    kind = recognise(head)
    if kind is not None and kind.by_band:
        return kind.vips_name
    by_band = [one for one in FORMATS if one.by_band]
    raise ImageError(
        f"{name}: too large to be read at once, and only {listed(by_band, 'and')} can be read row by row; convert it"
    )


def _blob(image: Any, name: str) -> bytes | None:
    return bytes(image.get(name)) if image.get_typeof(name) else None


def _mirrored(band: Picture) -> Picture:
    return Picture.from_array(np.ascontiguousarray(band.to_array()[:, ::-1]))
