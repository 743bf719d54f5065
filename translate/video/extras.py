"""What a film holds besides pictures and sound: tags, languages, time code, chapters, cover picture, attachments.

Formats differ in what they can hold. What the result lacks is found by reading it back, and said.
"""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import av
from av.error import FFmpegError
from av.stream import Disposition

from translate.pictures.encode import Metadata

COVER = Disposition.attached_pic

SOURCE_TYPE = "DIGITAL_SOURCE_TYPE"
"""Tag of MKV and WebM that says how a film came about, as IPTC's property of this name does for pictures."""

_COVER_TYPES = {"mjpeg": ("cover.jpg", "image/jpeg"), "png": ("cover.png", "image/png")}
"""Codec of a cover picture -> file name and media type, as Matroska stores them."""

_FORMATS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
"""Suffix -> FFmpeg's name of the format."""

_FILE_TAGS = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration", "timecode"}
"""Tags of a film that describe the file. The time code is kept with the stream of pictures."""

_STREAM_FACTS = {
    "encoder",
    "duration",
    "vendor_id",
    "bps",
    "number_of_frames",
    "number_of_bytes",
    "rotate",
    "alpha_mode",
}
"""Tags of a stream that describe how it was stored; Matroska also begins some with `_STATISTICS`."""

_MP4_TAGS = {
    "title", "artist", "album_artist", "composer", "album", "date", "comment", "genre", "copyright", "grouping",
    "lyrics", "description", "synopsis", "show", "episode_id", "network", "keywords", "episode_sort", "season_number",
    "media_type", "hd_video", "gapless_playback", "compilation", "track", "disc", "creation_time", "location",
}  # fmt: skip
"""Tags that MP4 can hold in the way that all players read."""

_USUAL_LAYOUTS = {"1 channels": "mono", "2 channels": "stereo", "6 channels": "5.1", "8 channels": "7.1"}
"""What AVI and Matroska often say of sound -> the layout that players take it for."""

_QUICKTIME_LANGUAGES = {
    "fre": "fra", "deu": "ger", "nld": "dut", "swe": "sve", "ell": "gre", "isl": "ice", "zho": "chi", "sqi": "alb",
    "rum": "ron", "cze": "ces", "slo": "slk", "mkd": "mac", "hye": "arm", "kat": "geo", "bod": "tib", "mya": "bur",
    "msa": "may", "cym": "wel", "eus": "baq",
}  # fmt: skip
"""ISO 639-2 has two codes for some languages; QuickTime knows one of them, or none."""


def file_tags(tags: Mapping[str, str], metadata: Metadata) -> dict[str, str]:
    """The tags of a film to keep."""
    return {} if metadata == "strip" else _without(tags, _FILE_TAGS, metadata)


def stream_tags(stream: Any, metadata: Metadata, suffix: str) -> dict[str, str]:
    """The tags of a stream to keep; its language always. `suffix`: of the result."""
    tags = {name.lower(): value for name, value in stream.metadata.items()}
    if suffix == ".mov" and "language" in tags:
        tags["language"] = _QUICKTIME_LANGUAGES.get(tags["language"], tags["language"])
    if metadata == "strip":
        return {name: value for name, value in tags.items() if name == "language"}
    if "name" in tags:  # what MP4 and MOV call the title
        tags.setdefault("title", tags.pop("name"))
    kept = _without(tags, _STREAM_FACTS, metadata)
    return {name: value for name, value in kept.items() if not name.startswith("_statistics")}


def _without(tags: Mapping[str, str], dropped: set[str], metadata: Metadata) -> dict[str, str]:
    return {
        name: value
        for name, value in tags.items()
        if _plain(name) not in dropped and not (metadata == "no-location" and "location" in name.lower())
    }


def mov_options(suffix: str, tags: Mapping[str, str], cover: bool) -> dict[str, str]:
    """Options for writing MP4 and MOV. `cover`: whether there is to be a cover picture."""
    if suffix not in (".mp4", ".mov"):
        return {}
    # faststart moves the index to the front, so that a film plays before it is fully downloaded. Other than the usual
    # tags, such as those with dots that phones write, need another kind of tags, which not all players read, and which
    # has no place for a cover picture in MP4.
    unusual = any(_plain(name) not in _MP4_TAGS for name in tags) and not (cover and suffix == ".mp4")
    return {"movflags": "+faststart" + ("+use_metadata_tags" if unusual else "")}


