"""One picture: is it done already, and if not, make it."""

import hashlib
import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from translate.engine import Engine, numbered_style
from translate.errors import ImageError, TooLarge
from translate.images import BYTES_PER_DECODED_PIXEL, Metadata, Picture, decode, write_picture
from translate.knobs import Label, Style
from translate.manifest import Done, Manifest
from translate.moving import FrameWork, Mover, still_note
from translate.naming import check_template, numbered
from translate.plan import Job, OutputFormat
from translate.sources import Item, Source, safe_name
from translate.streaming import MEMORY as STREAMING_BYTES
from translate.streaming import convert_huge, needs_streaming

SMALL_PIXELS = 16_000_000
"""Pictures up to this size are decoded by all workers at once; larger ones wait until there is memory for them."""

Existing = Literal["continue", "overwrite", "skip", "rename"]
"""What to do about results that are there: `continue` leaves those that the same model has made of the same picture
with the same options, and replaces others; `overwrite` makes all again; `skip` leaves all; `rename` leaves all too, and
gives the new result a number, unless it would be the same."""


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """Everything besides the model that changes a result."""

    label: Label | None = None
    """Which kind to make; None: the one that the file's name begins with, as in `handbag-02.png`, or else the first."""
    style: int | tuple[float, ...] | None = None
    """Number of a style, see `translate.engine.numbered_style`, or the style itself; None is the model's own."""
    detail: float | None = None
    """0 faithful to 1 sharp; None is 0."""
    output_format: OutputFormat = "same"
    quality: int = 92
    """1 to 100, of formats that have one."""
    metadata: Metadata = "keep"
    """EXIF and XMP of the picture: all, all but the place where it was taken, or nothing."""
    keep_profile: bool = False
    """Whether results are in the colour profile of the picture rather than in sRGB."""
    name: str = "{stem}"
    """Template of the results' names, see `translate.naming.check_template`."""

    def check(self, engine: Engine) -> None:
        """Raise now what would be raised for every picture.

        Raises:
            ConfigError: a label, style or detail that the model does not have, or a template that names no files.
        """
        engine.knobs(label=self.label, style=self.style_of(engine), detail=self.detail)
        check_template(self.name)

    def style_of(self, engine: Engine) -> Style | None:
        """The numbers of the style."""
        return numbered_style(self.style, engine.spec) if isinstance(self.style, int) else self.style

    def digest(self, engine: Engine) -> str:
        """SHA-256 of the model file and all that is asked of it, hexadecimal."""
        with engine.path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256")
        found.update(json.dumps(asdict(self), sort_keys=True).encode())
        return found.hexdigest()


@dataclass(frozen=True)
class Outcome:
    """What became of one picture."""

    source: str
    """What it is called in messages."""
    status: Literal["converted", "skipped", "failed"]
    target: Path | None
    """The result; None of a failure."""
    reason: str | None = None
    """Of a failure: one line that names the file."""
    notes: tuple[str, ...] = ()
    """What the user should know about a result, a line each: a colour profile that could not be used, for example."""


