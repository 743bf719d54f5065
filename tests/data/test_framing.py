"""Squares from pictures: register of all that are framed together, white, sizes, and what varies.

Shape suffixes: H height, W width, C channels.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from translate.data.framing import Framing, cached_size, check_size, frame, frame_plain
from translate.errors import ImageError

SIZE = 32
KINDS = ("fit", "crop", "patch")
AUGMENTS = ("none", "flip", "full")


def places(height: int, width: int) -> np.ndarray:
    """(H, W, 1) uint16: a ramp that tells the place of every pixel, but for enlarging and averaging."""
    rows_HW, columns_HW = np.mgrid[:height, :width]
    return (rows_HW * 900 + columns_HW * 7).astype(np.uint16)[..., None]


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def mirrored(squares: Sequence[np.ndarray]) -> list[bool]:
    """Whether each square of a picture that is dark on the left has it on the right."""
    return [bool(square[:, : SIZE // 2].mean() > square[:, SIZE // 2 :].mean()) for square in squares]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("augment", AUGMENTS)
def test_pictures_framed_together_stay_in_register(kind: str, augment: str) -> None:
    framing = Framing(kind, SIZE, augment)
    place_HW1 = places(60, 72)
    seen = set()
    for seed in range(12):
        one_HW1, eight_HWC, bytes_HW1 = frame(
            framing, [place_HW1, np.repeat(place_HW1, 5, axis=2), (place_HW1 // 257).astype(np.uint8)], seed
        )
        assert (eight_HWC == one_HW1).all()
        # The same with 8 bits, but for white around and roundings: a shift by one pixel is 3.5 levels downwards.
        assert np.abs(one_HW1 / 257 - bytes_HW1)[one_HW1 < 65535].max() < 2
        seen.add(one_HW1.tobytes())
    assert len(seen) == 1 if augment == "none" and kind != "patch" else len(seen) > 1


def test_recolouring_leaves_places_alone_and_is_the_same_for_both() -> None:
    framing = Framing("fit", SIZE, "full")
    photo_HWC = noise(40, 50)
    photo_HWC[:, :10] = 0  # dark on the left
    recoloured = {False: 0, True: 0}
    for seed in range(60):
        first_HWC, second_HWC, grey_HW1 = frame(framing, [photo_HWC, photo_HWC, photo_HWC[..., :1]], seed)
        assert np.array_equal(first_HWC, second_HWC)
        assert grey_HW1.shape == (SIZE, SIZE, 1)
        four_HWC = frame(framing, [np.dstack([photo_HWC, photo_HWC[..., :1]])], seed)[0]
        turned = mirrored([grey_HW1])[0]
        recoloured[turned] += not np.array_equal(four_HWC[..., :3], first_HWC)
        assert np.array_equal(four_HWC[..., 3:], grey_HW1)
    # About nine each: mirroring and recolouring must not be drawn by the same number.
    assert min(recoloured.values()) >= 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 3, 4, 8])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_squares_keep_channels_type_and_input(kind: str, channels: int, dtype: type) -> None:
    picture_HWC = noise(40, 50, channels).astype(dtype)
    before_HWC = picture_HWC.copy()
    for augment in AUGMENTS:
        framing = Framing(kind, SIZE, augment)
        for square_HWC in (*frame(framing, [picture_HWC], 3), *frame_plain(framing, [picture_HWC])):
            assert (square_HWC.shape, square_HWC.dtype) == ((SIZE, SIZE, channels), dtype)
            assert square_HWC.flags.c_contiguous
    assert np.array_equal(picture_HWC, before_HWC)


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_decides(kind: str) -> None:
    framing, picture_HWC = Framing(kind, SIZE, "full"), noise(60, 50)
    first = [frame(framing, [picture_HWC], seed)[0] for seed in range(6)]
    again = [frame(framing, [picture_HWC], seed)[0] for seed in reversed(range(6))][::-1]
    assert all(np.array_equal(*pair) for pair in zip(first, again, strict=True))
    assert len({square_HWC.tobytes() for square_HWC in first}) > 3


@pytest.mark.parametrize(("dtype", "channels"), [(np.uint8, 3), (np.uint8, 6), (np.uint16, 3), (np.uint16, 6)])
def test_fitted_pictures_have_white_around(dtype: type, channels: int) -> None:
    white = np.iinfo(dtype).max
    plain_HWC = frame_plain(Framing("fit", SIZE, "full"), [np.zeros((32, 64, channels), dtype)])[0]
    assert (plain_HWC[8:24] == 0).all()
    assert (plain_HWC[:8] == white).all()
    assert (plain_HWC[24:] == white).all()
    blank_HWC = np.full((64, 20, channels), white, dtype)
    for seed in range(20):
        # Recoloured white is not quite white in 8-bit colours.
        square_HWC = frame(Framing("fit", SIZE, "full"), [blank_HWC], seed)[0]
        assert square_HWC.min() >= white - (13 if (dtype, channels) == (np.uint8, 3) else 0)


def test_flipping_is_half_of_the_time_and_nothing_else() -> None:
    picture_HWC = noise(SIZE, SIZE, 2)
    for kind in ("fit", "patch"):
        squares = [frame(Framing(kind, SIZE, "flip"), [picture_HWC], seed)[0] for seed in range(40)]
        same = [np.array_equal(square_HWC, picture_HWC) for square_HWC in squares]
        turned = [np.array_equal(square_HWC, picture_HWC[:, ::-1]) for square_HWC in squares]
        assert all(np.logical_xor(same, turned))
        assert 10 <= sum(turned) <= 30


def test_patches_are_turned_in_all_eight_ways_and_cut_anywhere() -> None:
    picture_HWC = noise(SIZE, SIZE, 1)
    squares = {frame(Framing("patch", SIZE, "full"), [picture_HWC], seed)[0].tobytes() for seed in range(80)}
    ways = [np.rot90(side, turns) for turns in range(4) for side in (picture_HWC, picture_HWC[:, ::-1])]
    assert squares == {np.ascontiguousarray(way).tobytes() for way in ways}
    place_HW1 = places(40, 40)
    corners = {int(frame(Framing("patch", SIZE, "none"), [place_HW1], seed)[0][0, 0, 0]) for seed in range(60)}
    assert {corner // 900 for corner in corners} == set(range(9))
    assert {corner % 900 // 7 for corner in corners} == set(range(9))
    plain_HW1 = frame_plain(Framing("patch", SIZE, "full"), [place_HW1])[0]
    assert np.array_equal(plain_HW1, place_HW1[4:36, 4:36])


def test_crops_are_reduced_to_the_shorter_side() -> None:
    picture_HWC = np.repeat(places(2 * SIZE, 4 * SIZE), 2, axis=2)
    plain_HWC = frame_plain(Framing("crop", SIZE, "full"), [picture_HWC])[0]
    assert np.array_equal(frame(Framing("crop", SIZE, "none"), [picture_HWC], 5)[0], plain_HWC)
    assert abs(int(plain_HWC[0, 0, 0]) - int(picture_HWC[0:2, SIZE : SIZE + 2, 0].mean())) < 900
    # Rows per pixel of the square: how far the picture was reduced.
    steps = [
        [
            float(np.diff(frame(Framing("crop", SIZE, augment), [picture_HWC], seed)[0][:, 4, 0]).mean()) / 900
            for seed in range(30)
        ]
        for augment in ("flip", "full")
    ]
    assert steps[0] == pytest.approx([64 / 36] * 30, rel=0.02)
    assert min(steps[1]) == pytest.approx(64 / 45, rel=0.03)
    assert max(steps[1]) == pytest.approx(64 / 32, rel=0.03)


def test_small_pictures_are_enlarged_but_not_for_patches() -> None:
    path = Path("a.png")
    for kind in ("fit", "crop"):
        check_size(Framing(kind, SIZE, "full"), path, 16, 20)
        assert frame(Framing(kind, SIZE, "full"), [noise(16, 20)], 0)[0].shape == (SIZE, SIZE, 3)
    with pytest.raises(ImageError, match=r"^a.png is 40x31 pixels, smaller than the crop of 32; lower --image-size or"):
        check_size(Framing("patch", SIZE, "full"), path, 31, 40)
    check_size(Framing("patch", SIZE, "full"), path, 32, 40)
    for kind in KINDS:
        with pytest.raises(ImageError, match=r"^a.png is 40x15 pixels; training needs at least 16 on both sides$"):
            check_size(Framing(kind, 8, "none"), path, 15, 40)


@pytest.mark.parametrize(
    ("kind", "size", "expected"),
    [
        ("fit", (3000, 4000), (240, 320)),
        ("fit", (320, 10), (320, 10)),
        ("fit", (4000, 1), (320, 1)),
        ("crop", (3000, 4000), (358, 477)),
        ("crop", (300, 4000), (300, 4000)),
        ("patch", (3000, 4000), (3000, 4000)),
    ],
)
def test_cached_pictures_are_as_large_as_needed(kind: str, size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert cached_size(Framing(kind, 256, "full"), *size) == expected
