"""What a film holds besides its pictures stays, or the notes say what does not; sizes and rates that are unusual."""

import dataclasses
from collections.abc import Callable
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition
from made_films import clip, packets, pictures, times, write_film
from PIL import Image
from test_film import convert, stream_of, through, twice

from translate.errors import ImageError
from translate.video.encoders import choose_encoder
from translate.video.extras import other_data, time_code
from translate.video.transcode import _Times, convert_video, survey

SUFFIXES = (".mp4", ".mov", ".mkv", ".webm")
CHAPTERS: Any = [
    {"id": 1, "start": 0, "end": 200, "time_base": Fraction(1, 1000), "metadata": {"title": "One"}},
    {"id": 2, "start": 200, "end": 480, "time_base": Fraction(1, 1000), "metadata": {"title": "Two"}},
]


def picture_file(kind: str, **options: Any) -> bytes:
    file = BytesIO()
    Image.fromarray(clip(1)[0]).save(file, kind, **options)
    return file.getvalue()


def remade(source: Path, name: str, prepare: Callable[[Any], Any] = lambda film: [], **tags: str) -> Path:
    """A copy of a film with other streams: `prepare` gets the new film and returns more packets to write."""
    target = source.with_name(name)
    with av.open(str(source)) as film, av.open(str(target), "w") as made:
        copies: dict[int, Any] = {}
        for stream in film.streams:
            copies[stream.index] = made.add_stream_from_template(stream, opaque=True)
            copies[stream.index].metadata.update(tags)
        more = prepare(made)
        made.start_encoding()
        made.mux(more)
        for packet in film.demux():
            if packet.size:
                packet.stream = copies[packet.stream.index]
                made.mux(packet)
    return target


def everything(film: Any) -> list[Any]:
    """Add a font, a cover picture, chapters and tags."""
    film.add_attachment("x.ttf", "font/ttf", b"font" * 9)
    film.add_attachment("cover.jpg", "image/jpeg", picture_file("JPEG"))
    film.set_chapters(CHAPTERS)
    film.metadata.update({"title": "Holiday", "DIRECTOR": "Me"})
    return []


@pytest.fixture
def rich(tmp_path: Path) -> Path:
    plain = write_film(tmp_path / "plain.mkv", sound="libopus")
    return remade(plain, "rich.mkv", everything, language="fre", title="Track", timecode="01:00:00:00")


def found_in(path: Path) -> dict[str, Any]:
    with av.open(str(path)) as film:
        covers = {stream.index for stream in film.streams if stream.disposition & Disposition.attached_pic}
        streams = [
            stream for stream in film.streams if stream.type in ("video", "audio") and stream.index not in covers
        ]
        return {
            "attachments": [(one.name, one.mimetype, one.data) for one in film.streams.attachments],
            "covers": [bytes(one) for one in film.demux() if one.size and one.stream.index in covers],
            "chapters": [chapter["metadata"]["title"] for chapter in film.chapters()],
            "languages": [stream.language for stream in streams],
            "titles": [stream.metadata.get("title", stream.metadata.get("name")) for stream in streams],
            "time code": {name.lower(): value for name, value in streams[0].metadata.items()}.get("timecode"),
            "tags": {name.lower(): value for name, value in film.metadata.items()},
        }


def test_matroska_keeps_everything(rich: Path) -> None:
    result, notes = convert(rich)
    assert notes == []
    given, found = found_in(rich), found_in(result)
    assert given.pop("tags").items() - {("encoder", "")} == found.pop("tags").items()
    assert found == given
    assert found["attachments"] == [("x.ttf", "font/ttf", b"font" * 9)]
    assert found["covers"] == [picture_file("JPEG")]
    assert (found["chapters"], found["languages"]) == (["One", "Two"], ["fre", "fre"])
    assert (found["titles"], found["time code"]) == (["Track", "Track"], "01:00:00:00")


FONT = "its attachments were dropped, because {} cannot hold them: x.ttf; --format mkv keeps more"
COVER = "its cover picture was dropped, because {} cannot hold it; --format mkv keeps more"
OPUS = "its audio was dropped, because MOV does not support the codec (opus); --format mkv supports more codecs"
DIRECTOR = "its tags were dropped, because MP4 cannot hold them: director; --format mkv keeps more"


@pytest.mark.parametrize(
    ("suffix", "notes", "language"),
    [
        (".mp4", [FONT.format("MP4"), DIRECTOR], "fre"),
        (".mov", [OPUS, FONT.format("MOV"), COVER.format("MOV")], "fra"),
        (".webm", [FONT.format("WEBM"), COVER.format("WEBM")], "fre"),
    ],
)
def test_what_other_formats_cannot_hold_is_said(rich: Path, suffix: str, notes: list[str], language: str) -> None:
    result, said = convert(rich, suffix)
    assert said == notes
    found = found_in(result)
    assert found["covers"] == ([picture_file("JPEG")] if suffix == ".mp4" else [])
    assert (found["chapters"], found["time code"]) == (["One", "Two"], "01:00:00:00")
    assert set(found["languages"]) == {language}
    assert set(found["titles"]) == {"Track"}
    assert found["tags"]["title"] == "Holiday"
    assert ("director" in found["tags"]) == (suffix != ".mp4")
    assert times(result) == times(rich)