class Worker:
    """Makes one picture after another; safe in threads."""

    def __init__(
        self,
        source: Source,
        folder: Path,
        engine: Engine,
        how: Conversion,
        existing: Existing,
        manifest: Manifest | None,
        frames: FrameWork | None = None,
    ) -> None:
        self._source, self._folder, self._engine, self._how = source, folder, engine, how
        self._existing, self._manifest = existing, manifest
        self._made_by = how.digest(engine)
        self._style = how.style_of(engine)
        self._memory = _Budget(engine.memory_bytes)
        self._mover = Mover(engine, self._memory.hold, frames or FrameWork())
        self._taken: set[str] = set()
        self._lock = threading.Lock()

    def facts(self, name: str) -> dict[str, str]:
        """The fields of a template for a picture of this name."""
        how, spec = self._how, self._engine.spec
        return {
            "model": spec.name,
            "scale": str(spec.scale),
            "label": str(self._label(name) or ""),
            "style": str(how.style or 0) if not isinstance(how.style, tuple) else "own",
            "detail": f"{how.detail or 0:g}",
        }

    def outcome(self, job: Job) -> Outcome:
        """Convert one picture, or find that this is done already.

        Raises:
            Stopped: a film was left before its end.
        """
        title = self._source.title(job.item.name)
        try:
            target, notes = self._result(job)
        except ImageError as error:
            reason = str(error)
            return Outcome(title, "failed", None, reason if title in reason else f"{title}: {reason}")
        if notes is None:
            return Outcome(title, "skipped", self._folder / target)
        return Outcome(title, "converted", self._folder / target, notes=tuple(f"{title}: {note}" for note in notes))

    def is_done(self, job: Job) -> bool:
        """Whether `outcome` would find it done, as far as can be told without reading the picture."""
        there = (self._folder / job.target).exists()
        if self._existing == "skip":
            return there
        done = self._done(job.item, job.target)
        return there and done is not None and _unchanged(done, job.item)

    def _label(self, name: str) -> Label | None:
        return self._how.label if self._how.label is not None else self._engine.spec.label_of(Path(name).name)

    def _result(self, job: Job) -> tuple[str, tuple[str, ...] | None]:
        """Name of the result, and what is to be said about it; None if it was there."""
        if not safe_name(job.target):
            raise ImageError("its name points outside the archive; pack it again")
        if self._existing == "skip" and (self._folder / job.target).exists():
            return job.target, None
        if self.is_done(job) and self._existing != "overwrite":
            return job.target, None
        data = self._source.load(job.item)
        digest = _digest(data, self._source.title(job.item.name)) if self._manifest else ""
        target, done = self._place(job, digest)
        notes = self._make(job.item, data, target) if done is None else None
        self._note(job.item, digest, target)
        return target, notes

    def _place(self, job: Job, digest: str) -> tuple[str, Done | None]:
        """Name for the result, and how it was made if it is there already."""
        if self._existing == "overwrite":
            return job.target, None
        number, target = 1, job.target
        while (self._folder / target).exists() or not self._take(target):
            done = self._done(job.item, target)
            if done is not None and done.input == digest:
                return target, done
            if self._existing != "rename":
                break
            number += 1
            target = numbered(job.target, number)
        return target, None

    def _take(self, target: str) -> bool:
        """Take a name for a result; False if another picture has it, whose result may not be written yet."""
        if self._existing != "rename":
            return True  # names of a plan are all different
        with self._lock:
            free = target not in self._taken
            self._taken.add(target)
            return free

    def _done(self, item: Item, target: str) -> Done | None:
        """How a result was made, if it is of this picture and as now."""
        done = self._manifest.find(target) if self._manifest else None
        return done if done and (done.source, done.made_by) == (item.name, self._made_by) else None

    def _make(self, item: Item, data: Path | bytes, target: str) -> tuple[str, ...]:
        """Convert and write; returns what is to be said about it."""
        title, place = self._source.title(item.name), self._folder / target
        if isinstance(data, Path) and place.exists() and place.samefile(data):
            raise ImageError("its result would replace it; choose another folder or another --name")
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ImageError(f"its folder {place.parent} cannot be made ({error.strerror})") from None
        wanted = {"label": self._label(item.name), "style": self._style, "detail": self._how.detail}
        knobs: dict[str, Any] = {name: value for name, value in wanted.items() if value is not None}
        moved = self._mover.make(data, place, title, knobs, self._stored())
        if moved is not None:
            return moved
        engine, bits = self._engine, self._engine.max_bits
        try:
            picture = decode(data, title, max_pixels=min(SMALL_PIXELS, engine.max_pixels), bits=bits)
        except TooLarge as error:
            height, width = error.height, error.width
        else:
            with self._memory.hold(engine.work_bytes(picture.height, picture.width)):
                result = engine.apply(picture, **knobs)
            write_picture(place, result, **self._stored())
            return (*self._notes(picture, result), *still_note(data, place))
        if needs_streaming(height, width, engine):
            with self._memory.hold(STREAMING_BYTES):
                caution = convert_huge(data, place, engine, name=title, **knobs, **self._stored())
            return (caution,) if caution else ()
        # Held at once: two that waited for the second half of what they need would wait for ever.
        with self._memory.hold(height * width * BYTES_PER_DECODED_PIXEL + engine.work_bytes(height, width)):
            picture = decode(data, title, max_pixels=engine.max_pixels, bits=bits)
            result = engine.apply(picture, **knobs)
            write_picture(place, result, **self._stored())
        return (*self._notes(picture, result), *still_note(data, place))

    def _notes(self, picture: Picture, result: Picture) -> tuple[str, ...]:
        caution = self._engine.caution(picture.height, picture.width, result_HWC=result.rgb_HWC)
        return (*picture.notes, caution) if caution else picture.notes

    def _stored(self) -> dict[str, Any]:
        """How results are stored, as `write_picture` takes it."""
        return {name: getattr(self._how, name) for name in ("quality", "metadata", "keep_profile")}

    def _note(self, item: Item, digest: str, target: str) -> None:
        if self._manifest:
            self._manifest.add(
                Done(
                    source=item.name,
                    size=item.size,
                    modified_ns=item.modified_ns,
                    input=digest,
                    made_by=self._made_by,
                    target=target,
                )
            )


class _Budget:
    """Memory shared by the workers: big pictures wait for their turn instead of being refused or filling the RAM."""

    def __init__(self, total: int) -> None:
        self._total = self._free = total
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, amount: int) -> Generator[None]:
        # A picture larger than everything gets everything: whether it fits is for the Engine to say.
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


def _unchanged(done: Done, item: Item) -> bool:
    return (done.size, done.modified_ns) == (item.size, item.modified_ns)


def _digest(data: Path | bytes, title: str) -> str:
    if isinstance(data, bytes):
        return hashlib.sha256(data).hexdigest()
    try:
        with data.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        reason = f"cannot be read ({error.strerror or error}); check the name and the rights"
        raise ImageError(f"{title}: {reason}") from None
