"""Signals that ask a program to end."""

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def ending_like_ctrl_c() -> Generator[list[int]]:
    """Let SIGTERM, and SIGHUP of a closed terminal, raise KeyboardInterrupt as Ctrl-C does.

    The same signal again ends the program at once.

    Yields:
        A list to which the number of the signal is added when it comes.
    """
    came: list[int] = []
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    alone = threading.current_thread() is threading.main_thread()  # the only one that can set handlers
    # Signals that the parent process ignores (as nohup does with SIGHUP) stay ignored; None: a handler in C, which
    # could not be restored.
    handlers = {number: signal.getsignal(number) for number in numbers if alone}
    before = {number: found for number, found in handlers.items() if found not in (signal.SIG_IGN, None)}

    def end(number: int, _: FrameType | None) -> None:
        came.append(number)
        signal.signal(number, before[number])
        raise KeyboardInterrupt

    for number in before:
        signal.signal(number, end)
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
