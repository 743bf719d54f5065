"""Animated pictures: GIF and WebP in and out, PNG and AVIF in.

Frames are read one by one by Pillow, which puts partial ones together, and written one by one by libvips as one very
high picture (`translate.pictures.band_writer`), which GIF gets the better colours from: a palette for each frame, and
dots where it does not suffice. Of the whole only files may be in memory: the one that is read, and the result if it is
WebP."""

from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from translate.errors import ImageError, TooLarge
from translate.machine import available_memory_bytes
from translate.pictures.band_writer import Timing
from translate.pictures.bombs import webp_frames
from translate.pictures.decode import frame_of, opened_frames
from translate.pictures.formats import HEAD_BYTES, recognise
from translate.pictures.picture import Picture, white_of

BYTES_PER_PIXEL = 36
"""Memory a frame needs while it is read: the decoder's two, and what a picture takes."""


@dataclass(frozen=True)
class Animation:
    """What `survey` finds."""

    height: int
    width: int
    """Of the frames in pixels, upright."""
    alpha: bool
    """Whether any of them is transparent anywhere."""
    timing: Timing
    facts: Picture
    """The first frame, with what the file says of all."""


def count_frames(data: Path | bytes) -> int:
    """How many frames a picture has; where damage forbids to tell, 1 or 2, and who decodes them says so."""
    count = 1
    with suppress(ImageError, OSError), BytesIO(data) if isinstance(data, bytes) else data.open("rb") as file:
        kind = recognise(file.read(HEAD_BYTES))
        if kind is not None and kind.name == "WebP":
            return webp_frames(file)
        file.seek(0)
        with opened_frames(file, "") as image:
            if image is not None:
                count = 2  # if the next line fails
                count = len(_numbers(image))
    return count


def survey(data: Path | bytes, name: str) -> Animation:
    """Decode all frames once, so that damage is found before work goes into them.

    Raises:
        ImageError: damaged; one line that begins with the name.
    """
    milliseconds: list[int] = []
    alpha, facts = False, None
    with opened_frames(data, name) as image:
        assert image is not None, "who calls has counted frames"
        height, width = image.height, image.width
        if height * width * BYTES_PER_PIXEL > available_memory_bytes():
            raise TooLarge(
                f"{name}: {width} x {height} pixels do not fit in memory here; make it smaller", height, width
            )
        start = 0 if image.format != "GIF" else None
        for number in _numbers(image):
            picture = frame_of(image, number)
            facts = facts or picture
            milliseconds.append(round(image.info.get("duration") or 0))
            alpha = alpha or (picture.alpha_HW is not None and picture.alpha_HW.min() < 255)
        loop = image.info.get("loop", start)
    assert facts is not None
    # GIF says how often it is to be shown again, the others how often in all.
    plays = 1 if loop is None else loop if image.format != "GIF" or not loop else loop + 1
    return Animation(facts.height, facts.width, alpha, Timing(tuple(milliseconds), plays), facts)


def frames(data: Path | bytes, name: str) -> Generator[Picture]:
    """Yield the frames, whole and upright.

    Raises:
        ImageError: damaged; one line that begins with the name.
    """
    with opened_frames(data, name) as image:
        assert image is not None
        for number in _numbers(image):
            yield frame_of(image, number)


def with_alpha(picture: Picture) -> Picture:
    """Return the picture with alpha, opaque if it had none."""
    opaque_HW = np.full(picture.rgb_HWC.shape[:2], white_of(picture.rgb_HWC), picture.rgb_HWC.dtype)
    return picture if picture.alpha_HW is not None else Picture(picture.rgb_HWC, opaque_HW)


def hundredths(timing: Timing) -> Timing:
    """Round durations to hundredths of a second, as GIF has them, so that their sum stays as it was."""
    ends = np.rint(np.cumsum((0, *timing.milliseconds)) / 10).astype(int) * 10
    return Timing(tuple(int(number) for number in np.diff(ends)), timing.plays)


def _numbers(image: Any) -> range:
    """Numbers of the frames: PNG may begin with a picture for programs that know no animations."""
    return range(int(getattr(image, "default_image", False)), image.n_frames)
