"""What a film holds besides its pictures stays, or the notes say what does not."""

import re
from collections.abc import Callable
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import pytest
from av.stream import Disposition
from made_films import clip, pictures, times, write_film
from PIL import Image
from test_film import convert, stream_of

from translate.video.extras import other_data, time_code

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


WORDS = b"1\n00:00:00,100 --> 00:00:00,300\n<i>Hello</i>\n\n2\n00:00:00,350 --> 00:00:00,450\nworld\n\n"
STYLED = (
    b"[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\n"
    b"Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, "
    b"Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, "
    b"MarginV, Encoding\n"
    b"Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,1\n\n[Events]\n"
    b"Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
    b"Dialogue: 0,0:00:00.10,0:00:00.30,Default,,0,0,0,,{\\an8}Hello\n"
    b"Dialogue: 0,0:00:00.35,0:00:00.45,Default,,0,0,0,,world\n"
)


def with_subtitles(source: Path, name: str, words: bytes, kind: str) -> Path:
    with av.open(BytesIO(words), format=kind) as text:

        def add(film: Any) -> list[Any]:
            packets = [packet for packet in text.demux() if packet.size]
            stream = film.add_stream_from_template(text.streams.subtitles[0], opaque=True)
            for packet in packets:
                packet.stream = stream
            return packets

        return remade(source, name, add, language="fre")


def texts(path: Path) -> list[tuple[float, str]]:
    """Times in seconds and words of the subtitles."""
    with av.open(str(path)) as film:
        (stream,) = film.streams.subtitles
        return [
            (round(float(packet.pts * packet.time_base), 3), re.sub(r"\{.*?\}", "", event.dialogue.decode()))
            for packet in film.demux(stream)
            if packet.size
            for event in packet.decode()
        ]


@pytest.mark.parametrize("kind", ["srt", "ass"])
def test_subtitles_in_the_codec_of_each_format(tmp_path: Path, kind: str) -> None:
    source = with_subtitles(write_film(tmp_path / "plain.mkv"), "a.mkv", WORDS if kind == "srt" else STYLED, kind)
    for suffix in (*SUFFIXES, ".mkv"):  # each from the one before, where it is not styled
        result, notes = convert(source, suffix)
        plain = kind == "srt" or suffix == ".mkv"
        assert notes == (
            []
            if plain
            else [f"its subtitles lost their fonts and places, because {suffix[1:].upper()} holds only plain text"]
        )
        assert texts(result) == [(0.1, "Hello"), (0.35, "world")]
        if kind == "srt":
            source = result.rename(result.with_stem(f"from-{suffix[1:]}"))


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
