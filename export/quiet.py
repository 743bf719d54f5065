"""Silence the loggers of libraries."""

import contextlib
import logging
from collections.abc import Generator


@contextlib.contextmanager
def quiet() -> Generator[None]:
    """Silence all loggers up to level ERROR; failures are reported in one line, by exceptions."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(before)
