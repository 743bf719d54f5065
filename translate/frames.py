"""Many frames through one function: several at once, results in order, few of them held."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")


class Stopped(Exception):  # noqa: N818 - no error: the user wanted it
    """A film was left before its end, since no more work is wanted."""


def ordered_map(function: Callable[[Given], Made], items: Iterable[Given], workers: int) -> Generator[Made]:
    """Yield `function(item)` of all items, in their order, from `workers` threads.

    At most `in_flight(workers)` items are taken that have not come out yet. Items are taken in the thread that asks for
    results. Whoever stops asking waits only for the calls that have begun.

    Raises:
        Exception: whatever `items` or `function` raises.
    """
    waiting: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                del item  # it is the pool's now, which drops it when it is done
                if len(waiting) == in_flight(workers):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def in_flight(workers: int) -> int:
    """How many items `ordered_map` holds at most: those in work, and as many that wait for their turn to come out."""
    return 2 * workers
