"""One film: what comes out is what went in, with other pixels."""

import dataclasses
from collections.abc import Callable, Generator, Iterable
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from made_films import clip, packets, pictures, times, write_film

from translate.errors import ImageError
from translate.threads import ordered_map
from translate.video.transcode import convert_video, survey

Change = Callable[[np.ndarray], np.ndarray]


def through(function: Callable[[Any], Any], items: Iterable[Any], count: int) -> Generator[Any]:
    return ordered_map(function, items, 3)


def same(rgb_HWC: np.ndarray) -> np.ndarray:
    return rgb_HWC


def twice(rgb_HWC: np.ndarray) -> np.ndarray:
    return rgb_HWC.repeat(2, axis=0).repeat(2, axis=1)


def convert(source: Path, suffix: str | None = None, change: Change = same, **options: Any) -> tuple[Path, list[str]]:
    target = source.with_name(f"result{suffix or source.suffix}")
    film = survey(source, "film")
    notes = convert_video(
        source, target, film, change, through, name="film", scale=2 if change is twice else 1, quality=100, **options
    )
    return target, list(notes)


def stream_of(path: Path) -> dict[str, Any]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        return {
            "codec": context.name,
            "size": (context.width, context.height),
            "shape": stream.sample_aspect_ratio,
            "rate": stream.average_rate,
            "colours": (context.colorspace, context.color_range, context.color_primaries, context.color_trc),
            "tags": dict(container.metadata),
            "languages": [one.language for one in container.streams.audio],
        }


@pytest.mark.parametrize(
    ("suffix", "sound", "codec"),
    [(".mp4", "aac", "h264"), (".mov", "pcm_s16le", "h264"), (".mkv", "flac", "h264"), (".webm", "libopus", "vp9")],
)
def test_frames_and_times_and_sound_stay(tmp_path: Path, suffix: str, sound: str, codec: str) -> None:
    source = write_film(tmp_path / f"a{suffix}", sound=sound)
    result, notes = convert(source, change=lambda rgb_HWC: 255 - rgb_HWC)
    assert notes == []
    found = stream_of(result)
    assert (found["codec"].removeprefix("lib"), found["size"], found["rate"]) == (codec, (64, 48), 25)
    assert times(result) == times(source)
    assert packets(result, "audio") == packets(source, "audio")
    assert len(packets(result, "audio")) > 4
    for made, given in zip(pictures(result), pictures(source), strict=True):
        assert np.abs(made.astype(int) - (255 - given.astype(int))).mean() < 3


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_rate_that_varies_stays(tmp_path: Path, suffix: str) -> None:
    moments = [0, 40, 60, 140, 141, 420, 440, 800]
    source = write_film(tmp_path / f"a{suffix}", clip(8), times=moments, time_base=Fraction(1, 1000))
    result, _ = convert(source)
    assert [round(1000 * start) for start, _ in times(result)] == moments


DROPPED = "its audio was dropped, because {} does not support the codec ({}); --format mkv supports more codecs"


def test_sound_that_does_not_fit_is_left_out_and_said(tmp_path: Path) -> None:
    source = write_film(tmp_path / "a.mp4", sound="aac")
    result, notes = convert(source, ".webm")
    assert notes == [DROPPED.format("WEBM", "aac")]
    assert packets(result, "audio") == []
    assert len(times(result)) == 12


@pytest.mark.parametrize(
    ("source", "layout", "kept"),
    [("a.avi", "mono", True), ("a.avi", "stereo", True), ("a.mkv", "5.1", True), ("a.mkv", "quad", False)],
)
def test_sound_of_cameras_goes_into_mp4(tmp_path: Path, source: str, layout: str, kept: bool) -> None:
    """It is not compressed, and these formats do not always say which loudspeakers its channels are for."""
    codec = "mpeg4" if source == "a.avi" else None
    film = write_film(tmp_path / source, clip(3), codec=codec, sound="pcm_s16le", layout=layout)
    result, notes = convert(film, ".mp4")
    heard = b"".join(data for _, data in packets(film, "audio"))
    assert b"".join(data for _, data in packets(result, "audio")) == (heard if kept else b"")
    assert notes == ([] if kept else [DROPPED.format("MP4", "pcm_s16le")])


