"""What the parts of the page share."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, overload

from ui.model import Model

if TYPE_CHECKING:
    from ui.registry import Registry
    from ui.runs import Runs


@dataclass(frozen=True)
class Site:
    """The models on offer, and where files are kept."""

    models: Sequence[Model]
    """Each one's `index` is its place here. More may be appended while the page runs, by `registry`."""
    cache: Path
    """A private folder for uploads and results, deleted when the page is closed."""
    registry: "Registry | None" = None
    """What finds more models; None: there will be no others."""
    runs: "Runs | None" = None
    """The trainings of the page; None: training is not allowed."""

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
