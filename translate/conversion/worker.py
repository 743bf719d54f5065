"""Converts one picture: read, run the model, write."""

import functools
import hashlib
import json
import os
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from translate.conversion.destinations import Destination
from translate.conversion.huge import STREAMING_BYTES, convert_huge, needs_streaming
from translate.conversion.moving import FrameConverter, FrameOptions, still_note
from translate.conversion.naming import check_template, is_video
from translate.conversion.paged import convert_pages, page_note
from translate.conversion.plan import Job, OutputFormat
from translate.conversion.resume import Result, WorkerResult, failed_result
from translate.conversion.sources import Item, Source
from translate.credentials.identity import OFF, ON, identity_of
from translate.credentials.manifest import Maker
from translate.credentials.sign import Signer, Stamp, check_credentials
from translate.credentials.watermark import check_watermark, watermarked
from translate.errors import ImageError, TooLarge, one_line
from translate.files import atomic_path, unwritable
from translate.inference.controls import Label, Style, check_strength, numbered_style
from translate.inference.engine import Engine
from translate.inference.placement import Placement, content_share_of
from translate.pictures.decoder import IN_PROCESS, Decoder
from translate.pictures.formats import PAGED
from translate.pictures.operations import (
    BYTES_PER_DECODED_PIXEL,
    Metadata,
    Picture,
    encode_for,
    lost,
    write_bytes,
)
from translate.pictures.pages import check_pages, chosen_pages, first_page

SMALL_BYTES = 32 << 20
"""Files up to this size are held in memory while they are converted."""

SMALL_PIXELS = 16_000_000
"""Pictures up to this size are decoded by all workers at once; larger ones wait until enough memory is free."""


_TRIES = 3
"""How often a file is read that changes meanwhile."""


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """Everything other than the model that affects a result."""

    label: Label | None = None
    """Class label to generate; None: the label that the file name begins with, as in `handbag-02.png`, otherwise the
    model's first."""
    style: int | tuple[float, ...] | None = None
    """Number of a style, see `translate.inference.controls.numbered_style`, or the style vector itself; None: the
    model's default."""
    detail: float | None = None
    """From 0 (faithful) to 1 (sharp); None is 0."""
    strength: float = 1.0
    """Share of the result in a mixture with the picture, 0 to 1; below 1 not for pictures larger than memory."""
    framing: Placement = "auto"
    """Whether to scale drawings that are small on their sheet to the size that the model was trained on."""
    output_format: OutputFormat = "same"
    quality: int = 92
    """1 to 100, for formats with a quality setting."""
    metadata: Metadata = "keep"
    """EXIF, XMP, IPTC, texts, comment and resolution: keep all, remove only the location, or strip all."""
    keep_profile: bool = False
    """Whether to convert results back to the colour profile of the picture instead of sRGB."""
    pages: str = "all"
    """Pages of TIFF and MPO files, see `translate.pictures.pages.chosen_pages`. Only TIFF results hold several; any
    other gets the first of them."""
    credentials: str = OFF
    """Content credentials in results: `on` signs with the certificate of this machine, a file or folder with that in
    it, see `translate.credentials.identity`."""
    watermark: bool = False
    """Whether to put an invisible watermark into still pictures, see `translate.credentials.watermark`."""
    name: str = "{stem}"
    """Template for the names of results, see `translate.conversion.naming.check_template`."""

    def check(self, engine: Engine) -> None:
        """Raise errors that would otherwise occur for every picture.

        Raises:
            ConfigError: the model lacks the label, style or detail, its results cannot be mixed with pictures, or the
                name template or the pages are invalid, or the certificate.
            MissingExtra: credentials or the watermark need packages that are not installed.
            ModelError: the networks for the watermark are damaged.
        """
        check_pages(self.pages)
        check_strength(self.strength, engine.spec)
        engine.controls(label=self.label, style=self.style_of(engine), detail=self.detail)
        check_template(self.name)
        check_credentials(self.credentials)
        if self.watermark:
            check_watermark()

    def style_of(self, engine: Engine) -> Style | None:
        """The style vector."""
        return numbered_style(self.style, engine.spec) if isinstance(self.style, int) else self.style

    def digest(self, engine: Engine) -> str:
        """SHA-256 of the model file and all options, hexadecimal."""
        with engine.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
        options = asdict(self)
        if self.credentials != OFF:
            options["credentials"] = ON  # where the certificate is kept makes no difference
        # Options that came later are left out where they have no effect, so that results from before them stay valid.
        if not content_share_of(engine.spec):
            del options["framing"]
        for name in ("pages", "strength", "credentials", "watermark"):
            if options[name] == getattr(Conversion, name):
                del options[name]
        digest.update(json.dumps(options, sort_keys=True).encode())
        return digest.hexdigest()


