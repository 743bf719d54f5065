"""What is fuzzed: functions of bytes that may end normally or with an error of ours, and in no other way.

`TARGETS` is the table. `seeds.py` has good inputs for each, `mutations.py` damages them; `test_fuzzing.py` tries some
in the suite, `benchmarks/fuzz.py` as many as wanted.
"""

import io
import random
import zipfile
import zlib
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import page_requests
import seeds
from made_files import png_chunks, smooth
from mutations import crossed
from PIL import Image

from translate.conversion.cloud.manifest import FOLDER, RemoteManifest
from translate.conversion.location import Remote
from translate.conversion.manifest import FILE_NAME, Manifest
from translate.conversion.naming import check_template, result_names
from translate.conversion.sources import PictureFilter, ZipSource
from translate.errors import ConfigError, ImageError, TranslateError
from translate.inference.controls import default_inputs, style_from_text
from translate.inference.engine import Engine
from translate.inference.graph_file import read_metadata, with_required_inputs
from translate.inference.model_file import check_model
from translate.pictures.animation import count_frames, frames, survey
from translate.pictures.band_reader import RowReader
from translate.pictures.metadata.facts import PhysicalSize
from translate.pictures.operations import Picture, decode, encode
from translate.pictures.pages import chosen_pages, count_pages
from translate.spec import ModelSpec
from ui import files
from ui.batch import uploads
from ui.batch.archive import Archive, Entry
from ui.refused import Refused

MOST_PIXELS = 1 << 20
"""Larger pictures are refused, as the page refuses what is larger than its limit."""
SUFFIXES = (".png", ".jpg", ".webp", ".tif", ".bmp")


class Fault(AssertionError):  # noqa: N818 - of the program, not of this code
    """A good part of an input was refused, or a result is not what it should be."""


def picture(folder: Path, data: bytes) -> None:
    """A file -> pixels, pages and frames, and a file again."""
    files.check_pixels(data, "a", MOST_PIXELS)
    pages, animated = count_pages(data), count_frames(data)
    for page in {1, pages}:
        found = decode(data, "a", max_pixels=MOST_PIXELS, bits=16 if data[-1:] < b"\x80" else 8, page=page)
        kept = ("keep", "no-location", "strip")[zlib.crc32(data) % 3]
        suffix = SUFFIXES[zlib.crc32(data) % len(SUFFIXES)]
        with suppress(ImageError):  # some formats take no sides of this length
            encode(found, suffix, metadata=kept, keep_profile=len(data) % 2 == 0)
    if animated > 1:
        survey(data, "a")
        with closing(frames(data, "a")) as shown:
            for _ in zip(range(3), shown, strict=False):
                pass


def bands(folder: Path, data: bytes) -> None:
    """A file -> rows, as for pictures larger than memory."""
    with RowReader(data, "a", folder, bits=16 if data[-1:] < b"\x80" else 8) as reader:
        if reader.height * reader.width > MOST_PIXELS:
            raise ImageError("too large")
        rows = sum(band.height for band in reader.bands())
        if rows != reader.height:
            raise Fault(f"{rows} rows of {reader.height}")


def metadata(folder: Path, data: bytes) -> None:
    """EXIF, XMP, IPTC or a profile in a good picture: it has to be read, and written in every format."""
    kind, block = data[:1], data[1:]
    name = {b"E": "exif", b"X": "xmp", b"T": "iptc", b"C": "icc"}.get(kind, "exif")
    try:
        found = decode(_carrier(name, block), "a", max_pixels=MOST_PIXELS)
    except ImageError as error:
        raise Fault(f"a good picture with damaged {name} is refused: {error}") from None
    if sorted(found.rgb_HWC.shape) != [3, 24, 40]:
        raise Fault(f"{found.rgb_HWC.shape} pixels")
    made = Picture(found.rgb_HWC, size=PhysicalSize(1, 2), **{name: block})
    suffix = SUFFIXES[zlib.crc32(block) % len(SUFFIXES)]
    encode(made, suffix, metadata=("keep", "no-location")[len(block) % 2], keep_profile=True)


