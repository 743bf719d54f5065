"""A parallel map for video frames: several at once, results in order, only a few in memory."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Input = TypeVar("Input")
Output = TypeVar("Output")


class Stopped(Exception):  # noqa: N818 - not an error: the user asked for it
    """A video was abandoned because the user stopped the work."""


def ordered_map(function: Callable[[Input], Output], items: Iterable[Input], workers: int) -> Generator[Output]:
    """Yield `function(item)` for all items, in order, computed by `workers` threads.

    At most `in_flight(workers)` items are in progress at a time. Items are read in the thread that consumes the
    results. A consumer that stops early waits only for the calls that have already started.

    Raises:
        Exception: whatever `items` or `function` raises.
    """
    waiting: deque[Future[Output]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                del item  # the pool holds the only reference and drops it when the call is done
                if len(waiting) == in_flight(workers):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def in_flight(workers: int) -> int:
    """Maximum number of items that `ordered_map` holds: those being processed, and as many finished or waiting."""
    return 2 * workers
