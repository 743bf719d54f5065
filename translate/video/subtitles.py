"""Text subtitles in the codec of another format: MP4 and MOV, Matroska and WebM each have their own."""

from fractions import Fraction
from typing import Any

from av.error import FFmpegError

_ENCODERS = {".mp4": "mov_text", ".mov": "mov_text", ".mkv": "srt", ".webm": "webvtt"}
"""Suffix of the result -> codec for its text subtitles."""

_STYLED = {"ass", "ssa"}
"""Codecs that place and style text, which the others cannot."""

_TEXT = {"srt", "subrip", "mov_text", "webvtt", "text", *_STYLED}

_MILLISECONDS = Fraction(1, 1000)


class SubtitleConverter:
    """Converts the packets of a stream of text subtitles.

    Args:
        source: a stream for which `is_text` holds.
        container: the result, before its header is written; a stream is added to it.
        suffix: of the result.
    """

    def __init__(self, source: Any, container: Any, suffix: str) -> None:
        self._decoder = source.codec_context
        self._decoder.open(strict=False)
        self.stream: Any = container.add_stream(_ENCODERS[suffix])
        """The stream of the result."""
        self.damaged = 0
        """Number of packets that could not be converted."""
        self._encoder = self.stream.codec_context
        self._encoder.subtitle_header = self._decoder.subtitle_header
        self._encoder.time_base = self.stream.time_base = _MILLISECONDS

    def convert(self, packet: Any) -> list[Any]:
        """The packets to write for one of the source: none for an empty or damaged one."""
        try:
            texts = self._decoder.decode2(packet)
            if texts is None:
                return []
            converted = self._encoder.encode_subtitle(texts)
        except FFmpegError:
            self.damaged += 1
            return []
        converted.stream, converted.time_base = self.stream, packet.time_base
        converted.pts = converted.dts = packet.pts
        converted.duration = packet.duration
        return [converted]


def is_text(stream: Any) -> bool:
    """Whether a stream holds subtitles as text, not as pictures."""
    return stream.type == "subtitle" and stream.codec_context is not None and stream.codec_context.name in _TEXT


def style_note(stream: Any, suffix: str) -> list[str]:
    """A note for the user if converted subtitles lose their style: one or none."""
    if stream.codec_context.name not in _STYLED:
        return []
    return [f"its subtitles lost their fonts and places, because {suffix[1:].upper()} holds only plain text"]
