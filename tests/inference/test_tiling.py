"""Windows: where they lie, that tiles equal the whole, and what is done where they cannot.

Array names: N pictures, H height, W width, C channels.
"""

import math
from itertools import pairwise

import numpy as np
import pytest

from translate.inference.tiling import (
    MIN_BLENDED,
    Plan,
    Seams,
    Span,
    context,
    fade_in,
    plan_windows,
    run_tiled,
    seam_ratio,
    smallest_tile,
    spans,
)


class Network:
    """Integer arithmetic with everything that tiling could get wrong, so that equal means equal.

    As exported graphs do, it repeats the border up to `multiple`; as convolutions do, it takes zeros beyond. Each pixel
    gets the sum over `reach` pixels around it, the sum over the cells of `multiple` pixels around its own, and its
    place in the cell.
    """

    def __init__(self, multiple: int, reach: int, scale: int = 1, most: int | None = None):
        self.multiple, self.reach, self.scale, self.most = multiple, reach, scale, most
        farthest = max(reach, 2 * multiple - 1 if multiple > 1 else 0)
        self.receptive_field = 2 * farthest + 1
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, image_NHWC: np.ndarray) -> np.ndarray:
        self.shapes.append(image_NHWC.shape)
        assert self.most is None or max(image_NHWC.shape[1:3]) <= self.most
        count, height, width, channels = image_NHWC.shape
        step = self.multiple
        padding = ((0, 0), (0, -height % step), (0, -width % step), (0, 0))
        x_NHWC = np.pad(image_NHWC.astype(np.int64), padding, mode="edge")
        total_NHWC = _around(x_NHWC, self.reach)
        if step > 1:
            cells = x_NHWC.reshape(count, x_NHWC.shape[1] // step, step, x_NHWC.shape[2] // step, step, channels)
            total_NHWC = total_NHWC + 7 * _around(cells.sum(axis=(2, 4)), 1).repeat(step, axis=1).repeat(step, axis=2)
        places = np.arange(x_NHWC.shape[1])[:, None] % step * 3 + np.arange(x_NHWC.shape[2]) % step * 5
        total_NHWC = (total_NHWC + places[None, :, :, None]).repeat(self.scale, axis=1).repeat(self.scale, axis=2)
        total_NHWC[:, :: self.scale] += 11  # rows of the result differ also within a pixel of the input
        return (total_NHWC % 256).astype(np.uint8)[:, : height * self.scale, : width * self.scale]


def _around(x_NHWC: np.ndarray, reach: int) -> np.ndarray:
    """Sum over the square of `reach` to either side, zeros beyond the border."""
    total_NHWC = np.pad(x_NHWC, ((0, 0), (reach + 1, reach), (reach + 1, reach), (0, 0))).cumsum(axis=1).cumsum(axis=2)
    side = 2 * reach + 1
    total_NHWC = total_NHWC[:, side:] - total_NHWC[:, :-side]
    return total_NHWC[:, :, side:] - total_NHWC[:, :, :-side]


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(0, 256, shape, dtype=np.uint8)


# --- where windows lie


def test_windows_obey_their_rules_whatever_the_numbers() -> None:
    random = np.random.default_rng(0)
    for _ in range(3000):
        multiple = int(random.choice([1, 2, 3, 4, 8, 16, 32, 256]))
        field = None if random.random() < 0.3 else int(random.integers(1, 12 * multiple + 2))
        tile = smallest_tile(field, multiple) + int(random.integers(0, 5 * multiple + 200))
        length = int(random.integers(1, 12 * tile))
        found = spans(length, tile, multiple, field)
        about = (length, tile, multiple, field, found)
        assert (found[0].start, found[0].keep_start) == (0, 0), about
        assert (found[-1].stop, found[-1].keep_stop) == (length, length), about
        assert len(found) > 1 or length <= tile, about
        assert all(0 < span.stop - span.start <= tile for span in found), about
        assert all(span.start <= span.keep_start < span.keep_stop <= span.stop for span in found), about
        assert all(span.start % multiple == 0 for span in found), about
        assert all(span.stop % multiple == 0 or span.stop == length for span in found), about
        sides = {span.stop - span.start for span in found}
        assert max(sides) - min(sides) < multiple, about
        least = 0 if field is None else field // 2
        for span in found:
            assert span.keep_start - span.start >= least or span.start == 0, about
            assert span.stop - span.keep_stop >= least or span.stop == length, about
        for before, after in pairwise(found):
            shared = before.keep_stop - after.keep_start
            assert 0 < shared <= before.stop - before.start if field is None else shared == 0, about
            assert before.keep_start < after.keep_start, about


def test_no_more_windows_than_needed_and_no_larger_ones() -> None:
    assert spans(100, 100, 1, 21) == (Span(0, 100, 0, 100),)
    assert spans(100, 0, 8, 21) == (Span(0, 100, 0, 100),)
    assert spans(101, 100, 1, 21) == (Span(0, 61, 0, 51), Span(40, 101, 51, 101))
    assert [span.stop - span.start for span in spans(10_000, 512, 1, 71)] == [502] * 23
    # As many as rounding up to multiples of 4 needs: 12 + 12 + 12 + 4 kept, but the last one reaches back.
    assert spans(40, 20, 4, 9) == (Span(0, 20, 0, 16), Span(12, 32, 16, 28), Span(20, 40, 28, 40))


def test_context_and_smallest_tile() -> None:
    assert (context(1, 1), context(71, 1), context(365, 16), context(749, 32)) == (0, 35, 192, 384)
    assert smallest_tile(71, 1) == 2 * 35 + 64
    assert smallest_tile(749, 32) == 2 * 384 + 64
    assert (smallest_tile(None, 1), smallest_tile(None, 8), smallest_tile(None, 256)) == (256, 256, 512)
    assert smallest_tile(None, 1) == MIN_BLENDED


def test_plan() -> None:
    plan = plan_windows(50, 300, 100, multiple=4, receptive_field=9)
    assert (len(plan.rows), len(plan.columns), plan.count, plan.largest) == (1, 4, 4, (50, 84))
    assert plan_windows(50, 300, 0, multiple=4, receptive_field=9).count == 1


# --- tiles equal the whole


@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize(("multiple", "reach"), [(1, 0), (1, 1), (1, 6), (2, 1), (3, 4), (4, 9), (8, 3), (8, 17)])
def test_tiles_equal_the_whole(multiple: int, reach: int, scale: int) -> None:
    network = Network(multiple, reach, scale)
    least = 2 * context(network.receptive_field, multiple) + multiple
    for number, (height, width) in enumerate([(least, 5 * least + 1), (3 * least - 1, 2 * least + 3), (1, 7 * least)]):
        image_NHWC = noise(2, height, width, 3)
        whole_NHWC = network(image_NHWC)
        for tile in (least, least + 1, 2 * least + 5):
            plan = plan_windows(height, width, tile, multiple=multiple, receptive_field=network.receptive_field)
            assert plan.count > 1 or tile > least
            for batch in (1, 2, 5) if number == 0 else (3,):
                found_NHWC = run_tiled(image_NHWC, network, plan, scale=scale, batch=batch)
                assert np.array_equal(found_NHWC, whole_NHWC), (height, width, tile, batch)


def test_less_context_would_not_do() -> None:
    """The arithmetic above does reach as far as it says."""
    image_NHWC = noise(1, 90, 90, 3)
    for network, field, multiple, equal in (
        (Network(1, 9), 19, 1, True),
        (Network(1, 9), 17, 1, False),
        (Network(4, 9), 19, 4, True),
        (Network(4, 9), 15, 4, False),
        (Network(4, 2), 15, 4, True),
        (Network(4, 2), 15, 1, False),  # windows that cut cells in two
    ):
        plan = plan_windows(90, 90, 41, multiple=multiple, receptive_field=field)
        assert np.array_equal(run_tiled(image_NHWC, network, plan), network(image_NHWC)) == equal, (field, multiple)


def test_windows_of_one_size_go_together() -> None:
    network = Network(4, 2, most=40)
    image_NHWC = noise(3, 50, 150, 3)
    plan = plan_windows(50, 150, 40, multiple=4, receptive_field=network.receptive_field)
    network(image_NHWC[:, :40, :40])
    network.shapes.clear()
    run_tiled(image_NHWC, network, plan, batch=4)
    assert sum(shape[0] for shape in network.shapes) == 3 * plan.count
    assert max(shape[0] for shape in network.shapes) == 4
    assert len({shape[1:3] for shape in network.shapes}) <= 4
    # Every window but the last of a row has one width.
    assert len(network.shapes) <= len(plan.rows) * (math.ceil(3 * (len(plan.columns) - 1) / 4) + 1)


def test_one_window_is_the_model_itself() -> None:
    image_NHWC = noise(2, 9, 10, 3)
    plan = plan_windows(9, 10, 100, multiple=1, receptive_field=3)
    assert run_tiled(image_NHWC, lambda x: x, plan, batch=2) is image_NHWC
    singly_NHWC = run_tiled(image_NHWC, lambda x: x, plan, batch=1)
    assert singly_NHWC is not image_NHWC
    assert np.array_equal(singly_NHWC, image_NHWC)


def test_types_and_channels_are_those_of_the_model() -> None:
    def deep(image_NHWC: np.ndarray) -> np.ndarray:
        return image_NHWC[..., :1].astype(np.uint16) * 257

    image_NHWC = noise(1, 40, 300, 3)
    for field in (9, None):
        plan = plan_windows(40, 300, 256, multiple=1, receptive_field=field)
        assert plan.count == 2
        found_NHWC = run_tiled(image_NHWC, deep, plan)
        assert found_NHWC.dtype == np.uint16
        assert np.array_equal(found_NHWC, deep(image_NHWC))


# --- windows that fade into one another


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("multiple", [1, 8])
def test_blended_windows_keep_what_windows_agree_on(multiple: int, scale: int) -> None:
    network = Network(multiple, 0, scale)
    network.multiple = 1  # nothing but the pixel itself and its place within the result
    image_NHWC = noise(2, 600, 261, 3)
    plan = plan_windows(600, 261, 256, multiple=multiple, receptive_field=None)
    assert (len(plan.rows), len(plan.columns)) == (3, 2)
    found_NHWC = run_tiled(image_NHWC, network, plan, scale=scale, batch=3)
    assert np.array_equal(found_NHWC, network(image_NHWC))


def test_blended_windows_lead_linearly_from_one_level_to_the_next() -> None:
    levels = iter([0, 100, 200, 100, 200, 40])

    def level(image_NHWC: np.ndarray) -> np.ndarray:
        return np.full_like(image_NHWC, next(levels))

    plan = plan_windows(400, 600, 256, multiple=1, receptive_field=None)
    assert (len(plan.rows), len(plan.columns)) == (2, 3)
    found_HW = run_tiled(np.zeros((1, 400, 600, 1), np.uint8), level, plan)[0, :, :, 0].astype(int)
    steps = [np.abs(np.diff(found_HW, axis=axis)).max() for axis in (0, 1)]
    assert max(steps) <= math.ceil(160 / 64) + 1
    assert [found_HW[0, 0], found_HW[0, 300], found_HW[0, 599]] == [0, 100, 200]
    assert [found_HW[399, 0], found_HW[399, 300], found_HW[399, 599]] == [100, 200, 40]
    # Halfway from one to the next, in both directions at once: the mean of four.
    row, column = ((before.keep_stop + after.keep_start) // 2 for before, after in (plan.rows, plan.columns[:2]))
    assert abs(found_HW[row, column] - 100) <= 3
    assert (np.diff(found_HW[0]) >= 0).all()


def test_fade_in() -> None:
    before_HWC, after_HWC = np.full((4, 2, 1), 0, np.uint8), np.full((6, 2, 1), 80, np.uint8)
    fade_in(before_HWC, after_HWC, axis=0)
    assert after_HWC[:, 0, 0].tolist() == [10, 30, 50, 70, 80, 80]
    fade_in(before_HWC[:0], after_HWC, axis=0)
    assert after_HWC[0, 0, 0] == 10
    deep_NHWC = np.full((1, 1, 2, 1), 65535, np.uint16)
    fade_in(np.zeros((1, 1, 1, 1), np.uint16), deep_NHWC, axis=2)
    assert deep_NHWC[0, 0, :, 0].tolist() == [32768, 65535]


# --- seams


def test_seam_ratio() -> None:
    plan = plan_windows(300, 400, 100, multiple=1, receptive_field=21)
    image_HWC = noise(300, 400, 3)
    assert 0.95 < seam_ratio(image_HWC, plan) < 1.05
    stepped_HWC = (image_HWC // 8).copy()
    for span in plan.columns[1:]:
        stepped_HWC[:, span.keep_start :] += 20
    assert seam_ratio(stepped_HWC, plan) > 1.4
    doubled_HWC = stepped_HWC.repeat(2, axis=0).repeat(2, axis=1)
    assert seam_ratio(doubled_HWC, plan, scale=2) > 2 * seam_ratio(stepped_HWC, plan)  # within pixels no jumps at all
    assert seam_ratio(image_HWC, plan_windows(300, 400, 0, multiple=1, receptive_field=21)) == 1.0


def test_seam_ratio_by_hand() -> None:
    plan = Plan((Span(0, 2, 0, 2),), (Span(0, 2, 0, 2), Span(2, 4, 2, 4)))
    image_HWC = np.array([[0, 1, 7, 8], [0, 1, 7, 8]], np.uint8)[..., None]
    # Across the border 6; elsewhere 1, 1 in either row and 4 zeros from row to row.
    assert seam_ratio(image_HWC, plan) == pytest.approx(6 / (4 / 8))
    assert seam_ratio(np.array([[0, 0, 7, 7]] * 2, np.uint8)[..., None], plan) == float("inf")
    assert seam_ratio(np.zeros((2, 4, 1), np.uint8), plan) == 1.0
    assert seam_ratio(np.array([[0, 1, 1, 2]] * 2, np.uint8)[..., None], plan) == 0.0


def test_seams_of_rows_as_they_come() -> None:
    image_HWC = np.random.default_rng(3).integers(0, 256, (300, 410, 3), np.uint8)
    plan = plan_windows(300, 410, 128, multiple=4, receptive_field=21)
    seams = Seams(plan)
    for top, stop in ((0, 1), (1, 100), (100, 128), (128, 299), (299, 300)):
        seams.add(image_HWC[top:stop])
    assert seams.ratio == pytest.approx(seam_ratio(image_HWC, plan), rel=1e-9)


def test_blending_hides_seams() -> None:
    ramp_HWC = np.linspace(0, 100, 600).astype(np.uint8)[None, :, None].repeat(100, axis=0)

    def drifting(image_NHWC: np.ndarray) -> np.ndarray:
        """Sets the mean to 128, as spatial statistics would."""
        return np.clip(image_NHWC - image_NHWC.mean() + 128, 0, 255).astype(np.uint8)

    blended = plan_windows(100, 600, 256, multiple=1, receptive_field=None)
    cut = plan_windows(100, 600, 256, multiple=1, receptive_field=129)
    found = [run_tiled(ramp_HWC[None], drifting, plan)[0] for plan in (blended, cut)]
    assert seam_ratio(found[0], blended) < 2
    assert seam_ratio(found[1], cut) > 20
