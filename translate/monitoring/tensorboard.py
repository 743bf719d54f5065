"""Writes TensorBoard event files in the folder of the run."""

from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class Curves:
    """Writes scalars if the package `tensorboard` is installed, otherwise nothing.

    Args:
        folder: for the event files; the first point makes it.
        enabled: if False, nothing is written.
        start: images already seen. Later points, which a killed process wrote after its last snapshot, are hidden;
            with 0, all earlier points are.
    """

    def __init__(self, folder: Path, *, enabled: bool, start: int = 0):
        self._folder, self._start = folder, start
        self._enabled = enabled and find_spec("tensorboard") is not None
        self._writer: SummaryWriter | None = None  # begins a thread

    def add(self, group: str, values: Mapping[str, float], images: int) -> None:
        """Add one point per value, at `images` training images seen."""
        if not self._enabled:
            return
        try:
            if self._writer is None:
                self._writer = self._opened()
            for name, value in values.items():
                self._writer.add_scalar(f"{group}/{name}", value, images)
        except OSError:  # a full disk must not end the run; the log has the same data, and reports why
            self._enabled, self._writer = False, None

    def close(self) -> None:
        """Write buffered points and close the file."""
        if self._writer is not None:
            with suppress(OSError):
                self._writer.close()

    def _opened(self) -> "SummaryWriter":
        from torch.utils.tensorboard import SummaryWriter

        first_lost = self._start + 1 if self._start else 0
        return SummaryWriter(str(self._folder), max_queue=1000, flush_secs=60, purge_step=first_lost)
