"""Encoders of films: which one suits a format and a frame size."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import av

from translate.errors import ImageError


@dataclass(frozen=True)
class Encoder:
    """An encoder of FFmpeg and its settings."""

    name: str
    codec: str
    """Name of the codec for people."""
    worst: float = 0
    """CRF for quality 0, the end of the scale."""
    step: float = 0
    """Decrease of the CRF per quality step; 0: the encoder has no CRF."""
    longest: int = 65535
    """Longest side in pixels. Some containers store a side in 16 bits."""
    shortest: int = 1
    odd: bool = False
    """Whether sides may be odd in spite of chroma subsampling."""
    pixel_format: str = "yuv420p"
    options: Mapping[str, str] = field(default_factory=dict[str, str])

    def options_of(self, quality: int) -> dict[str, str]:
        """Options for a quality of 1 to 100."""
        crf = {"crf": f"{self.worst - self.step * quality:.0f}"} if self.step else {}
        return {**crf, **self.options}

    def sides(self, height: int, width: int) -> tuple[int, int]:
        """Height and width as encoded: rounded up to even numbers if necessary."""
        return (height, width) if self.odd else (height + height % 2, width + width % 2)

    def fits(self, height: int, width: int) -> bool:
        """Whether it can encode frames of this size."""
        return min(height, width) >= self.shortest and max(self.sides(height, width)) <= self.longest


# The CRF decreases linearly with quality. The default of 92 is CRF 18 for H.264, which is nearly lossless to the eye;
# the encoder's own default, CRF 23, is quality 78.
_H264 = Encoder("libx264", "H.264", 51, 0.36, longest=16384)
_VP9 = Encoder(
    "libvpx-vp9",
    "VP9",
    63,
    0.44,
    odd=True,
    # Without these, it targets 200 kbit/s whatever the quality, and takes ten times as long.
    options={"b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"},
)
_AV1 = Encoder("libsvtav1", "AV1", 63, 0.44, longest=16384, shortest=64, options={"preset": "8"})
# The only one of them that QuickTime's own format holds, and that takes any size.
_PRORES = Encoder("prores_ks", "ProRes", odd=True, pixel_format="yuv422p10le", options={"profile": "hq"})

_ENCODERS = {
    ".mp4": (_H264, _VP9, _AV1),
    ".mov": (_H264, _PRORES),
    ".mkv": (_H264, _VP9, _AV1),
    ".webm": (_VP9, _AV1),
}
"""Suffix -> encoders, best first; which are available depends on the build of FFmpeg."""

_MOST_PIXELS = 2**28
"""FFmpeg refuses larger frames. It counts a margin of 128 pixels on each side."""


def choose_encoder(suffix: str, height: int, width: int, name: str) -> Encoder:
    """The best encoder of a format for frames of this size.

    Args:
        suffix: of the result, lower case.
        height: of the result in pixels.
        width: of the result in pixels.
        name: name of the film in error messages.

    Raises:
        ImageError: no encoder takes this size.
        OSError: this FFmpeg has no encoder for the format.
    """
    known = [one for one in _ENCODERS[suffix] if one.name in av.codecs_available]
    if not known:
        names = " or ".join(one.name for one in _ENCODERS[suffix])
        raise OSError(f"this FFmpeg has no {names} encoder")
    if (height + 128) * (width + 128) < _MOST_PIXELS:
        for encoder in known:
            if encoder.fits(height, width):
                return encoder
    longest = max(one.longest for one in known)
    raise ImageError(
        f"{name}: the result would have {width} x {height} pixels, but {suffix[1:].upper()} holds at most {longest} on "
        f"a side and {_MOST_PIXELS // 10**6} million in all; reduce the film first"
    )


def size_note(suffix: str, encoder: Encoder, height: int, width: int) -> list[str]:
    """Notes for the user if another codec than usual was chosen, or if the sides were made even."""
    notes: list[str] = []
    first = next(one for one in _ENCODERS[suffix] if one.name in av.codecs_available)
    if encoder is not first:
        notes.append(f"{width} x {height} pixels are too many for {first.codec}; the result is {encoder.codec}")
    sides = encoder.sides(height, width)
    if sides != (height, width):
        notes.append(f"{width} x {height} pixels became {sides[1]} x {sides[0]}: this format needs even sides")
    return notes