def _carrier(name: str, block: bytes) -> bytes:
    """A good picture with this metadata."""
    if name == "iptc":
        size = len(block).to_bytes(4, "big")
        resource = b"Photoshop 3.0\x008BIM\x04\x04\0\0" + size + block + bytes(len(block) % 2)
        plain = _plain_jpeg()
        if len(resource) > 65_000:
            return plain
        return plain[:2] + b"\xff\xed" + (len(resource) + 2).to_bytes(2, "big") + resource + plain[2:]
    chunk = {
        "exif": (b"eXIf", block),
        "xmp": (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + block),
        "icc": (b"iCCP", b"a\0\0" + zlib.compress(block)),
    }[name]
    rows = b"".join(b"\0" + row.tobytes() for row in smooth())
    header = (40).to_bytes(4, "big") + (24).to_bytes(4, "big") + b"\x08\x02\0\0\0"
    return png_chunks((b"IHDR", header), chunk, (b"IDAT", zlib.compress(rows)), (b"IEND", b""))


@cache
def _plain_jpeg() -> bytes:
    file = io.BytesIO()
    Image.fromarray(smooth()).save(file, "JPEG")
    return file.getvalue()


def film(folder: Path, data: bytes) -> None:
    """A film -> its facts, and for some a film again."""
    from translate.video import transcode

    found = transcode.survey(data, "a.mp4")
    if zlib.crc32(data) % 8 or found.height * found.width > MOST_PIXELS or found.frames > 30:
        return
    suffix = (".mp4", ".mkv", ".webm", ".mov")[len(data) % 4]
    target = folder / f"result{suffix}"

    def mapped(function, frames, count):
        for _, frame in zip(range(10), frames, strict=False):
            yield function(frame)

    try:
        transcode.convert_video(data, target, found, lambda rgb: rgb, mapped, name="a.mp4", scale=1)
    finally:
        target.unlink(missing_ok=True)


def spec(folder: Path, data: bytes) -> None:
    """The description in a model file, and the inputs that it promises."""
    found = ModelSpec.from_json(data.decode("utf-8", "replace"), "m.onnx")
    if ModelSpec.from_json(found.to_json(), "m.onnx").to_json() != found.to_json():
        raise Fault("the spec is read otherwise than it was written")
    found.label_of("shoe-1.png")
    default_inputs(found)


def model_file(folder: Path, data: bytes) -> None:
    """An ONNX file, before anything in it is run."""
    path = folder / "m.onnx"
    path.write_bytes(data)
    with suppress(ValueError, IndexError, TypeError):  # documented
        with_required_inputs(data)
    with suppress(TranslateError):
        read_metadata(path)
    check_model(path)


def engine(folder: Path, data: bytes) -> None:
    """A model with a hostile description, opened and applied."""
    path = folder / "m.onnx"
    path.write_bytes(seeds.model_with(data))
    check_model(path)
    found = Engine(path, threads=1, device="cpu")
    pixels = smooth()
    made = found.apply(Picture(pixels))
    if made.rgb_HWC.dtype != np.uint8:
        raise Fault(f"the result is {made.rgb_HWC.dtype}")


def manifest(folder: Path, data: bytes) -> None:
    """The record of results beside them, read, searched and written; in the cloud too."""
    path = folder / FILE_NAME
    path.write_bytes(data)
    with Manifest(folder) as found:
        found.find("a.png")
    path.write_bytes(data)
    for entry in uploads.results(_JobIn(folder)):  # pyright: ignore[reportArgumentType]
        str(entry.target)
    if zlib.crc32(data) % 8 == 0:
        remote = Remote("memory://fuzz")
        remote.fs.pipe_file(f"{(remote / FOLDER).path}/00000001-ab.jsonl", data)
        with RemoteManifest(remote, writable=False) as there:
            there.find("a.png")
    path.unlink()


@dataclass
class _JobIn:
    output: Path


def archive(folder: Path, data: bytes) -> None:
    """A zip archive as a source of pictures, and as an upload."""
    path = folder / "a.zip"
    path.write_bytes(data)
    with suppress(Refused):
        uploads.check_archive(path, "a.zip")
    source = ZipSource(path, PictureFilter())
    for group in source.groups():
        for item in group[:20]:
            with suppress(ImageError), source.load(item) as content:
                if isinstance(content, bytes) and len(content) > item.size:
                    raise Fault("a member is larger than the list of members says")


def checkpoint(folder: Path, data: bytes) -> None:
    """A checkpoint of another program, and the network that it belongs to."""
    from export.foreign.checkpoint import read_state
    from export.foreign.recognise import recognise

    path = folder / ("m.safetensors" if data[8:9] == b"{" else "m.pth")
    path.write_bytes(data)
    recognise(read_state(path), path)


