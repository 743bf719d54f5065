"""AVI, which has no times: each frame is in an interval of its own, in the order in which frames are stored."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from made_films import clip, packets, pictures, times, write_film
from test_film import convert


def reordered(codec: str, between: int) -> Callable[[Any], None]:
    """Settings for so many frames between others that are stored before them."""

    def prepare(stream: Any) -> None:
        fixed = {"crf": "4", "x264-params": "b-adapt=0"} if codec == "libx264" else {"qmin": "1", "qmax": "2"}
        stream.codec_context.options = {"bf": str(between), "g": "10", **fixed}

    return prepare


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
@pytest.mark.parametrize("between", [0, 1, 2, 3])
def test_frames_are_shown_when_they_were(tmp_path: Path, codec: str, between: int) -> None:
    """Also those that are stored after others that are shown later; what FFmpeg guesses for them is late."""
    frames = clip(24)
    source = write_film(tmp_path / "a.avi", frames, codec=codec, sound="mp2", prepare=reordered(codec, between))
    result, notes = convert(source, ".mp4")
    assert notes == []
    assert times(result) == [(number / 25, 1 / 25) for number in range(24)]
    for made, given in zip(pictures(result), frames, strict=True):
        assert np.abs(made.astype(int) - given).mean() < 4
    assert packets(result, "audio")[0][0] == pytest.approx(0, abs=0.03)


@pytest.mark.parametrize("codec", ["libx264", "mpeg4", "mjpeg"])
def test_gaps_stay(tmp_path: Path, codec: str) -> None:
    moments = [0, 1, 2, 5, 6, 7, 8, 9, 13, 14]
    kind = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    prepare = reordered(codec, 0) if codec != "mjpeg" else lambda _: None
    source = write_film(tmp_path / "a.avi", clip(10), codec=codec, times=moments, pix_fmt=kind, prepare=prepare)
    result, _ = convert(source, ".mp4")
    assert [round(25 * start) for start, _ in times(result)] == moments


@pytest.mark.parametrize("between", [0, 2])
@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_frames_after_damaged_ones_are_not_early(tmp_path: Path, codec: str, between: int) -> None:
    source = write_film(tmp_path / "a.avi", clip(100), codec=codec, prepare=reordered(codec, between))
    with av.open(str(source)) as container:
        stored = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    data = source.read_bytes()
    for number in range(15, 45, 5):
        data = data.replace(stored[number], b"\xff" * len(stored[number]))
    source.write_bytes(data)
    result, notes = convert(source, ".mp4")
    assert notes[0].startswith("damaged frames: ")
    assert len(times(result)) < 100
    assert 25 * times(result)[-1][0] == pytest.approx(99, abs=1)