MATRICES = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}
"""Number in ITU-T H.273 -> shares of red and blue in brightness."""
COLOURS = [(200, 30, 60), (20, 180, 70), (40, 60, 210), (255, 255, 255), (0, 0, 0)]


def stored(rgb: tuple[int, int, int], matrix: int, full: bool) -> list[int]:
    """YCbCr of 8 bits, by the formulas of the standard."""
    kr, kb = MATRICES[matrix]
    red, green, blue = (level / 255 for level in rgb)
    y = kr * red + (1 - kr - kb) * green + kb * blue
    cb, cr = (blue - y) / (2 - 2 * kb), (red - y) / (2 - 2 * kr)
    return (
        [round(255 * y), round(128 + 255 * cb), round(128 + 255 * cr)]
        if full
        else [
            round(16 + 219 * y),
            round(128 + 224 * cb),
            round(128 + 224 * cr),
        ]
    )


def plain(yuv: list[int]) -> av.VideoFrame:
    frame = av.VideoFrame(64, 48, "yuv420p")
    for plane, level in zip(frame.planes, yuv, strict=True):
        plane.update(bytes([min(max(level, 0), 255)]) * plane.buffer_size)
    return frame


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", MATRICES)
def test_known_colours_and_their_tags(tmp_path: Path, matrix: int, full: bool) -> None:
    tags = (matrix, 2 if full else 1, 9 if matrix == 9 else matrix, 14 if matrix == 9 else matrix)

    def prepare(stream: Any) -> None:
        context = stream.codec_context
        context.colorspace, context.color_range, context.color_primaries, context.color_trc = tags

    source = write_film(
        tmp_path / "a.mp4", [plain(stored(colour, matrix, full)) for colour in COLOURS], prepare=prepare
    )
    seen: list[np.ndarray] = []

    def watch(rgb_HWC: np.ndarray) -> np.ndarray:
        seen.append(rgb_HWC)
        return rgb_HWC

    result, _ = convert(source, change=watch)
    assert stream_of(result)["colours"] == tags
    for colour in COLOURS:
        assert min(np.abs(rgb_HWC.astype(int) - colour).max() for rgb_HWC in seen) <= 3
    with av.open(str(result)) as container:
        for frame, colour in zip(container.decode(video=0), COLOURS, strict=True):
            middle = [bytes(plane)[plane.line_size * (plane.height // 2) + 8] for plane in frame.planes]
            assert np.abs(np.array(middle) - np.clip(stored(colour, matrix, full), 0, 255)).max() <= 3


def test_colours_without_tags_are_not_guessed_anew_at_another_size(tmp_path: Path) -> None:
    """Players guess by the size of the result; it says what the size of the source made us guess."""
    source = write_film(tmp_path / "a.mp4", clip(2, 400, 640))
    assert stream_of(source)["colours"][0] == 2
    result, _ = convert(source, change=twice)
    assert stream_of(result)["size"] == (1280, 800)
    assert stream_of(result)["colours"][:2] == (6, 1)


@pytest.mark.parametrize(
    "matrix",
    [
        (1, 0, 0, 1),
        (-1, 0, 0, 1),
        (-1, 0, 0, -1),
        (1, 0, 0, -1),
        (0, 1, 1, 0),
        (0, 1, -1, 0),
        (0, -1, -1, 0),
        (0, -1, 1, 0),
    ],
)
def test_frames_are_turned_upright(tmp_path: Path, matrix: tuple[int, int, int, int]) -> None:
    a, b, c, d = matrix
    one = 1 << 16
    full = (a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    given = np.zeros((48, 64, 3), np.uint8)
    given[4:12, 48:60] = 255  # x is 48..60, y is 4..12
    source = write_film(
        tmp_path / "a.mp4",
        [given] * 3,
        prepare=lambda stream: (
            stream.set_display_matrix(full),
            setattr(stream.codec_context, "sample_aspect_ratio", Fraction(4, 3)),
        ),
    )
    corners = np.array([(48, 4), (60, 12)]) - (32, 24)  # from the middle, which stays
    turned = np.array([(a * x + c * y, b * x + d * y) for x, y in corners])
    height, width = (48, 64) if a else (64, 48)
    (left, top), (right, bottom) = np.sort(turned, axis=0) + np.array((width // 2, height // 2))
    result, _ = convert(source)
    expected = np.zeros((height, width), bool)
    expected[top:bottom, left:right] = True
    assert np.array_equal(pictures(result)[1].mean(axis=2) > 128, expected)
    assert stream_of(result)["shape"] == (Fraction(4, 3) if a else Fraction(3, 4))
    with av.open(str(result)) as container:
        assert next(container.decode(video=0)).rotation == 0


def test_odd_sides(tmp_path: Path) -> None:
    source = write_film(tmp_path / "a.webm", clip(3, 33, 45))
    result, notes = convert(source)
    assert (stream_of(result)["size"], notes) == ((45, 33), [])
    result, notes = convert(source, ".mp4")
    assert stream_of(result)["size"] == (46, 34)
    assert notes == ["45 x 33 pixels became 46 x 34: this format needs even sides"]
    made = pictures(result)[0].astype(int)
    assert np.abs(made[:33, :45] - pictures(source)[0]).mean() < 3
    assert np.abs(made[33] - made[32]).mean() < 4
    result, notes = convert(source, ".mp4", twice)
    assert (stream_of(result)["size"], notes) == ((90, 66), [])


def test_ten_bits_become_eight(tmp_path: Path) -> None:
    source = write_film(tmp_path / "a.mkv", clip(3), pix_fmt="yuv420p10le")
    result, notes = convert(source)
    assert notes == ["has 10 bits per colour, the result has 8"]
    for made, given in zip(pictures(result), clip(3), strict=True):
        assert np.abs(made.astype(int) - given).mean() < 3


TAGS = {"title": "Holiday", "location": "+52.5200+013.4050/", "com.apple.quicktime.location.ISO6709": "+52.5+013.4/"}


@pytest.mark.parametrize(
    ("metadata", "kept"),
    [("keep", {*TAGS, "location-eng"}), ("no-location", {"title"}), ("strip", set())],
)
def test_tags(tmp_path: Path, metadata: str, kept: set[str]) -> None:
    options = {"movflags": "use_metadata_tags"}
    source = write_film(tmp_path / "a.mov", tags=TAGS, options=options, sound="aac")
    assert stream_of(source)["tags"].keys() >= TAGS.keys()
    result, _ = convert(source, metadata=metadata)
    found = stream_of(result)["tags"]
    assert {name for name in found if name in TAGS or "location" in name} == kept
    assert b"+52.5" in result.read_bytes() or metadata != "keep"
    assert b"+52.5" not in result.read_bytes() or metadata == "keep"


def test_subtitles_chapters_and_languages(tmp_path: Path) -> None:
    words = b"1\n00:00:00,100 --> 00:00:00,300\nHello\n\n2\n00:00:00,350 --> 00:00:00,450\nworld\n\n"
    chapters: Any = [
        {"id": 1, "start": 0, "end": 200, "time_base": Fraction(1, 1000), "metadata": {"title": "One"}},
        {"id": 2, "start": 200, "end": 480, "time_base": Fraction(1, 1000), "metadata": {"title": "Two"}},
    ]
    plain, source = write_film(tmp_path / "plain.mkv", sound="aac"), tmp_path / "a.mkv"
    with av.open(str(plain)) as film, av.open(BytesIO(words), format="srt") as text, av.open(str(source), "w") as made:
        copies: dict[int, Any] = {}
        for stream in (*film.streams, *text.streams):
            copies[id(stream)] = made.add_stream_from_template(stream, opaque=True)
            copies[id(stream)].metadata["language"] = "fre"
        made.set_chapters(chapters)
        for container in (film, text):
            for packet in container.demux():
                if packet.size:
                    packet.stream = copies[id(packet.stream)]
                    made.mux(packet)
    result, notes = convert(source, metadata="no-location")
    assert notes == []
    assert packets(result, "subtitle") == packets(source, "subtitle")
    assert [text for _, text in packets(result, "subtitle")] == [b"Hello", b"world"]
    with av.open(str(result)) as container:
        assert [stream.language for stream in container.streams] == ["fre"] * 3
        assert [chapter["metadata"] for chapter in container.chapters()] == [{"title": "One"}, {"title": "Two"}]
    result, notes = convert(source, ".mp4", metadata="strip")
    assert notes == []
    assert [text for _, text in packets(result, "subtitle") if len(text) > 2] == [b"\0\5Hello", b"\0\5world"]
    with av.open(str(result)) as container:
        assert [stream.language for stream in container.streams] == ["fre"] * 3
        assert container.chapters() == []


def test_a_film_stored_as_rgb_with_alpha(tmp_path: Path) -> None:
    opacity_HW = np.full((48, 64), 128, np.uint8)
    frames = [av.VideoFrame.from_ndarray(np.dstack([frame, opacity_HW]), format="rgba") for frame in clip(3)]
    result, notes = convert(write_film(tmp_path / "a.mov", frames, codec="png", pix_fmt="rgba"))
    assert notes == ["its transparency was dropped"]
    assert stream_of(result)["colours"][:2] == (6, 1)
    for made, given in zip(pictures(result), clip(3), strict=True):
        assert np.abs(made.astype(int) - given).mean() < 3


def test_old_avi(tmp_path: Path) -> None:
    source = write_film(tmp_path / "a.avi", codec="mpeg4", sound="mp2")
    result, notes = convert(source, ".mp4")
    assert notes == []
    assert times(result) == times(source)
    assert [data for _, data in packets(result, "audio")] == [data for _, data in packets(source, "audio")]


def test_damaged_frames_are_counted(tmp_path: Path) -> None:
    source = write_film(tmp_path / "a.mkv", clip(40))
    expected = times(source)
    found = packets(source, "video")[20][1]
    source.write_bytes(source.read_bytes().replace(found, b"\xff" * len(found)))
    result, notes = convert(source)
    assert notes == ["damaged frames: 1; check the result"]
    assert len(times(result)) == 39
    assert set(times(result)) < set(expected)
    assert times(result)[-1] == expected[-1]


@pytest.mark.parametrize(("suffix", "sound"), [(".mp4", "aac"), (".mkv", "aac"), (".webm", "libopus"), (".avi", None)])
def test_a_film_that_is_cut_off_is_refused_before_any_work(tmp_path: Path, suffix: str, sound: str | None) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 48, 64, 3), dtype=np.uint8)
    source = write_film(
        tmp_path / f"a{suffix}",
        list(noise),
        sound=sound,
        codec="mpeg4" if suffix == ".avi" else None,
        options={"movflags": "faststart"} if suffix == ".mp4" else None,
    )
    survey(source, "film")
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    with pytest.raises(ImageError, match=r"^film: truncated after \d\.\d s of \d\.\d s; .*repaired"):
        survey(source, "film")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "film: an empty file"),
        (b"text", "film: damaged or not a video"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:9/a.ts\n", "film: damaged or not a video"),
    ],
)
def test_what_is_no_film(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "a.mp4").write_bytes(data)
    for given in (data, tmp_path / "a.mp4"):
        with pytest.raises(ImageError, match=f"^{message}") as caught:
            survey(given, "film")
        assert "\n" not in str(caught.value)


def test_a_film_without_pictures(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        voice: Any = container.add_stream("aac", rate=48000)
        heard = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="flt", layout="stereo")
        heard.sample_rate, heard.pts = 48000, 0
        container.mux(voice.encode(heard))
        container.mux(voice.encode(None))
    with pytest.raises(ImageError, match=r"^film: has no video stream; exclude it"):
        survey(tmp_path / "a.mp4", "film")


def test_errors_of_the_model_and_of_the_disk_come_out(tmp_path: Path) -> None:
    source = write_film(tmp_path / "a.mp4", sound="aac")

    def broken(_: np.ndarray) -> np.ndarray:
        raise ImageError("too small")

    with pytest.raises(ImageError, match="too small"):
        convert(source, change=broken)
    film = survey(source, "film")
    with pytest.raises(OSError, match="No such file"):
        convert_video(source, tmp_path / "none" / "a.mp4", film, same, through, name="film", scale=1)
    with pytest.raises(ImageError, match="the frame size changes from 64 x 50 to 64 x 48 pixels"):
        convert_video(
            source, tmp_path / "b.mp4", dataclasses.replace(film, height=50), same, through, name="film", scale=1
        )
