"""Films whose headers lie about sizes and numbers of frames: refused in one line, or read as what they are."""

import io
import struct
from fractions import Fraction

import numpy as np
import pytest

from translate.errors import ImageError

av = pytest.importorskip("av")

from translate.video.transcode import survey  # noqa: E402 - needs it


def film(codec: str, container: str, pixels: str) -> bytearray:
    """Five grey frames of 64 x 64."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as target:
        stream = target.add_stream(codec, rate=Fraction(25))
        stream.width = stream.height = 64
        stream.pix_fmt = pixels
        for number in range(5):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 9 * number, np.uint8), format="rgb24")
            target.mux(stream.encode(frame))
        target.mux(stream.encode())
    return bytearray(buffer.getvalue())


def with_numbers(data: bytearray, mark: bytes, place: int, form: str, *numbers: int) -> bytes:
    """The film with other numbers so many bytes after each of these marks."""
    at = data.find(mark)
    assert at >= 0
    while at >= 0:
        struct.pack_into(form, data, at + place, *numbers)
        at = data.find(mark, at + 1)
    return bytes(data)


MOTION_JPEG, RAW, H264 = ("mjpeg", "avi", "yuvj420p"), ("rawvideo", "avi", "yuv420p"), ("libx264", "mp4", "yuv420p")


@pytest.mark.parametrize("side", [16_000, 65_500])
def test_frames_of_a_lying_size(side: int) -> None:
    data = with_numbers(film(*MOTION_JPEG), b"\xff\xc0", 5, ">HH", side, side)
    with pytest.raises(ImageError, match=r"^a\.avi: none of its frames can be decoded"):
        survey(data, "a.avi")


def test_a_header_of_a_lying_size() -> None:
    data = with_numbers(film(*RAW), b"strf", 12, "<ii", 30_000, 30_000)
    with pytest.raises(ImageError, match=r"^a\.avi: none of its frames can be decoded"):
        survey(data, "a.avi")


def test_a_billion_frames() -> None:
    data = with_numbers(film(*MOTION_JPEG), b"strh", 40, "<I", 10**9)
    with pytest.raises(ImageError, match=r"^a\.avi: truncated after 0\.2 s of 40000000\.0 s"):
        survey(data, "a.avi")
    data = with_numbers(film(*H264), b"stsz", 12, ">I", 10**9)
    with pytest.raises(ImageError, match=r"^a\.mp4: damaged or not a video"):
        survey(data, "a.mp4")
    data = with_numbers(film(*H264), b"stts", 12, ">I", 10**9)
    assert survey(data, "a.mp4").frames == 5


@pytest.mark.parametrize(
    "text", ["#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", "ffconcat version 1.0\nfile /etc/passwd\n", "file:/etc/passwd"]
)
def test_playlists_open_no_other_files(text: str) -> None:
    with pytest.raises(ImageError, match=r"^a\.mp4: damaged or not a video"):
        survey(text.encode(), "a.mp4")
