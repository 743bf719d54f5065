"""What the parts of the page share."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ui.model import Model


@dataclass(frozen=True)
class Site:
    """The models on offer, and where files are kept."""

    models: Sequence[Model]
    """Each one's `index` is its place here."""
    cache: Path
    """A private folder for uploads and results, deleted when the page is closed."""