class Worker:
    """Converts pictures one at a time. Thread-safe.

    Args:
        source: where pictures come from.
        destination: where results go.
        engine: the model.
        how: the options.
        frames: how films and animations are converted.
        decoder: what reads pictures, except films and pictures larger than memory: these are read in this process.
        huge: whether to convert pictures larger than memory; otherwise they are refused.
    """

    def __init__(
        self,
        source: Source,
        destination: Destination,
        engine: Engine,
        how: Conversion,
        frames: FrameOptions | None = None,
        decoder: Decoder = IN_PROCESS,
        *,
        huge: bool = True,
    ) -> None:
        self.source, self.destination, self.engine, self.how = source, destination, engine, how
        self.decoder, self._huge = decoder, huge
        self._style = how.style_of(engine)
        # Now, as the file may be temporary.
        self._maker = None if how.credentials == OFF else Maker.of(engine.path, engine.spec.name, engine.spec.task)
        self._memory = _MemoryBudget(engine.memory_bytes)
        # Only as many threads compute as there are cores for; the others wait for the disk or for their turn.
        self._turn = threading.BoundedSemaphore(engine.at_once)
        self._frames = FrameConverter(engine, self._memory.hold, frames or FrameOptions(), decoder)

    def template_fields(self, name: str) -> dict[str, str]:
        """The template fields for a picture of this name, except `stem`."""
        how, spec = self.how, self.engine.spec
        return {
            "model": spec.name,
            "scale": str(spec.scale),
            "label": self._label_name(name),
            "style": str(how.style or 0) if not isinstance(how.style, tuple) else "own",
            "detail": f"{how.detail or 0:g}",
        }

    def convert(self, job: Job) -> WorkerResult:
        """Convert one picture, unless its SHA-256 shows that an existing result is up to date.

        Raises:
            Stopped: a video was abandoned.
        """
        title = self.source.title(job.item.name)
        try:
            with self.source.load(job.item) as found:
                data, digest, state = _opened_once(found, title)
                for target, source_digest in job.earlier:
                    if source_digest == digest:
                        result = Result(title, "skipped", self.destination.locate(target))
                        return WorkerResult(result, target, digest)
                if self.destination.is_same(job.target, title):
                    raise ImageError("its result would overwrite it; choose another folder or another --name")
                with self.destination.writing(job.target) as path, _unchanged(data, state, path, title) as part:
                    made = self._convert(job.item, data, digest, part)
                    notes = tuple(one_line(f"{title}: {note}") for note in made)
        except ImageError as error:
            return WorkerResult(failed_result(title, error), job.target)
        result = Result(title, "converted", self.destination.locate(job.target), notes=notes)
        return WorkerResult(result, job.target, digest)

    def _label(self, name: str) -> Label | None:
        return self.how.label if self.how.label is not None else self.engine.spec.label_of(Path(name).name)

    def _label_name(self, name: str) -> str:
        """The label that a picture of this name gets: without any other it is the model's first."""
        labels, label = self.engine.spec.labels, self._label(name)
        if isinstance(label, str):
            return label
        return labels[label or 0] if labels else ""

    @functools.cached_property
    def _signer(self) -> Signer | None:
        """What signs results; made with the first one, and the certificate with it."""
        return self._maker and Signer(identity_of(self.how.credentials), self._maker)

    def _convert(self, item: Item, data: Path | bytes, digest: str, path: Path) -> tuple[str, ...]:
        """Convert, sign and write; returns notes for the user."""
        if self._signer is None:
            return self._written(item, data, path, None)
        private = self.how.metadata != "keep"
        stamp = self._signer.stamp(Path(item.name).name, data, digest, private=private)
        return (*self._written(item, data, path, stamp), *stamp.notes)

    def _written(self, item: Item, data: Path | bytes, path: Path, stamp: Stamp | None) -> tuple[str, ...]:
        title = self.source.title(item.name)
        wanted = {"label": self._label(item.name), "style": self._style, "detail": self.how.detail}
        controls: dict[str, Any] = {name: value for name, value in wanted.items() if value is not None}
        if self.how.framing != "auto":
            controls["framing"] = self.how.framing
        if self.how.strength < 1.0:
            controls["strength"] = self.how.strength
        finish = stamp and stamp.sign_file
        notes = self._frames.convert(data, path, title, controls, self._output_options(), finish)
        if notes is not None:
            return (*notes, *self._unmarked())
        pages, paged = self.how.pages, path.suffix.lower() in PAGED
        chosen = chosen_pages(pages, self.decoder.count_pages(data) if paged and pages != "first" else 1)
        if len(chosen) > 1:
            return convert_pages(
                path,
                chosen,
                lambda part, page: self._convert_page(data, part, title, controls, page, None)[0],
                stamp and functools.partial(stamp.sign_file, pages=len(chosen)),
            )
        first = first_page(pages)
        if first > 1 and self.decoder.count_pages(data) == 1:
            first = 1  # there is nothing to choose from
        notes, count = self._convert_page(data, path, title, controls, first, stamp)
        if not paged:
            notes = (*notes, *page_note(count, path, pages))
        return (*notes, *still_note(data, path, self.decoder))

    def _convert_page(
        self, data: Path | bytes, path: Path, title: str, controls: dict[str, Any], page: int, stamp: Stamp | None
    ) -> tuple[tuple[str, ...], int]:
        """Convert a still picture and write it; returns notes for the user, and how many pages the file has."""
        engine, bits = self.engine, self.engine.max_bits
        try:
            with self._turn:
                most = min(SMALL_PIXELS, engine.max_pixels)
                picture = self.decoder.decode(data, title, max_pixels=most, bits=bits, page=page)
                with self._memory.hold(engine.work_bytes(picture.height, picture.width)):
                    result = self._result(picture, controls)
                encoded = self._encoded(path, result, stamp)
        except TooLarge as error:
            height, width = error.height, error.width
        else:
            write_bytes(path, encoded)
            return self._notes(picture, result, path), picture.pages
        if self._huge and needs_streaming(height, width, engine) and self.how.strength == 1.0:
            with self._memory.hold(STREAMING_BYTES):
                options = {**controls, **self._output_options()}
                finish = stamp and stamp.sign_file
                notes = convert_huge(data, path, engine, name=title, page=page, finish=finish, **options)
                return (*notes, *self._unmarked()), self.decoder.count_pages(data)
        # Reserved in one step: two workers that each waited for the second half of their memory would deadlock.
        with self._memory.hold(height * width * BYTES_PER_DECODED_PIXEL + engine.work_bytes(height, width)):
            picture = self.decoder.decode(data, title, max_pixels=engine.max_pixels, bits=bits, page=page)
            result = self._result(picture, controls)
            write_bytes(path, self._encoded(path, result, stamp))
        return self._notes(picture, result, path), picture.pages

    def _result(self, picture: Picture, controls: dict[str, Any]) -> Picture:
        result = self.engine.apply(picture, **controls)
        return watermarked(result) if self.how.watermark else result

    def _unmarked(self) -> tuple[str, ...]:
        """A note about a film, an animation or a picture larger than memory."""
        return ("has no watermark: only still pictures that fit into memory hold one",) if self.how.watermark else ()

    def _encoded(self, path: Path, result: Picture, stamp: Stamp | None) -> bytes:
        encoded = encode_for(path, result, **self._output_options())
        return encoded if stamp is None else stamp.signed(encoded, path.suffix)

    def _notes(self, picture: Picture, result: Picture, path: Path) -> tuple[str, ...]:
        caution = self.engine.caution(picture.height, picture.width, result_HWC=result.rgb_HWC)
        notes = (*picture.notes, *lost(picture, path.suffix, self.how.metadata))
        return (*notes, caution) if caution else notes

    def _output_options(self) -> dict[str, Any]:
        """How to store results, as keyword arguments of `write_picture`."""
        options = {name: getattr(self.how, name) for name in ("quality", "metadata", "keep_profile")}
        return options | {"source_type": self._maker.source_address if self._maker else ""}


