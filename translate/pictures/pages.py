"""Files of several pages: TIFF in and out, and the pictures of an MPO file.

Copies of a page (thumbnails, the levels of a pyramid, transparency masks) are no pages. Pages are numbered from 1.
"""

import mmap
import shutil
import struct
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Literal, Self, cast

from PIL.ImageFile import ImageFile
from PIL.MpoImagePlugin import MpoImageFile

from translate.errors import ConfigError, ImageError
from translate.pictures.formats import HEAD_BYTES, recognise
from translate.pictures.metadata.tiff_tags import LONG, Entry, Tiff

_NEW_SUBFILE_TYPE, _WIDTH, _HEIGHT, _PAGE_NUMBER = 254, 256, 257, 297
_REDUCED, _PAGE, _MASK = 1, 2, 4
_OFFSETS = {273, 324}
"""Tags that say where pixels lie: strips and tiles."""
_DIRECTORIES = {34665, 34853, 40965}
"""Tags that say where directories lie: EXIF, GPS, and interoperability."""
_MOST_PAGES = 65_536
_MP_ENTRIES = 0xB002
_XMP, _GAIN_MAP = b"http://ns.adobe.com/xap/1.0/\0", b"urn:iso:std:iso:ts:21496:-1\0"
"""How the segments of XMP and of a gain map by ISO 21496-1 begin."""
_GAIN_MAPS = (b"hdrgm:", b"hdrgainmap")
"""What the XMP of a gain map has: as Google and Adobe write it, and Apple's."""


@dataclass(frozen=True)
class Page:
    """A page of a TIFF file."""

    number: int
    """Of its directory in the file, from 0; copies count."""
    offset: int
    """Where its directory lies, in bytes."""
    height: int
    width: int
    copy: bool
    """Whether the file says that it is a reduced copy or a mask."""
    said: bool
    """Whether the file says that it is a page."""


def tiff_pages(data: bytes) -> tuple[Page, ...]:
    """Return the pages of a TIFF file (TIFF 6.0, NewSubfileType); the first is the picture if only one is wanted.

    Of those that the file calls neither a copy nor a page, copies are told by their size: the same shape as the largest
    page, and at most half as large. At least one page is returned, unless the file is damaged.
    """
    found = _directories(data)
    pages = [page for page in found if not page.copy] or found
    if len(pages) > 1:
        largest = max(pages, key=lambda page: page.height * page.width)
        pages = [page for page in pages if page.said or not _is_small_copy(page, largest)]
    return tuple(pages)


def _directories(data: bytes) -> list[Page]:
    found: list[Page] = []
    try:
        tiff = Tiff(data)
        offset, seen = tiff.first, set[int]()
        while offset and offset not in seen and len(found) < _MOST_PAGES:
            seen.add(offset)
            entries, place = tiff.entries(offset)
            tags = {entry.tag: entry for entry in entries if entry.count == 1}
            kind, width, height = (_first(tiff, tags.get(tag)) for tag in (_NEW_SUBFILE_TYPE, _WIDTH, _HEIGHT))
            said = bool(kind & _PAGE) or any(entry.tag == _PAGE_NUMBER for entry in entries)
            found.append(Page(len(found), offset, height, width, bool(kind & (_REDUCED | _MASK)), said))
            (offset,) = tiff.numbers("Q" if tiff.big else "L", place)
    except ValueError:  # damaged: whoever decodes it says so
        pass
    return found


def _first(tiff: Tiff, entry: Entry | None) -> int:
    numbers = tiff.integers(entry) if entry is not None else ()
    return numbers[0] if numbers else 0


def _is_small_copy(page: Page, largest: Page) -> bool:
    longer = max(largest.height, largest.width)
    same_shape = abs(page.width * largest.height - page.height * largest.width) <= longer
    return same_shape and 2 * max(page.height, page.width) <= longer


