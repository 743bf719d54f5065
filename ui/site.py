"""What the parts of the page share."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, overload

from translate.credentials.identity import OFF
from ui.batch.jobs import JobStore
from ui.batch.worker import Precedence
from ui.model import Model
from ui.refused import Refused

if TYPE_CHECKING:
    from ui.models.registry import Registry
    from ui.training.runs import Runs


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


class Busy(Refused):
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
            raise Busy("page.busy", waiting=self.waiting)
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
    """Each one's `index` is its place here. More may be appended while the page runs, by `registry`."""
    cache: Path
    """A private folder for uploads and results, deleted when the page is closed."""
    limits: Limits = Limits()
    jobs: JobStore | None = None
    """The batches; None: the page has none."""
    precedence: Precedence = field(default_factory=Precedence)
    """Lets drawings go before batches."""
    registry: "Registry | None" = None
    """What finds more models; None: there will be no others."""
    runs: "Runs | None" = None
    """The trainings of the page; None: training is not allowed."""
    credentials: str = OFF
    """Content credentials in results, as `translate convert --credentials` takes it, unless the user does not want
    them; `off`: the page does not offer them."""

    def signed(self, wanted: bool) -> str:
        """The value of `--credentials` for somebody who wants them or not."""
        return self.credentials if wanted else OFF

    @cached_property
    def line(self) -> Line:
        """Where requests that do not come through Gradio wait; Gradio has a queue of its own."""
        return Line(self.limits)

    def sample_files(self) -> list[str]:
        """Where the sample pictures of all models lie."""
        return [str(path.absolute()) for model in self.models for path in model.samples]

    def of_task(self, task: str) -> Sequence[Model]:
        """The models for a task, in the order of the page. It grows with the page, and places in it stay valid."""
        return _OfTask(self.models, task)


class _OfTask(Sequence[Model]):
    def __init__(self, models: Sequence[Model], task: str) -> None:
        self._models, self._task = models, task

    def _now(self) -> list[Model]:
        return [model for model in self._models if model.engine.spec.task == self._task]

    @overload
    def __getitem__(self, place: int) -> Model: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Model]: ...
    def __getitem__(self, place: int | slice) -> Model | Sequence[Model]:
        return self._now()[place]

    def __len__(self) -> int:
        return len(self._now())