def convert_guarded(worker: Worker, job: Job) -> WorkerResult:
    """`worker.convert`, in which no error of a single picture ends the run.

    Raises:
        Stopped: a video was abandoned.
        TranslateError: it concerns every picture.
    """
    try:
        return worker.convert(job)
    except Exception as error:
        return WorkerResult(failed_result(worker.source.title(job.item.name), error), job.target)


class _MemoryBudget:
    """Memory shared by the workers: large pictures wait for their turn instead of failing or filling the RAM."""

    def __init__(self, total: int) -> None:
        self._total = self._free = total
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, amount: int) -> Generator[None]:
        # A picture that needs more than the total gets all of it; the Engine decides whether it fits.
        amount = min(amount, self._total)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= amount)
            self._free -= amount
        try:
            yield
        finally:
            with self._changed:
                self._free += amount
                self._changed.notify_all()


_State = tuple[int, int]
"""Size of a file in bytes, and when it was last modified in nanoseconds since 1970."""


def _opened_once(data: Path | bytes, title: str) -> tuple[Path | bytes, str, _State]:
    """The picture, its SHA-256, and the file's state then. All but films and very large files are read here: they are
    opened once, and what is converted is what was hashed, even if the file changes meanwhile."""
    if isinstance(data, bytes):
        return data, hashlib.sha256(data).hexdigest(), (0, 0)
    try:
        for _ in range(_TRIES):
            with data.open("rb") as file:
                state = _state(os.fstat(file.fileno()))
                if is_video(data.name) or state[0] > SMALL_BYTES:
                    return data, hashlib.file_digest(file, "sha256").hexdigest(), state
                content = file.read()
                if _state(os.fstat(file.fileno())) == state:
                    return content, hashlib.sha256(content).hexdigest(), state
    except OSError as error:
        reason = f"cannot be read ({error.strerror or error}); check the name and the permissions"
        raise ImageError(f"{title}: {reason}") from None
    raise _changing(title)


@contextmanager
def _unchanged(data: Path | bytes, state: _State, path: Path, title: str) -> Generator[Path]:
    """A path to write a result to, which becomes `path` if a file that is read while it is converted is as it was."""
    if isinstance(data, bytes):
        yield path
        return
    converted = False
    try:
        with atomic_path(path) as part:
            try:
                yield part
            except ImageError as error:  # which may name a path that nobody knows
                if str(part) not in str(error):
                    raise
                raise type(error)(str(error).replace(str(part), str(path))) from None
            try:
                same = _state(data.stat()) == state
            except OSError:  # it is gone
                same = False
            if not same:
                raise _changing(title)
            converted = True
    except OSError as error:
        if not converted:
            raise
        raise unwritable(path, error) from None


def _state(found: os.stat_result) -> _State:
    return found.st_size, found.st_mtime_ns


def _changing(title: str) -> ImageError:
    return ImageError(f"{title}: changes while it is read; run the same command again when it is complete")