def test_cover_of_mp4(tmp_path: Path) -> None:
    plain = write_film(tmp_path / "plain.mp4", sound="aac")

    def cover(film: Any) -> list[Any]:
        with av.open(BytesIO(picture_file("PNG")), format="png_pipe") as picture:
            (packet,) = [one for one in picture.demux() if one.size]
            packet.stream = film.add_stream_from_template(picture.streams.video[0])
            packet.stream.disposition = Disposition.attached_pic
        return [packet]

    source = remade(plain, "covered.mp4", cover)
    for suffix in (".mp4", ".mkv"):
        result, notes = convert(source, suffix)
        assert notes == []
        assert found_in(result)["covers"] == [picture_file("PNG")]
        assert len(pictures(result)) == 12
    assert found_in(convert(source, metadata="strip")[0])["covers"] == []


def test_a_cover_that_may_tell_the_place(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x8825] = {1: "N", 2: (52.0, 0.0, 0.0)}
    source = remade(
        write_film(tmp_path / "plain.mkv"),
        "a.mkv",
        lambda film: film.add_attachment("cover.jpg", "image/jpeg", picture_file("JPEG", exif=exif)) and [],
    )
    result, notes = convert(source, metadata="no-location")
    assert notes == ["its cover picture was dropped, because its metadata may contain a location"]
    assert found_in(result)["covers"] == []


@pytest.mark.parametrize("language", ["deu", "swe", "jpn", "eng"])
def test_languages_that_quicktime_spells_differently(tmp_path: Path, language: str) -> None:
    source = remade(write_film(tmp_path / "plain.mkv"), "a.mkv", language=language)
    result, notes = convert(source, ".mov")
    assert notes == []
    assert found_in(result)["languages"] == [{"deu": "ger", "swe": "sve"}.get(language, language)]


def test_a_language_that_quicktime_does_not_know(tmp_path: Path) -> None:
    source = remade(write_film(tmp_path / "plain.mkv"), "a.mkv", language="tlh")
    _, notes = convert(source, ".mov")
    assert notes == [
        "its tags were dropped, because MOV cannot hold them: language of stream 1 (tlh); --format mkv keeps more"
    ]


@pytest.mark.parametrize(
    ("code", "rate", "possible"),
    [
        ("01:00:00:00", 25, True),
        ("01:00:00:00", 17.3, True),
        ("01:00:00;00", 30000 / 1001, True),
        ("01:00:00;00", 25, False),
        ("01:00:00;00", 30, False),
    ],
)
def test_time_code(code: str, rate: float, possible: bool) -> None:
    source = SimpleNamespace(metadata={}, streams=[SimpleNamespace(type="data", metadata={"TIMECODE": code})])
    assert time_code(source, SimpleNamespace(metadata={}), rate) == (code, possible)


def test_a_time_code_that_does_not_suit_the_rate(tmp_path: Path) -> None:
    source = remade(write_film(tmp_path / "plain.mkv"), "a.mkv", timecode="01:00:00;00")
    result, notes = convert(source, ".mp4")
    assert notes == ["its time code 01:00:00;00 was dropped, because it does not suit 25 frames/s"]
    assert found_in(result)["time code"] is None


def test_data_streams_that_are_lost() -> None:
    streams = [
        SimpleNamespace(
            type="data", metadata={"handler_name": "TimeCodeHandler", "timecode": "01:00:00:00"}, discard=0
        ),
        SimpleNamespace(type="data", metadata={"handler_name": "SubtitleHandler"}, discard=48),  # chapters
        SimpleNamespace(type="data", metadata={"handler_name": "GoPro MET  "}, discard=0),
        SimpleNamespace(type="audio", metadata={}, discard=0),
    ]
    assert other_data(SimpleNamespace(streams=streams)) == ["GoPro MET"]


def test_several_video_streams(tmp_path: Path) -> None:
    both = tmp_path / "both.mkv"
    with av.open(str(both), "w") as film:
        streams: list[Any] = []
        for width, disposition in ((32, Disposition(0)), (64, Disposition.default)):
            stream: Any = film.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt, stream.disposition = width, 48, "yuv420p", disposition
            streams.append(stream)
        for stream in streams:
            for frame in clip(3, 48, stream.width):
                film.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            film.mux(stream.encode(None))
    result, notes = convert(both)
    assert notes == ["has 2 video streams; only the main one, number 2, was converted"]
    assert stream_of(result)["size"] == (64, 48)


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