def at_page(data: bytes, name: str, page: int) -> tuple[bytes, int]:
    """Return a TIFF file so that it begins with a page, and how many pages it has.

    Args:
        data: the file; what can be written to (`bytearray`, `mmap` with a copy of its own) is changed in place, and of
            `bytes` a copy is made if the page is not the beginning.
        name: what errors call it.
        page: its number, from 1.

    Raises:
        ImageError: there is no such page.
    """
    pages = tiff_pages(data)
    check_page(name, page, max(1, len(pages)))
    if not pages or not pages[page - 1].number:  # damaged, which whoever decodes it says, or the beginning
        return data, max(1, len(pages))
    tiff, moved = Tiff(data), cast(Any, data)
    moved = bytearray(data) if isinstance(moved, bytes) else moved
    room = slice(8, 16) if tiff.big else slice(4, 8)
    place = pages[page - 1].offset
    moved[room] = place.to_bytes(room.stop - room.start, tiff.byteorder)
    return cast(bytes, moved), len(pages)


def mapped(file: BinaryIO) -> bytes:
    """Return a file as bytes that can be changed without changing it; of one on disk only what is looked at is read."""
    try:
        return cast(bytes, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    except (OSError, ValueError):  # not on disk
        file.seek(0)
        return cast(bytes, bytearray(file.read()))


def check_page(name: str, page: int, count: int) -> None:
    """Raise ImageError if the file `name` with `count` pages does not have this one."""
    if page > count:
        raise ImageError(f"{name}: has no page {page}, only {count}; give another number with --pages")


def mpo_frames(handle: BinaryIO, name: str) -> tuple[int, ...]:
    """Return the numbers of the pictures (from 0) of a JPEG file that holds several (CIPA DC-007).

    Previews and the gain maps of HDR photographs are none; a file without more than one picture gives `(0,)`.
    """
    handle.seek(0)
    try:
        with MpoImageFile(handle, name) as image:
            entries: Any = cast(Any, image).mpinfo[_MP_ENTRIES]
            kinds = [str(entry["Attribute"]["MPType"]) for entry in entries]
            more = [number for number, kind in enumerate(kinds) if number and _is_picture(image, number, kind)]
    except Exception:  # damaged tables raise whatever the parser trips over; the first picture is still there
        return (0,)
    return (0, *more)


def _is_picture(image: ImageFile, number: int, kind: str) -> bool:
    if kind != "Undefined":
        return kind.startswith("Multi-Frame")
    image.seek(0)
    size = image.size
    image.seek(number)
    return image.size == size and not any(map(_tells_gain_map, cast(Any, image).applist))


def _tells_gain_map(segment: tuple[str, bytes]) -> bool:
    """Whether a segment of a picture, its marker and content, says that it is a gain map."""
    _, content = segment
    if content.startswith(_GAIN_MAP):
        return True
    return content.startswith(_XMP) and any(mark in content.lower() for mark in _GAIN_MAPS)


def mpo_frame(handle: BinaryIO, name: str, number: int) -> bytes:
    """Return one of the pictures of an MPO file as a file of its own, with what it says and nothing of the others."""
    handle.seek(0)
    with MpoImageFile(handle, name) as image:
        image.seek(number)
        start = int(cast(Any, image).offset)
    handle.seek(start)
    return handle.read()


def count_pages(data: bytes | Path) -> int:
    """Return how many pages a file has; 1 for formats without pages, and for what cannot be read."""
    return len(sides_of_pages(data))


def sides_of_pages(data: bytes | Path) -> list[tuple[int, int]]:
    """Return height and width of each page as a TIFF file states them; (0, 0) where they are not known so easily.

    At least one page is returned, also of what cannot be read.
    """
    try:
        with BytesIO(data) if isinstance(data, bytes) else data.open("rb") as file:
            kind = recognise(file.read(HEAD_BYTES))
            if kind is not None and kind.name == "JPEG":  # several pictures of one size
                return [(0, 0)] * len(mpo_frames(file, ""))
            if kind is not None and kind.name == "TIFF":  # only the directories are looked at
                found = tiff_pages(data if isinstance(data, bytes) else mapped(file))
                return [(page.height, page.width) for page in found] or [(0, 0)]
    except (OSError, ValueError):
        pass
    return [(0, 0)]


def check_pages(pages: str) -> None:
    """Reject what `chosen_pages` does not understand.

    Raises:
        ConfigError: neither `all`, `first`, a number nor a range.
    """
    chosen_pages(pages, 1)


def first_page(pages: str) -> int:
    """Return the number (from 1) of the first page that `chosen_pages` asks for, whether or not a file has it."""
    return 1 if pages in ("all", "first") else int(pages.partition("-")[0])


def chosen_pages(pages: str, count: int) -> range:
    """Return the numbers of the wanted pages (from 1) of a file with `count` pages.

    Args:
        pages: `all`, `first`, a number as `3`, or a range as `2-5`; what the file does not have is left out.
        count: pages of the file.

    Raises:
        ConfigError: `pages` is none of these.
    """
    if pages in ("all", "first"):
        return range(1, count + 1 if pages == "all" else 2)
    first, dash, last = pages.partition("-")
    numbers = [
        int(text) for text in (first, last if dash else first) if text.isascii() and text.isdigit() and len(text) < 10
    ]
    if len(numbers) != 2 or not 1 <= numbers[0] <= numbers[1]:
        raise ConfigError(f"--pages {pages}: give all, first, a number such as 3, or a range such as 2-5")
    return range(numbers[0], min(numbers[1], count) + 1)


class PageFile:
    """A TIFF file that pages are added to one after another; only one is in memory at a time.

    Args:
        path: the file; it is replaced.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("w+b")
        self._link = 0
        """Where the pointer to the next page lies."""
        self._order: Literal["little", "big"] = "little"
        self._big = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, page: Path) -> None:
        """Append a TIFF file of one page.

        Raises:
            ImageError: together they are larger than the kind of TIFF that the first page has.
        """
        base = -(-self._file.seek(0, 2) // 16) * 16
        self._file.truncate(base)
        self._file.seek(base)
        with page.open("rb") as source:
            shutil.copyfileobj(source, self._file, 1 << 20)
            with mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                tiff = Tiff(cast(bytes, mapped))
                if self._link and (tiff.byteorder, tiff.big) != (self._order, self._big):
                    raise self._too_large()
                self._order, self._big = tiff.byteorder, tiff.big
                self._move(tiff, tiff.first, base)
                place, link = self._marked(tiff, base)
                self._write(self._link or (8 if tiff.big else 4), place)
                self._link = link

    def _marked(self, tiff: Tiff, base: int) -> tuple[int, int]:
        """Write the directory again, as that of a page: small pages could be taken for copies of large ones.

        Returns where it lies, and where its pointer to the next one lies.
        """
        head, room = ("Q", 8) if tiff.big else ("H", 4)
        (count,) = tiff.numbers(head, tiff.first)
        self._file.seek(base + tiff.first + struct.calcsize(head))
        lines = self._file.read(count * (20 if tiff.big else 12))
        mark = struct.pack(tiff.order + ("HHQL4x" if tiff.big else "HHLL"), _NEW_SUBFILE_TYPE, LONG, 1, _PAGE)
        place = self._file.seek(-(-self._file.seek(0, 2) // 2) * 2)  # directories lie at even places
        self._file.write(struct.pack(tiff.order + head, count + 1) + mark + lines + bytes(room))
        return place, self._file.tell() - room

    def _move(self, tiff: Tiff, offset: int, base: int) -> None:
        """Add `base` to what a directory points to."""
        if not base:
            return
        entries, _ = tiff.entries(offset)
        inside = 12 if tiff.big else 8
        for entry in entries:
            if entry.where != entry.place + inside:
                self._write(base + entry.place + inside, base + entry.where)
            if entry.tag in _OFFSETS | _DIRECTORIES:
                size = entry.size // entry.count
                for number, value in enumerate(tiff.integers(entry)):
                    self._write(base + entry.where + number * size, base + value, size)
                    if entry.tag in _DIRECTORIES:
                        self._move(tiff, value, base)

    def _write(self, place: int, number: int, size: int = 0) -> None:
        try:
            data = number.to_bytes(size or (8 if self._big else 4), self._order)
        except OverflowError:
            raise self._too_large() from None
        self._file.seek(place)
        self._file.write(data)

    def _too_large(self) -> ImageError:
        return ImageError(f"{self._path}: its pages are larger than 4 GB together; convert fewer at once with --pages")
