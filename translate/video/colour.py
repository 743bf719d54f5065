"""Colour conversion between RGB and the YUV of a video, according to the colour tags of the video.

Array names carry their shape: H height, W width, C channels.
"""

from dataclasses import dataclass

import av
from av.video.reformatter import Interpolation, VideoReformatter

from translate.pictures.picture import Pixels

_LIMITED, _FULL = 1, 2
_BT709, _BT601 = 1, 6
_MATRICES = {1, 4, 5, 6, 7, 9}
"""BT.709, FCC, BT.601 (twice), SMPTE 240M, BT.2020: code points of ITU-T H.273, which FFmpeg also uses."""

# Without these, libswscale rounds to even columns and is off by several levels.
_EXACT = (
    Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
)


@dataclass(frozen=True)
class Colours:
    """The colour space of a video, as code points of ITU-T H.273."""

    matrix: int
    """For converting between YUV and RGB."""
    range: int
    """1: limited, black is 16 and white 235; 2: full, 0 and 255."""
    primaries: int
    transfer: int

    @classmethod
    def of(cls, frame: av.VideoFrame) -> "Colours":
        """The colour space of a frame. If it has no matrix, the one that players assume for its size.

        RGB frames get the matrix and range that players assume.
        """
        matrix = frame.colorspace
        if matrix not in _MATRICES:
            matrix = _BT709 if frame.width >= 1280 or frame.height > 576 else _BT601
        full = not frame.format.is_rgb and (frame.color_range == _FULL or "yuvj" in frame.format.name)
        return cls(matrix, _FULL if full else _LIMITED, frame.color_primaries, frame.color_trc)


def to_rgb(frame: av.VideoFrame, converter: VideoReformatter) -> Pixels:
    """Convert a frame of any format to uint8 (H, W, 3)."""
    if not frame.format.is_rgb:
        colours = Colours.of(frame)
        frame.colorspace, frame.color_range = colours.matrix, colours.range
    return converter.reformat(frame, format="rgb24", interpolation=_EXACT, threads=1).to_ndarray()


def from_rgb(rgb_HWC: Pixels, colours: Colours, converter: VideoReformatter, pixel_format: str) -> av.VideoFrame:
    """Convert uint8 (H, W, 3) to a frame in a pixel format, by FFmpeg's name, e.g. `yuv420p`."""
    frame = av.VideoFrame.from_ndarray(rgb_HWC, format="rgb24")
    frame.colorspace, frame.color_range = colours.matrix, colours.range
    return converter.reformat(frame, format=pixel_format, interpolation=_EXACT, threads=1)
