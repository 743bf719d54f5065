"""Signals that ask a program to end."""

import signal
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from types import FrameType


@contextmanager
def handled(names: Sequence[str], handler: Callable[[int], None]) -> Generator[None]:
    """Call `handler` with the number of a signal when it comes; the same signal again has its usual effect.

    Args:
        names: such as `SIGTERM`; those that this system lacks are left out, and so are those that the parent process
            ignores, as nohup does with SIGHUP. In any thread but the main one, nothing is handled.
        handler: called in the main thread; it may raise an exception.
    """
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    alone = threading.current_thread() is threading.main_thread()  # the only one that can set handlers
    # None: a handler in C, which could not be restored.
    found = {number: signal.getsignal(number) for number in numbers if alone}
    before = {number: usual for number, usual in found.items() if usual not in (signal.SIG_IGN, None)}

    def once(number: int, _: FrameType | None) -> None:
        signal.signal(number, before[number])
        handler(number)

    for number in before:
        signal.signal(number, once)
    try:
        yield
    finally:
        for number, usual in before.items():
            signal.signal(number, usual)


@contextmanager
def ending_like_ctrl_c() -> Generator[list[int]]:
    """Let SIGTERM, and SIGHUP of a closed terminal, raise KeyboardInterrupt as Ctrl-C does.

    The same signal again ends the program at once.

    Yields:
        A list to which the number of the signal is added when it comes.
    """
    came: list[int] = []

    def end(number: int) -> None:
        came.append(number)
        raise KeyboardInterrupt

    with handled(("SIGTERM", "SIGHUP"), end):
        yield came
