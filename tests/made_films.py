"""Small films, and what is in one."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

RATE = 25


def clip(count: int = 12, height: int = 48, width: int = 64) -> list[np.ndarray]:
    """Smooth frames without symmetry; each is brighter than the one before."""
    rows, columns = np.mgrid[:height, :width]
    return [
        np.stack([rows * 2 + 8 * number, columns * 2 + 30, 200 - rows - columns], axis=-1).astype(np.uint8)
        for number in range(count)
    ]


def write_film(
    path: Path,
    frames: Sequence[np.ndarray | av.VideoFrame] | None = None,
    *,
    codec: str | None = None,
    times: Sequence[int] | None = None,
    time_base: Fraction = Fraction(1, RATE),
    sound: str | None = None,
    layout: str = "stereo",
    tags: dict[str, str] | None = None,
    options: dict[str, str] | None = None,
    pix_fmt: str = "yuv420p",
    prepare: Callable[[Any], None] = lambda stream: None,
) -> Path:
    """Write RGB arrays, or frames as they are; `sound`: name of an encoder. `prepare` gets the stream of pictures."""
    frames = clip() if frames is None else frames
    height, width = (frames[0].height, frames[0].width) if isinstance(frames[0], av.VideoFrame) else frames[0].shape[:2]
    codec = codec or ("libvpx-vp9" if path.suffix == ".webm" else "libx264")
    better = {"crf": "4"} if codec in ("libx264", "libx265") else {"crf": "8", "b": "0", "cpu-used": "8"}
    with av.open(str(path), "w", options=options or {}) as container:
        container.metadata.update(tags or {})
        stream: Any = container.add_stream(codec, rate=RATE, options=better if codec.startswith("lib") else {})
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.codec_context.time_base = time_base
        prepare(stream)
        voice: Any = container.add_stream(sound, rate=48000, layout=layout) if sound else None
        random = np.random.default_rng(0)
        for number, given in enumerate(frames):
            frame = given if isinstance(given, av.VideoFrame) else av.VideoFrame.from_ndarray(given, format="rgb24")
            frame.pts, frame.time_base = (number if times is None else times[number]), time_base
            container.mux(stream.encode(frame))
            if voice is not None:
                noise = random.normal(0, 0.1, (1, voice.layout.nb_channels * 1920)).astype(np.float32)
                heard = av.AudioFrame.from_ndarray(noise, format="flt", layout=layout)
                heard.sample_rate, heard.pts, heard.time_base = 48000, 1920 * number, Fraction(1, 48000)
                container.mux(voice.encode(heard))
        container.mux(stream.encode(None))
        if voice is not None:
            container.mux(voice.encode(None))
    return path


def pictures(path: Path) -> list[np.ndarray]:
    """All frames as RGB, by the film's own tags."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def times(path: Path) -> list[tuple[float, float]]:
    """When each frame is shown and for how long, in seconds."""
    with av.open(str(path)) as container:
        return [
            (float(frame.pts * frame.time_base), float(frame.duration * frame.time_base))
            for frame in container.decode(video=0)
        ]


def packets(path: Path, kind: str) -> list[tuple[float, bytes]]:
    """Times in seconds and bytes of all packets of one kind of stream."""
    with av.open(str(path)) as container:
        return [
            (round(float(packet.pts * packet.time_base), 4), bytes(packet))
            for packet in container.demux()
            if packet.size and packet.stream.type == kind
        ]
