"""Picture files row by row, for pictures that do not fit in memory: PNG, JPEG, TIFF and WebP, by libvips.

What comes in is what `translate.pictures.decode` reads, and what goes out is what `translate.pictures.encode` writes:
sRGB, turned upright, with the same profiles, EXIF and XMP; only TIFF files get no EXIF here.

Array names carry their shape: H height, W width, C channels, N channels as found.
"""

import os
from collections.abc import Generator
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Literal, Self

import numpy as np
from PIL.JpegImagePlugin import JpegImageFile

from translate.errors import ImageError, message_of
from translate.machine import available_memory_bytes
from translate.pictures import coded_colours, tiff
from translate.pictures.by_libvips import EXTRA_SAMPLES, UNSPECIFIED
from translate.pictures.coded_colours import CodedColours
from translate.pictures.colours import SourceColours
from translate.pictures.decode import silence_metadata_warnings
from translate.pictures.formats import FORMATS, HEAD_BYTES, listed, recognise
from translate.pictures.libvips import DTYPES, blob, vips
from translate.pictures.metadata import exif as exif_tags
from translate.pictures.metadata import xmp as xmp_packet
from translate.pictures.metadata.facts import Facts
from translate.pictures.metadata.from_pillow import facts_of
from translate.pictures.metadata.png import read_facts, unpacks_to_too_much
from translate.pictures.metadata.stored import orientation_of, size_of
from translate.pictures.pages import at_page, check_page, mapped, mpo_frame, mpo_frames, tiff_pages
from translate.pictures.picture import BAND, Picture, Pixels, to_bits
from translate.pictures.repair import repaired
from translate.pictures.turned import BAND_TURNS, TurnedBands

Format = str
"""libvips' name of a format."""

_FETCHED = 64
"""Rows taken from libvips at once; more take more memory and no less time."""
_TAIL = 1 << 16
"""Bytes at the end of a JPEG file in which its end marker is looked for; other bytes may follow it."""


