"""Calls from many threads through one model."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from translate.inference.batching import Batcher
from translate.inference.engine import Engine

DEADLINE = 20.0


class Model:
    """Inverts pictures; while it computes the first, it waits until so many calls have come."""

    def __init__(self, most: int, wait_for: int = 0, most_memory: int = 1_000):
        self.sizes: list[int] = []
        self.wait_for, self.most_memory = wait_for, most_memory
        self.batcher = Batcher(self.run, most)

    def run(self, image_NHWC, controls):
        end = time.monotonic() + DEADLINE
        while not self.sizes and len(self.batcher._waiting) < self.wait_for:
            assert time.monotonic() < end
        self.sizes.append(len(image_NHWC))
        if len(image_NHWC) > self.most_memory:
            raise MemoryError
        if (image_NHWC == 13).all():
            raise RuntimeError("thirteen")
        return 255 - image_NHWC - controls.get("style", np.uint8(0))


def run_all(calls, function):
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.exception() or future.result() for future in [pool.submit(function, *call) for call in calls]]


def picture(value: int, size: int = 4) -> np.ndarray:
    return np.full((1, size, size, 3), value, np.uint8)


def test_calls_that_wait_at_the_same_time_go_together_and_get_their_own_results():
    model = Model(4, wait_for=8)
    results = run_all([(picture(value), {}) for value in range(9)], model.batcher)
    assert [int(result[0, 0, 0, 0]) for result in results] == [255 - value for value in range(9)]
    assert sorted(model.sizes) == [1, 4, 4]


def test_only_equal_sizes_and_equal_knobs_go_together():
    model = Model(100, wait_for=6)
    calls = [(picture(1), {})] * 3 + [(picture(1, 6), {})] * 2 + [(picture(1), {"style": np.uint8(5)})] * 2
    results = run_all(calls, model.batcher)
    assert [(result.shape[1], int(result.max())) for result in results] == [(4, 254)] * 3 + [(6, 254)] * 2 + [
        (4, 249)
    ] * 2
    assert sum(model.sizes) == 7
    assert max(model.sizes) <= 3


def test_a_joint_run_without_memory_is_made_one_by_one_and_later_ones_are_smaller():
    model = Model(4, wait_for=4, most_memory=2)
    results = run_all([(picture(value), {}) for value in range(5)], model.batcher)
    assert [int(result.max()) for result in results] == [255, 254, 253, 252, 251]
    assert model.batcher.most == 2


def test_a_single_call_without_memory_says_so():
    with pytest.raises(MemoryError):
        Model(4, most_memory=0).batcher(picture(1), {})


def test_an_error_reaches_its_callers_and_the_next_call_works():
    made = Model(4).batcher
    with pytest.raises(RuntimeError, match="thirteen"):
        made(picture(13), {})
    assert made(picture(1), {}).max() == 254


def test_an_engine_joins_the_calls_of_its_threads(double_model):
    engine = Engine(double_model, threads=1, device="cpu", batch=4)
    images = [np.full((24, 32, 3), value, np.uint8) for value in range(12)]
    results = run_all([(image,) for image in images], engine)
    assert all((result == image[0, 0]).all() for image, result in zip(images, results, strict=True))
    assert engine.batch == 4
