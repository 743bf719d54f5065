"""Films with unusual rates, starts and sizes."""

import dataclasses
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from made_films import clip, packets, pictures, times, write_film
from test_film import convert, stream_of, through, twice

from translate.errors import ImageError
from translate.video.encoders import choose_encoder
from translate.video.transcode import _Times, convert_video, survey

SUFFIXES = (".mp4", ".mov", ".mkv", ".webm")

# A browser writes no rate, and times in whole milliseconds that are never quite regular.
RECORDED = [0, 31, 68, 99, 135, 166, 200, 233, 270, 300, 333, 366]


@pytest.mark.parametrize("suffix", [".webm", ".mp4", ".mkv"])
def test_a_recording_without_a_rate(tmp_path: Path, suffix: str) -> None:
    source = write_film(
        tmp_path / "a.webm",
        clip(),
        times=RECORDED,
        time_base=Fraction(1, 1000),
        sound="libopus",
        options={"live": "1"},  # no duration either
    )
    data = source.read_bytes()
    place = data.index(b"\x23\xe3\x83\x84")  # DefaultDuration of Matroska, in four bytes, becomes Void
    source.write_bytes(data[:place] + b"\xec\x86" + bytes(6) + data[place + 8 :])
    result, notes = convert(source, suffix)
    assert notes == []
    assert [round(1000 * start) for start, _ in times(result)] == RECORDED
    assert 29 < stream_of(result)["rate"] < 31
    assert len(packets(result, "audio")) == len(packets(source, "audio"))
    if suffix != ".webm":
        with av.open(str(result)) as film:
            assert film.streams.video[0].codec_context.extradata[3] <= 30  # level of H.264, times ten


@pytest.mark.parametrize(
    ("moments", "average", "guessed", "rate"),
    [
        (RECORDED, None, 1000, 30),  # what FFmpeg says of a recording
        (RECORDED, 1000, 1000, 30),  # written by a program that believed it
        (RECORDED, None, 90000, 30),
        (RECORDED, 30, 30, 30),
        ([0, 40, 60, 140, 141, 420], 25, 25, 25),
        ([0, 1000, 2000], 25, 25, 1),
        (range(0, 1000, 4), 250, 250, 250),
        ([0], None, 1000, 25),
        ([0], 30, 30, 30),
        ([], 24, 24, 24),
        ([0, 10_000_000], None, 1000, 0),
    ],
)
def test_rates(moments: list[int], average: Any, guessed: Any, rate: int) -> None:
    seen = _Times()
    for moment in moments:
        seen.see(SimpleNamespace(pts=moment, duration=None, time_base=Fraction(1, 1000)), True)
    found = seen.rate(SimpleNamespace(average_rate=average and Fraction(average), guessed_rate=Fraction(guessed)))
    assert int(found) == rate
    assert found > 0


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_one_frame_and_a_late_start(tmp_path: Path, suffix: str) -> None:
    sound = "libopus" if suffix == ".webm" else "aac"
    late = write_film(
        tmp_path / f"late{suffix}",
        clip(5),
        times=[900_000 + 3600 * number for number in range(5)],
        time_base=Fraction(1, 90_000),
        sound=sound,
    )
    one = write_film(tmp_path / f"one{suffix}", clip(1))
    for source in (late, one):
        result, notes = convert(source)
        assert notes == []
        assert times(result) == times(source)
        assert packets(result, "audio") == packets(source, "audio")
        assert stream_of(result)["rate"] == 25


LONG = 16_386
"""More pixels than a side may have in H.264."""


@pytest.mark.parametrize(
    ("suffix", "codec", "name"), [(".mp4", "vp9", "VP9"), (".mkv", "vp9", "VP9"), (".mov", "prores", "ProRes")]
)
def test_a_result_too_wide_for_the_usual_codec(tmp_path: Path, suffix: str, codec: str, name: str) -> None:
    source = write_film(tmp_path / f"a{suffix}", clip(2, 16, LONG // 2 + 1))
    seen: list[np.ndarray] = []

    def watched(rgb_HWC: np.ndarray) -> np.ndarray:
        seen.append(rgb_HWC)
        return twice(rgb_HWC)

    target = tmp_path / f"b{suffix}"
    notes = convert_video(source, target, survey(source, "film"), watched, through, name="film", scale=2, quality=100)
    assert list(notes) == [f"{LONG + 2} x 32 pixels are too many for H.264; the result is {name}"]
    found = stream_of(target)
    assert (found["codec"].removeprefix("lib"), found["size"]) == (codec, (LONG + 2, 32))
    assert times(target) == times(source)
    for made, given in zip(pictures(target), sorted(seen, key=np.mean), strict=True):
        assert np.abs(made[::2, ::2].astype(int) - given).mean() < 3


def test_a_result_too_large_for_any_codec(tmp_path: Path) -> None:
    source = write_film(tmp_path / "a.mp4")
    film = dataclasses.replace(survey(source, "film"), width=35_000)

    def never(_: np.ndarray) -> np.ndarray:
        raise AssertionError

    message = r"^film: the result would have 70000 x 96 pixels, but MP4 holds at most 65535 on a side and 268 million"
    with pytest.raises(ImageError, match=message):
        convert_video(source, tmp_path / "b.mp4", film, never, through, name="film", scale=2)
    assert not (tmp_path / "b.mp4").exists()


@pytest.mark.parametrize(
    ("suffix", "size", "codec"),
    [
        (".mp4", (16384, 16), "H.264"),
        (".mp4", (16384, 16000), "H.264"),
        (".mp4", (16385, 16), "VP9"),
        (".mp4", (65535, 16), "VP9"),
        (".mp4", (1, 1), "H.264"),
        (".mov", (16, 65535), "ProRes"),
        (".webm", (3, 5), "VP9"),
        (".webm", (65536, 16), None),
        (".mp4", (16384, 16384), None),  # FFmpeg's own limit
    ],
)
def test_codec_of_a_size(suffix: str, size: tuple[int, int], codec: str | None) -> None:
    if codec is None:
        with pytest.raises(ImageError, match=r"^film: .*; reduce the film first$"):
            choose_encoder(suffix, *size, "film")
    else:
        assert choose_encoder(suffix, *size, "film").codec == codec


def test_what_the_encoder_refuses_is_said_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_film(tmp_path / "a.mp4")
    wrong = dataclasses.replace(choose_encoder(".mp4", 48, 64, "film"), options={"profile": "none"})
    monkeypatch.setattr("translate.video.transcode.choose_encoder", lambda *_: wrong)
    with pytest.raises(
        ImageError, match=r"^film: FFmpeg cannot write it as MP4 with H\.264, 64 x 48 pixels \(.*\); try"
    ):
        convert(source, change=lambda _: pytest.fail("called"))
