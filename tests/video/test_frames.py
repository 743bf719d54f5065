import threading
from collections.abc import Iterator

import pytest

from translate.threads import in_flight, ordered_map


class Probe:
    """Counts how many of it are alive."""

    alive = most = 0
    lock = threading.Lock()

    def __init__(self, number: int) -> None:
        self.number = number
        with Probe.lock:
            Probe.alive += 1
            Probe.most = max(Probe.most, Probe.alive)

    def __del__(self) -> None:
        with Probe.lock:
            Probe.alive -= 1


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_in_order_and_few_are_held(workers: int) -> None:
    Probe.alive = Probe.most = 0
    made = ordered_map(lambda probe: Probe(probe.number), (Probe(number) for number in range(200)), workers)
    assert [probe.number for probe in made] == list(range(200))
    # For each that is held its result may be there too; and the loop above has one.
    assert Probe.most <= 2 * in_flight(workers) + 2
    assert Probe.alive <= 1


def test_a_slow_one_holds_up_only_what_comes_after_it() -> None:
    second_done = threading.Event()

    def work(number: int) -> int:
        if number == 0:
            assert second_done.wait(60)
        if number == 1:
            second_done.set()
        return number

    assert list(ordered_map(work, range(10), 2)) == list(range(10))


def test_errors_come_out_and_no_thread_stays() -> None:
    def work(number: int) -> int:
        if number == 3:
            raise ZeroDivisionError
        return number

    def items() -> Iterator[int]:
        yield from range(4)
        raise KeyError

    before = threading.active_count()
    results = ordered_map(work, range(100), 4)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ZeroDivisionError):
        next(results)
    with pytest.raises(KeyError):
        list(ordered_map(str, items(), 2))
    results = ordered_map(work, range(3), 2)
    next(results)
    results.close()
    assert threading.active_count() == before
