"""What the parts of the page share."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ui.job_worker import Precedence
from ui.jobs import JobStore
from ui.model import Model


@dataclass(frozen=True)
class Site:
    """The models on offer, and where files are kept."""

    models: Sequence[Model]
    """Each one's `index` is its place here."""
    cache: Path
    """A private folder for uploads and results, deleted when the page is closed."""
    jobs: JobStore | None = None
    """The batches; None: the page has none."""
    precedence: Precedence = field(default_factory=Precedence)
    """Lets drawings go before batches."""