class RowReader:
    """A picture file that can be read from the top, as often as wanted, until the `with` block ends.

    Args:
        source: path, or the file's bytes.
        name: what errors call it.
        folder: where a temporary file as large as the pixels may be, for pictures that are stored turned.
        bits: as in `translate.pictures.decode.decode`: 16 leaves deep pixels deep, 8 rounds them to 8.
        page: of a file with several, from 1.

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
    """What the file says, how many pages it has, and notes on what was left out; without pixels."""

    def __init__(
        self, source: Path | bytes, name: str, folder: Path, *, bits: Literal[8, 16] = 8, page: int = 1
    ) -> None:
        self._source, self._name, self._folder, self._bits = source, name, folder, bits
        self._format = _format_of(source, name)
        self._turned: TurnedBands | None = None
        self._in_tiff, self._reason = _Stored(Facts()), None
        self._number, self._pages = 0, 1  # of the page in the file as libvips counts; how many pages there are
        if self._format in ("tiff", "jpeg"):
            self._find_page(page)
        check_page(name, page, self._pages)
        if self._format == "png":
            self._refuse_texts()
        repairs = self._add_end() if self._format == "jpeg" else ()
        image = self._open()
        if image.format not in DTYPES and image.interpretation not in ("lab", "labs"):
            raise ImageError(f"{name}: holds {image.format} values, expected 8 or 16 bits a channel; convert it")
        self._colours = 4 if image.interpretation == "cmyk" else 3 if image.bands >= 3 else 1
        self.alpha = image.bands > self._colours
        stored = self._facts(image)
        facts = stored.facts
        self.alpha = self.alpha and stored.extra[:1] != (UNSPECIFIED,)
        self._orientation = orientation_of(facts, stored.orientation)
        self._source_colours = colours = SourceColours(facts.icc, stored.coded)
        self._measured = False
        colours.to_srgb(np.zeros((1, 1, self._colours), DTYPES.get(image.format, np.uint8)))  # so that it has notes
        self.facts = Picture(
            np.empty((0, 0, 3), np.uint8),
            icc=colours.icc,
            exif=exif_tags.upright(facts.exif) if facts.exif else None,
            xmp=xmp_packet.upright(facts.xmp, turned=self._orientation > 1) if facts.xmp else None,
            notes=(*repairs, *colours.notes),
            size=size_of(facts, image.height, image.width, self._orientation),
            iptc=facts.iptc,
            texts=facts.texts,
            pages=self._pages,
        )
        self.deep = bits == 16 and image.format == "ushort"
        self.height, self.width = image.height, image.width
        if BAND_TURNS.get(self._orientation, (0,))[0]:
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
        transpose, down, mirror = BAND_TURNS.get(self._orientation, (0, 0, 0))
        if not transpose and not down:
            for band in self._stored():
                yield _mirrored(band) if mirror else band
            return
        if self._turned is None:
            try:
                self._turned = TurnedBands(self._stored(), self._orientation, self._folder)
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
            pixels_HWN = np.empty((count, image.width, image.bands), DTYPES[image.format])
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

    def _add_end(self) -> tuple[str, ...]:
        """Read a JPEG file without its end marker from memory, with one; returns notes."""
        try:
            with self._file() as file:
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

    def _refuse_texts(self) -> None:
        with self._file() as file:
            if unpacks_to_too_much(self._source if isinstance(self._source, bytes) else mapped(file)):
                raise ImageError(
                    f"{self._name}: its texts fill the memory when they are unpacked; save it without them"
                )

    def _find_page(self, page: int) -> None:
        """Find the page; of a TIFF file also what it says, and of JPEG take it as a file of its own."""
        try:
            with self._file() as file:
                if self._format == "jpeg":
                    frames = mpo_frames(file, self._name)
                    self._pages = len(frames)
                    if 1 < page <= len(frames):
                        self._source = mpo_frame(file, self._name, frames[page - 1])
                    return
                data = self._source if isinstance(self._source, bytes) else mapped(file)
                pages = tiff_pages(data)
                data, self._pages = at_page(data, self._name, page)
                self._number = pages[page - 1].number if pages else 0
                facts, extra = exif_tags.facts_of_tiff(data, None, None), exif_tags.tiff_numbers(data, EXTRA_SAMPLES)
                self._in_tiff = _Stored(facts, None, exif_tags.orientation(data), extra)
                self._reason = tiff.unsupported(data)
                if tiff.foreign_colours(data) == "YCbCr":
                    raise ImageError(
                        f"{self._name}: too large to be read at once, and its YCbCr colours cannot be read row by row; "
                        "convert it"
                    )
        except OSError as error:
            raise ImageError(f"{self._name}: cannot be read ({error.strerror}); check the name and rights") from None

    def _facts(self, image: Any) -> "_Stored":
        """What the file says beside the pixels, of which libvips does not tell all."""
        if self._format == "jpeg":
            silence_metadata_warnings()
            try:
                with self._file() as file, JpegImageFile(file, self._name) as opened:  # reads the head only
                    return _Stored(facts_of(opened))
            except Exception as error:  # what libvips reads may still be damaged for Pillow, which raises many kinds
                raise self._damaged(error) from None
        icc, xmp = blob(image, "icc-profile-data"), blob(image, "xmp-data")
        if self._format == "tiff":
            return replace(self._in_tiff, facts=replace(self._in_tiff.facts, icc=icc, xmp=xmp))
        if self._format == "webp":
            exif = blob(image, "exif-data")
            return _Stored(Facts(icc, exif.removeprefix(b"Exif\0\0") if exif else None, xmp))
        with self._file() as file:  # of which only what is looked at comes into memory
            facts = read_facts(self._source if isinstance(self._source, bytes) else mapped(file))
        return _Stored(facts, coded_colours.from_png(facts.colours))

    def _file(self) -> BinaryIO:
        return BytesIO(self._source) if isinstance(self._source, bytes) else self._source.open("rb")

    def _check_memory(self, image: Any) -> None:
        """Some files can only be decoded whole."""
        pixel = image.bands * np.dtype(DTYPES.get(image.format, np.float32)).itemsize
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
        said = message_of(error, most=200)
        return ImageError(f"{self._name}: damaged picture ({said}); replace it with a good copy")


@dataclass(frozen=True)
class _Stored:
    """What a file says beside its pixels, as in `translate.pictures.decode`."""

    facts: Facts
    coded: CodedColours | None = None
    orientation: int = 0
    extra: tuple[int, ...] = ()
    """What the channels beyond the colours are."""


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


def _mirrored(band: Picture) -> Picture:
    return Picture.from_array(np.ascontiguousarray(band.to_array()[:, ::-1]))
