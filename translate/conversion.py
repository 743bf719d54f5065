"""One picture: read, convert, write."""

import hashlib
import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from translate.destinations import Destination
from translate.engine import Engine, numbered_style
from translate.errors import ImageError, TooLarge
from translate.images import BYTES_PER_DECODED_PIXEL, Metadata, Picture, decode, encode_for, write_bytes, write_picture
from translate.knobs import Label, Style
from translate.ledger import Existing as Existing
from translate.ledger import Made, Order, Outcome, failure
from translate.moving import FrameWork, Mover, still_note
from translate.naming import check_template
from translate.placement import Placement, content_share_of
from translate.plan import OutputFormat
from translate.sources import Item, Source
from translate.streaming import MEMORY as STREAMING_BYTES
from translate.streaming import convert_huge, needs_streaming

SMALL_PIXELS = 16_000_000
"""Pictures up to this size are decoded by all workers at once; larger ones wait until there is memory for them."""


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """Everything besides the model that changes a result."""

    label: Label | None = None
    """Which kind to make; None: the one that the file's name begins with, as in `handbag-02.png`, or else the first."""
    style: int | tuple[float, ...] | None = None
    """Number of a style, see `translate.engine.numbered_style`, or the style itself; None is the model's own."""
    detail: float | None = None
    """0 faithful to 1 sharp; None is 0."""
    framing: Placement = "auto"
    """Whether drawings that are small on their sheet are brought to the size that the model knows."""
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
        asked = asdict(self)
        if not content_share_of(engine.spec):
            del asked["framing"]  # it changes nothing then, and what was made before there was the choice stands
        found.update(json.dumps(asked, sort_keys=True).encode())
        return found.hexdigest()


class Worker:
    """Makes one picture after another; safe in threads."""

    def __init__(
        self,
        source: Source,
        destination: Destination,
        engine: Engine,
        how: Conversion,
        frames: FrameWork | None = None,
    ) -> None:
        self.source, self.destination, self.engine, self.how = source, destination, engine, how
        self._style = how.style_of(engine)
        self._memory = _Budget(engine.memory_bytes)
        # No more threads compute than there are cores for; the others wait for the disk or their turn.
        self._turn = threading.BoundedSemaphore(engine.at_once)
        self._mover = Mover(engine, self._memory.hold, frames or FrameWork())

    def facts(self, name: str) -> dict[str, str]:
        """The fields of a template for a picture of this name."""
        how, spec = self.how, self.engine.spec
        return {
            "model": spec.name,
            "scale": str(spec.scale),
            "label": str(self._label(name) or ""),
            "style": str(how.style or 0) if not isinstance(how.style, tuple) else "own",
            "detail": f"{how.detail or 0:g}",
        }

    def make(self, order: Order) -> Made:
        """Convert one picture, or find by its bytes that this is done already.

        Raises:
            Stopped: a film was left before its end.
        """
        title = self.source.title(order.item.name)
        try:
            with self.source.load(order.item) as data:
                digest = _digest(data, title)
                for target, made_of in order.made:
                    if made_of == digest:
                        return Made(Outcome(title, "skipped", self.destination.place(target)), target, digest)
                if self.destination.is_same(order.target, title):
                    raise ImageError("its result would replace it; choose another folder or another --name")
                with self.destination.writing(order.target) as place:
                    notes = tuple(f"{title}: {note}" for note in self._make(order.item, data, place))
        except ImageError as error:
            return Made(failure(title, error), order.target)
        place = self.destination.place(order.target)
        return Made(Outcome(title, "converted", place, notes=notes), order.target, digest)

    def _label(self, name: str) -> Label | None:
        return self.how.label if self.how.label is not None else self.engine.spec.label_of(Path(name).name)

    def _make(self, item: Item, data: Path | bytes, place: Path) -> tuple[str, ...]:
        """Convert and write; returns what is to be said about it."""
        title = self.source.title(item.name)
        wanted = {"label": self._label(item.name), "style": self._style, "detail": self.how.detail}
        knobs: dict[str, Any] = {name: value for name, value in wanted.items() if value is not None}
        if self.how.framing != "auto":
            knobs["framing"] = self.how.framing
        moved = self._mover.make(data, place, title, knobs, self._stored())
        if moved is not None:
            return moved
        engine, bits = self.engine, self.engine.max_bits
        try:
            with self._turn:
                picture = decode(data, title, max_pixels=min(SMALL_PIXELS, engine.max_pixels), bits=bits)
                with self._memory.hold(engine.work_bytes(picture.height, picture.width)):
                    result = engine.apply(picture, **knobs)
                encoded = encode_for(place, result, **self._stored())
        except TooLarge as error:
            height, width = error.height, error.width
        else:
            write_bytes(place, encoded)
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
        caution = self.engine.caution(picture.height, picture.width, result_HWC=result.rgb_HWC)
        return (*picture.notes, caution) if caution else picture.notes

    def _stored(self) -> dict[str, Any]:
        """How results are stored, as `write_picture` takes it."""
        return {name: getattr(self.how, name) for name in ("quality", "metadata", "keep_profile")}


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


def _digest(data: Path | bytes, title: str) -> str:
    if isinstance(data, bytes):
        return hashlib.sha256(data).hexdigest()
    try:
        with data.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        reason = f"cannot be read ({error.strerror or error}); check the name and the rights"
        raise ImageError(f"{title}: {reason}") from None
