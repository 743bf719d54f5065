"""Colours of films: between what is stored (YUV) and RGB, by what the film says about itself.

Array names carry their shape: H height, W width, C channels.
"""

from dataclasses import dataclass

import av
from av.video.reformatter import Interpolation, VideoReformatter

from translate.picture import Pixels

_LIMITED, _FULL = 1, 2
_RGB, _BT709, _UNSPECIFIED, _BT601 = 0, 1, 2, 6
_MATRICES = {1, 4, 5, 6, 7, 9}
"""BT.709, FCC, BT.601 (twice), SMPTE 240M, BT.2020: numbers of ITU-T H.273, which FFmpeg shares."""

# Without these, libswscale rounds to even columns and is off by several steps.
_EXACT = (
    Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
)


@dataclass(frozen=True)
class Colours:
    """What the numbers of a film mean; numbers as in ITU-T H.273."""

    matrix: int
    """Between YUV and RGB."""
    range: int
    """1: black is 16 and white 235; 2: 0 and 255."""
    primaries: int
    transfer: int

    @classmethod
    def of(cls, frame: av.VideoFrame) -> "Colours":
        """Those of a frame. Where it does not say a matrix, the one that players guess by its size.

        RGB frames get the matrix and range that players guess.
        """
        matrix = frame.colorspace
        if matrix not in _MATRICES:
            matrix = _BT709 if frame.width >= 1280 or frame.height > 576 else _BT601
        full = not frame.format.is_rgb and (frame.color_range == _FULL or "yuvj" in frame.format.name)
        return cls(matrix, _FULL if full else _LIMITED, frame.color_primaries, frame.color_trc)


def to_rgb(frame: av.VideoFrame, converter: VideoReformatter) -> Pixels:
    """Return uint8 (H, W, 3) of a frame of any format."""
    if not frame.format.is_rgb:
        colours = Colours.of(frame)
        frame.colorspace, frame.color_range = colours.matrix, colours.range
    return converter.reformat(frame, format="rgb24", interpolation=_EXACT, threads=1).to_ndarray()


def from_rgb(rgb_HWC: Pixels, colours: Colours, converter: VideoReformatter) -> av.VideoFrame:
    """Make a frame of 8 bits, 4:2:0, of uint8 (H, W, 3)."""
    frame = av.VideoFrame.from_ndarray(rgb_HWC, format="rgb24")
    frame.colorspace, frame.color_range = colours.matrix, colours.range
    return converter.reformat(frame, format="yuv420p", interpolation=_EXACT, threads=1)
