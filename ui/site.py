"""What the parts of the page share."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from translate.errors import TranslateError
from ui.job_worker import Precedence
from ui.jobs import JobStore
from ui.model import Model


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much the page takes from its users."""

    upload_bytes: int = 50 * 1000**2
    """Maximum size of an uploaded file."""
    pixels: int = 100 * 1000**2
    """Maximum height * width of an uploaded picture, all its frames and pages together."""
    at_once: int = 1
    """Number of pictures that are converted at the same time."""
    waiting: int = 20
    """Maximum number of requests that wait for that; further ones are refused until there is room."""


class Busy(TranslateError):  # noqa: N818 - no fault of the request
    """There is no room for another request now; it can be sent again later."""


class Line:
    """Where requests wait for their turn. For one event loop."""

    def __init__(self, limits: Limits) -> None:
        self._limits, self._free = limits, asyncio.Semaphore(limits.at_once)
        self.waiting = 0

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[None]:
        """Wait for a turn, and hold it within the block.

        Raises:
            Busy: too many wait already.
        """
        if self._free.locked() and self.waiting >= self._limits.waiting:
            raise Busy(f"{self.waiting} requests are waiting already; try again in a minute")
        self.waiting += 1
        try:
            await self._free.acquire()
        finally:
            self.waiting -= 1
        try:
            yield
        finally:
            self._free.release()


@dataclass(frozen=True)
class Site:
    """The models on offer, where files are kept, and how much is allowed."""

    models: Sequence[Model]
    """Each one's `index` is its place here."""
    cache: Path
    """A private folder for uploads and results, deleted when the page is closed."""
    limits: Limits = Limits()
    jobs: JobStore | None = None
    """The batches; None: the page has none."""
    precedence: Precedence = field(default_factory=Precedence)
    """Lets drawings go before batches."""

    @cached_property
    def line(self) -> Line:
        """Where requests that do not come through Gradio wait; Gradio has a queue of its own."""
        return Line(self.limits)
