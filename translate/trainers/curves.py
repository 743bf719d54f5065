"""Curves for TensorBoard, in the folder of the run; no server is needed to write them."""

from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path


class Curves:
    """Writes scalars where the package `tensorboard` is installed, else nothing.

    Args:
        folder: of the event files.
        enabled: False writes nothing.
    """

    def __init__(self, folder: Path, *, enabled: bool):
        self._writer = None
        if enabled and find_spec("tensorboard"):
            from torch.utils.tensorboard import SummaryWriter

            try:
                self._writer = SummaryWriter(str(folder), max_queue=1000, flush_secs=60)
            except OSError:  # the log says the same in JSON, and why it cannot be written
                return

    def add(self, group: str, values: Mapping[str, float], images: int) -> None:
        """One point for every value, at `images` training images seen."""
        if self._writer is None:
            return
        try:
            for name, value in values.items():
                self._writer.add_scalar(f"{group}/{name}", value, images)
        except OSError:  # a full disk must not end the run for a curve; the log says the same
            self._writer = None

    def close(self) -> None:
        """Write what is still in memory."""
        if self._writer is not None:
            with suppress(OSError):
                self._writer.close()