def run_folder(folder: Path, data: bytes) -> None:
    """A file of a training run: its settings, its log, its snapshot or what the page has asked for."""
    from export.command import _metrics
    from export.from_file import _network
    from translate.monitoring.log import json_object, read_log
    from translate.trainers.config import config_from_json
    from translate.trainers.pix2pix import Pix2PixConfig
    from translate.training.snapshot import read_header
    from ui.training import progress

    kind, rest = data[:1], data[1:]
    if kind == b"S":
        path = folder / "snapshot.safetensors"
        path.write_bytes(rest)
        header = read_header(path)
        config_from_json(Pix2PixConfig, header.config, str(path))
    elif kind == b"L":
        path = folder / "log.jsonl"
        path.write_bytes(rest)
        log = read_log(path)
        log.last, log.bad_steps  # noqa: B018
        progress._metrics(log), progress._losses(log)
    elif kind == b"P":
        run = folder / "runs" / "shoes-1"
        run.mkdir(parents=True, exist_ok=True)
        (run / "page.json").write_bytes(rest)
        runs = page_requests.site(folder)[0].runs
        assert runs is not None
        runs.get("shoes-1")
    elif kind == b"M":
        path = folder / "metrics.json"
        path.write_bytes(rest)
        _network(rest.decode("utf-8", "replace"))
        _metrics(path)
    else:
        config_from_json(Pix2PixConfig, json_object(rest.decode("utf-8", "replace")), "config.json")


def request(folder: Path, data: bytes) -> None:
    """A request to the page."""
    page_requests.answered(folder, data)


def event(folder: Path, data: bytes) -> None:
    """An event of the page: what a component or a program sends."""
    page_requests.event(folder, data.decode("utf-8", "surrogatepass" if data.isascii() else "replace"))


def names(folder: Path, data: bytes) -> None:
    """Names of files, and words that are typed: whatever comes out is safe and unique."""
    lines = [
        line for line in data.decode("utf-8", "surrogateescape").split("\n") if line.strip(".") and "/" not in line
    ][:12]
    for line in lines:
        for read in (files.safe_name, uploads.checked_name, style_from_text, check_template):
            with suppress(TranslateError):
                read(line)
        with suppress(ConfigError):
            chosen_pages(line, 5)
    plain = sorted({line for line in lines if "\0" not in line})
    made = result_names(plain, lambda name: ".png", "{stem}-{model}", lambda name: {"model": "m"})
    if len({name.casefold() for name in made}) != len(plain) or any("/" in name for name in made):
        raise Fault(f"{plain} become {made}")
    packed = b"".join(Archive([Entry(f"{number}-{name}", b"x") for number, name in enumerate(made)]).chunks())
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        if len(set(archive.namelist())) != len(made) or archive.testzip():
            raise Fault("the archive lacks a file")


@dataclass(frozen=True)
class Target:
    """A reader of bytes from outside."""

    run: Callable[[Path, bytes], None]
    """Gets a folder that it may write to, and the input."""
    seeds: Callable[[], Sequence[bytes]]
    """Good inputs."""
    share: int
    """Inputs of 1,000 in the long run: cheap ones are tried more often."""
    kept: int = 0
    """Bytes at the beginning that say of which kind the input is; they are not damaged."""


TARGETS = {
    "picture": Target(picture, seeds.pictures, 150),
    "bands": Target(bands, seeds.for_bands, 40),
    "metadata": Target(metadata, seeds.metadata, 100, kept=1),
    "film": Target(film, seeds.films, 15),
    "spec": Target(spec, seeds.specs, 150),
    "model_file": Target(model_file, seeds.model_files, 110),
    "engine": Target(engine, seeds.specs, 10),
    "manifest": Target(manifest, seeds.manifests, 80),
    "archive": Target(archive, seeds.archives, 70),
    "checkpoint": Target(checkpoint, seeds.checkpoints, 35),
    "run_folder": Target(run_folder, seeds.run_files, 80, kept=1),
    "request": Target(request, seeds.requests, 60),
    "event": Target(event, seeds.events, 60),
    "names": Target(names, seeds.names, 40),
}


def attempt(target: str, folder: Path, data: bytes) -> None:
    """Try one input.

    Raises:
        Exception: a finding: an error that is not ours, a warning, or memory that ran out.
    """
    try:
        TARGETS[target].run(folder, data)
    except TranslateError as error:
        text = str(error)
        if "not enough memory" in text:
            raise MemoryError(text) from None
        if "\n" in text or not text:
            raise Fault(f"not one line: {text!r}") from None


def damaged(target: str, seed: int, number: int) -> bytes:
    """A damaged seed, the same for the same numbers."""
    found = TARGETS[target]
    return crossed(found.seeds(), random.Random(f"{target} {seed} {number}"), found.kept)
