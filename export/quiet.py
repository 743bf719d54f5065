"""Other programs, without what they log."""

import contextlib
import logging
from collections.abc import Generator


@contextlib.contextmanager
def quiet() -> Generator[None]:
    """Without the records of any logger, up to errors: what goes wrong is said in one line, by an exception."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(before)
