"""Writes TensorBoard event files in the folder of the run."""

from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path


class Curves:
    """Writes scalars if the package `tensorboard` is installed, otherwise nothing.

    Args:
        folder: for the event files.
        enabled: if False, nothing is written.
        start: images already seen. Later points, which a killed process wrote after its last snapshot, are hidden;
            with 0, all earlier points are.
    """

    def __init__(self, folder: Path, *, enabled: bool, start: int = 0):
        self._writer = None
        if enabled and find_spec("tensorboard"):
            from torch.utils.tensorboard import SummaryWriter

            try:
                first_lost = start + 1 if start else 0
                self._writer = SummaryWriter(str(folder), max_queue=1000, flush_secs=60, purge_step=first_lost)
            except OSError:  # the log has the same data, and reports why it cannot be written
                return

    def add(self, group: str, values: Mapping[str, float], images: int) -> None:
        """Add one point per value, at `images` training images seen."""
        if self._writer is None:
            return
        try:
            for name, value in values.items():
                self._writer.add_scalar(f"{group}/{name}", value, images)
        except OSError:  # a full disk must not end the run; the log has the same data
            self._writer = None

    def close(self) -> None:
        """Write buffered points and close the file."""
        if self._writer is not None:
            with suppress(OSError):
                self._writer.close()
