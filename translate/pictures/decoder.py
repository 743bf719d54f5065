"""What reads picture files for a conversion: the functions of this process, or another process with limits
(`translate.pictures.isolated`)."""

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from translate.errors import TooLarge
from translate.pictures import animation, jpeg_traces, pages
from translate.pictures import decode as decoding
from translate.pictures.picture import Picture


@dataclass(frozen=True)
class Stated:
    """What the headers of a file state; nothing has been decoded."""

    frames: int
    """Number of frames; 1 if it is no animation."""
    pages: int
    sides: tuple[tuple[int, int], ...]
    """Height and width of each page in pixels; none if there are too many pages."""


class Decoder(Protocol):
    """Reads picture files. Thread-safe.

    All methods take a file as its path or its bytes, and what errors call it. Raises `ImageError` (and `TooLarge`) as
    the functions of the same names do.
    """

    def decode(
        self,
        data: bytes | Path,
        name: str | None = None,
        *,
        max_pixels: int | None = None,
        bits: Literal[8, 16] = 8,
        page: int = 1,
    ) -> Picture:
        """See `translate.pictures.decode.decode`."""
        ...

    def stated(self, data: bytes | Path, name: str, most_pages: int) -> Stated:
        """Sizes, frames and pages; without the sizes if there are more than so many pages."""
        ...

    def count_frames(self, data: bytes | Path) -> int:
        """See `translate.pictures.animation.count_frames`."""
        ...

    def count_pages(self, data: bytes | Path) -> int:
        """See `translate.pictures.pages.count_pages`."""
        ...

    def survey(self, data: bytes | Path, name: str) -> animation.Animation:
        """See `translate.pictures.animation.survey`."""
        ...

    def frames(self, data: bytes | Path, name: str) -> Generator[Picture]:
        """See `translate.pictures.animation.frames`."""
        ...

    def jpeg_quality(self, data: bytes | Path) -> int | None:
        """See `translate.pictures.jpeg_traces.jpeg_quality`."""
        ...


class InProcess:
    """Reads in this process: for the files of the person who runs the program."""

    def decode(
        self,
        data: bytes | Path,
        name: str | None = None,
        *,
        max_pixels: int | None = None,
        bits: Literal[8, 16] = 8,
        page: int = 1,
    ) -> Picture:
        """See `Decoder`."""
        return decoding.decode(data, name, max_pixels=max_pixels, bits=bits, page=page)

    def stated(self, data: bytes | Path, name: str, most_pages: int) -> Stated:
        """See `Decoder`."""
        frames, sides = animation.count_frames(data), pages.sides_of_pages(data)
        if len(sides) > most_pages:
            return Stated(frames, len(sides), ())
        for page, side in enumerate(sides, 1):
            if page == 1 or side == (0, 0):
                try:
                    decoding.decode(data, name, max_pixels=0, page=page)
                except TooLarge as found:
                    sides[page - 1] = (found.height, found.width)
        return Stated(frames, len(sides), tuple(sides))

    def count_frames(self, data: bytes | Path) -> int:
        """See `Decoder`."""
        return animation.count_frames(data)

    def count_pages(self, data: bytes | Path) -> int:
        """See `Decoder`."""
        return pages.count_pages(data)

    def survey(self, data: bytes | Path, name: str) -> animation.Animation:
        """See `Decoder`."""
        return animation.survey(data, name)

    def frames(self, data: bytes | Path, name: str) -> Generator[Picture]:
        """See `Decoder`."""
        return animation.frames(data, name)

    def jpeg_quality(self, data: bytes | Path) -> int | None:
        """See `Decoder`."""
        return jpeg_traces.jpeg_quality(data)


IN_PROCESS = InProcess()