def time_code(source: Any, stream: Any, rate: float) -> tuple[str | None, bool]:
    """The time code of the first frame, such as 01:00:00:00, and whether it can be kept at this rate."""
    of_data = [one.metadata for one in source.streams if one.type == "data"]
    for tags in (stream.metadata, source.metadata, *of_data):
        for name, value in tags.items():
            if name.lower() == "timecode":
                # With a semicolon, it skips numbers each minute, which is defined for 29.97 and 59.94 frames/s.
                return value, ";" not in value or (round(rate) % 30 == 0 and rate % 1 != 0)
    return None, True


def is_cover(stream: Any) -> bool:
    """Whether a stream is a picture that illustrates the film."""
    return stream.type == "video" and bool(stream.disposition & COVER)


def cover_type(stream: Any) -> tuple[str, str] | None:
    """File name and media type of a cover picture, as Matroska stores them; None if it is neither JPEG nor PNG."""
    found = _COVER_TYPES.get(stream.codec_context.name if stream.codec_context else "")
    return found and (stream.metadata.get("filename", found[0]), found[1])


def can_hold(suffix: str, stream: Any) -> bool:
    """Whether a format can hold a copy of a stream. Some refuse a codec only when the header is written."""
    try:
        trial: Any = av.open(BytesIO(), "w", format=_FORMATS[suffix])
        with trial:
            trial.add_stream_from_template(stream, opaque=True)
            trial.start_encoding()
    except (ValueError, FFmpegError):
        return False
    # FFmpeg refuses this only when the film is complete.
    unknown = stream.type == "audio" and " channels" in stream.codec_context.layout.name and not usual_layout(stream)
    return not (unknown and suffix == ".mp4" and stream.codec_context.name.startswith("pcm_"))


def usual_layout(stream: Any) -> str:
    """The layout of a stream of sound that says only how many channels it has; empty if it says more, or too little."""
    return _USUAL_LAYOUTS.get(stream.codec_context.layout.name, "")


def may_tell_place(picture: bytes) -> bool:
    """Whether a cover picture has metadata that could contain a location."""
    return b"Exif" in picture or b"eXIf" in picture or b"ns.adobe.com/xap" in picture or b"adobe:ns:meta" in picture


def other_data(source: Any) -> list[str]:
    """Names of data streams other than time code and chapters, which are kept in another way."""
    return [
        stream.metadata.get("handler_name", "").strip() or "unnamed"
        for stream in source.streams
        if stream.type in ("data", "unknown")
        and "timecode" not in {name.lower() for name in stream.metadata}
        and not _hidden(stream)
    ]


def _hidden(stream: Any) -> bool:
    """Whether FFmpeg has read a stream itself: chapters of MP4 and MOV are a stream of text."""
    return int(stream.discard) >= 48  # AVDISCARD_ALL


def hint(suffix: str) -> str:
    """What to do against a loss."""
    return "" if suffix == ".mkv" else "; --format mkv keeps more"


def missing(
    result: Path, source: Any, wanted: Mapping[str, str], streams: list[dict[str, str]], chapters: bool
) -> list[str]:
    """What a finished film lacks, one line each.

    Args:
        result: the film.
        source: the film it was made from.
        wanted: tags that it should have.
        streams: tags that each of its streams should have.
        chapters: whether it should have the chapters of the source.
    """
    with av.open(str(result.absolute()), metadata_errors="replace") as film:
        lost = sorted(set(map(_plain, wanted)) - set(map(_plain, film.metadata)))
        for number, tags in enumerate(streams):
            present = {_plain(name) for name in film.streams[number].metadata}
            if "name" in present:
                present.add("title")
            names = {"language", "title", *(["timecode"] if number == 0 else [])} & tags.keys()
            lost += [
                f"{name} of stream {number + 1} ({tags[name]})"
                for name in sorted(names)
                if name not in present and tags[name] not in ("und", "")
            ]
        kind = result.suffix[1:].upper()
        notes = [f"its tags were dropped, because {kind} cannot hold them: {', '.join(lost)}"] if lost else []
        if chapters:
            given, made = (
                [chapter["metadata"].get("title", "") for chapter in one.chapters()] for one in (source, film)
            )
            if len(made) != len(given):
                notes.append(f"its {len(given)} chapters were dropped, because {kind} cannot hold them")
            elif made != given:
                notes.append(f"the titles of its chapters were changed, because {kind} cannot hold them")
    return [note + hint(result.suffix.lower()) for note in notes]


def _plain(name: str) -> str:
    return name.lower().removesuffix("-eng")
