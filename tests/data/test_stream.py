"""The stream of training samples: order, register, randomness by position, bad files, shares of several processes.

Shape suffixes: B batch, H height, W width, C channels.
"""

import pickle
import shutil
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from translate.data import dataset as stream_module
from translate.data.dataset import PictureDataset, RawBatch, _order, open_caches
from translate.data.framing import Framing
from translate.data.layouts import Listing, list_files
from translate.data.loading import batches
from translate.data.reading import PixelFormat, parse_channels
from translate.errors import DataError, ImageError

SIZE = 32
COUNT = 5
RGB = parse_channels("3")
FIT = Framing("fit", SIZE, "full")
PLAIN = Framing("fit", SIZE, "none")


def save(path: Path, array: np.ndarray, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)


def plain_colour(level: int, height: int = 40, width: int = 40) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def coarse(seed: int, height: int, width: int) -> np.ndarray:
    """A picture without symmetry."""
    blots = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8))
    return np.asarray(blots.resize((width, height), Image.Resampling.BICUBIC))


def photos(folder: Path, framing: Framing = FIT, seed: int = 0, **options: bool) -> PictureDataset:
    listing = list_files(folder, layout="photos", paired=True, makes_source=True, **options)
    return PictureDataset(listing, framing, RGB, seed)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`COUNT` photographs without symmetry. Read only."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(COUNT):
        save(folder / f"{number}.png", coarse(number, 48, 40 + 8 * number))
    return folder


@pytest.fixture(scope="module")
def unpaired(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Plain colours: three sources below 50, five targets above 100. Read only."""
    folder = tmp_path_factory.mktemp("unpaired")
    for level in (10, 20, 30):
        save(folder / "source" / f"{level}.png", plain_colour(level))
    for level in (110, 120, 130, 140, 150):
        save(folder / "target" / f"{level}.png", plain_colour(level, 30, 50))
    return folder


@pytest.fixture
def messy(folder: Path, tmp_path: Path) -> Path:
    """One good photograph and four that cannot be used, of which the first few sort before it."""
    shutil.copy(folder / "0.png", tmp_path / "m.png")
    save(tmp_path / "whole.jpg", np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:900])
    (tmp_path / "whole.jpg").unlink()
    (tmp_path / "text.png").write_text("I am no picture")
    (tmp_path / "empty.webp").touch()
    save(tmp_path / "dot.png", plain_colour(0, 1, 1))
    return tmp_path


def first(
    stream: PictureDataset, count: int, batch_size: int, start: int = 0, workers: int = 0, rank: int = 0, world: int = 1
) -> list[RawBatch]:
    """Enough batches for `count` samples from position `start`, through the loader."""
    found = batches(stream, batch_size, start, workers, pin=False, rank=rank, world=world)
    return list(islice(found, -(-count // batch_size)))


def targets(found: list[RawBatch]) -> torch.Tensor:
    return torch.cat([batch.target_BHWC for batch in found])


def test_every_pass_shows_every_file_once(folder: Path) -> None:
    for epoch in range(3):
        assert sorted(_order((7, epoch), 20).tolist()) == list(range(20))
    orders = [_order(entropy, 20).tolist() for entropy in ((7, 0), (7, 1), (8, 0), (7, 0, 1))]
    assert all(orders[first] != orders[second] for first in range(4) for second in range(first))


def test_one_pass_through_the_stream(tmp_path: Path) -> None:
    for level in (10, 60, 110, 160, 210):
        save(tmp_path / f"{level}.png", plain_colour(level, 64, 64))
    stream = photos(tmp_path)
    for epoch in range(2):
        # Grey photographs keep their colour: only place and shape change, and the middle stays inside.
        middles = [int(stream[5 * epoch + place].target_HWC[SIZE // 2, SIZE // 2, 0]) for place in range(5)]
        assert sorted(middles) == [10, 60, 110, 160, 210]


def test_photographs_come_alone_as_uint8_squares(folder: Path) -> None:
    stream = photos(folder)
    assert len(stream) == COUNT
    batch = next(batches(stream, 3, 0, 0, pin=False))
    assert (batch.target_BHWC.shape, batch.target_BHWC.dtype) == ((3, SIZE, SIZE, 3), torch.uint8)
    assert batch.source_BHWC is None
    assert (batch.label_B.tolist(), batch.label_B.dtype) == ([0, 0, 0], torch.int64)
    assert batch.rejected == ()


def test_position_and_seed_decide(folder: Path) -> None:
    stream = photos(folder)
    backwards = [stream[position].target_HWC for position in reversed(range(8))]
    again = photos(folder)
    assert all(torch.equal(again[7 - number].target_HWC, target_HWC) for number, target_HWC in enumerate(backwards))
    other = photos(folder, seed=1)
    assert not all(torch.equal(other[position].target_HWC, stream[position].target_HWC) for position in range(8))


def test_augmentation_differs_between_passes(folder: Path) -> None:
    stream = photos(folder)
    seen = {stream[position].target_HWC.numpy().tobytes() for position in range(4 * COUNT)}
    assert len(seen) > 2 * COUNT  # a fifth is only fitted, and half of all are mirrored


def test_torch_s_and_numpy_s_own_randomness_is_left_alone(folder: Path) -> None:
    stream = photos(folder)
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    first(stream, 4, 2)
    assert np.array_equal(np.random.get_state()[1], states[1])
    assert torch.equal(torch.get_rng_state(), states[0])


def test_batch_size_start_and_workers_change_nothing(folder: Path) -> None:
    stream = photos(folder)
    expected_BHWC = targets(first(stream, 12, 4))
    assert torch.equal(targets(first(stream, 12, 3)), expected_BHWC)
    assert torch.equal(targets(first(stream, 5, 5, start=7)), expected_BHWC[7:])
    assert torch.equal(targets(first(stream, 12, 4, workers=1)), expected_BHWC)


def test_shares_of_several_processes_join_to_the_whole(unpaired: Path) -> None:
    stream = PictureDataset(list_files(unpaired, layout="auto", paired=False), FIT, RGB, 3)
    whole = first(stream, 18, 6, start=5)
    shares = [first(stream, 18, 6, start=5, rank=rank, world=3, workers=rank % 2) for rank in range(3)]
    for number, batch in enumerate(whole):
        parts = [share[number] for share in shares]
        assert [len(part.target_BHWC) for part in parts] == [2, 2, 2]
        assert torch.equal(torch.cat([part.target_BHWC for part in parts]), batch.target_BHWC)
        assert torch.equal(torch.cat([part.source_BHWC for part in parts]), batch.source_BHWC)
    with pytest.raises(AssertionError, match="3 processes cannot share a batch of 4"):
        batches(stream, 4, 0, 0, pin=False, world=3)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs in two folders and side by side; the target is the source's negative. Read only."""
    folder = tmp_path_factory.mktemp("pairs")
    for number in range(4):
        source_HWC = coarse(number, 50, 44 + 6 * number)
        save(folder / "two" / "source" / f"{number}.png", source_HWC)
        save(folder / "two" / "target" / f"{number}.webp", 255 - source_HWC, lossless=True)
        save(folder / "one" / f"{number}.png", np.concatenate([source_HWC, 255 - source_HWC], axis=1))
        save(folder / "mirrored" / f"{number}.png", np.concatenate([255 - source_HWC, source_HWC], axis=1))
    return folder


def listings(pairs: Path) -> list[Listing]:
    return [
        list_files(pairs / "two", layout="auto", paired=True),
        list_files(pairs / "one", layout="side-by-side", paired=True),
        list_files(pairs / "mirrored", layout="side-by-side", paired=True, source_side="right"),
    ]


@pytest.mark.parametrize("framing", [Framing(kind, SIZE, "flip") for kind in ("fit", "crop", "patch")], ids=str)
def test_layouts_give_the_same_pairs_in_register(pairs: Path, framing: Framing) -> None:
    two, one, right = (PictureDataset(listing, framing, RGB, 0) for listing in listings(pairs))
    for position in range(8):
        source_HWC, target_HWC, label, rejected, _ = two[position]
        assert (label, rejected) == (0, ())
        inside = target_HWC != 255  # around is white in both
        assert ((source_HWC.int() + target_HWC - 255).abs() <= 1)[inside].all()
        assert inside.float().mean() > 0.7
        for other in (one, right):
            assert torch.equal(other[position].source_HWC, source_HWC)
            assert torch.equal(other[position].target_HWC, target_HWC)
    plain = [stream.plain(3) for stream in (two, one, right)]
    assert all(torch.equal(batch.source_BHWC, plain[0].source_BHWC) for batch in plain)
    assert all(torch.equal(batch.target_BHWC, plain[0].target_BHWC) for batch in plain)


def test_sides_may_have_their_own_format(pairs: Path) -> None:
    formats = parse_channels("1:3x16")
    for listing in listings(pairs):
        batch = first(PictureDataset(listing, PLAIN, formats, 0), 2, 2)[0]
        assert (batch.source_BHWC.shape, batch.source_BHWC.dtype) == ((2, SIZE, SIZE, 1), torch.uint8)
        assert (batch.target_BHWC.shape, batch.target_BHWC.dtype) == ((2, SIZE, SIZE, 3), torch.int32)
        assert int(batch.target_BHWC.max()) == 65535
        colours_BHWC = first(PictureDataset(listing, PLAIN, RGB, 0), 2, 2)[0].target_BHWC
        assert ((colours_BHWC.int() * 257 - batch.target_BHWC).abs() < 257).all()


def test_a_side_by_side_file_is_decoded_once(pairs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = PictureDataset(listings(pairs)[1], PLAIN, RGB, 0)
    calls = []
    read = stream_module.read_pixels
    monkeypatch.setattr(stream_module, "read_pixels", lambda *given: calls.append(given) or read(*given))
    stream[0]
    assert len(calls) == 1


def test_pairs_of_two_sizes_and_odd_widths_are_rejected(pairs: Path, tmp_path: Path) -> None:
    shutil.copytree(pairs / "two", tmp_path / "two")
    save(tmp_path / "two" / "source" / "0.png", plain_colour(0, 30, 20))
    stream = PictureDataset(list_files(tmp_path / "two", layout="auto", paired=True), PLAIN, RGB, 0)
    rejected = [line for position in range(4) for line in stream[position].rejected]
    assert len(rejected) == 1
    assert f"{tmp_path}/two/source/0.png is 20x30 pixels and its partner" in rejected[0]
    assert "0.webp is 44x50; a pair must have the same size" in rejected[0]
    assert stream.plain(4).rejected == tuple(rejected)
    for width in (41, 30):
        save(tmp_path / "odd" / "a.png", plain_colour(0, 30, width))
        with pytest.raises(
            DataError, match=f"a.png is {width}x30 pixels; two pictures side by side need an even width"
        ):
            PictureDataset(list_files(tmp_path / "odd", layout="side-by-side", paired=True), PLAIN, RGB, 0)


def test_unpaired_sides_are_drawn_each_for_itself(unpaired: Path) -> None:
    stream = PictureDataset(list_files(unpaired, layout="auto", paired=False), PLAIN, RGB, 0)
    assert len(stream) == 5
    middle = SIZE // 2
    seen = [[int(side_HWC[middle, middle, 0]) for side_HWC in stream[position][:2]] for position in range(60)]
    for number in range(20):
        assert sorted(source for source, _ in seen[3 * number : 3 * number + 3]) == [10, 20, 30]
    for number in range(12):
        assert sorted(target for _, target in seen[5 * number : 5 * number + 5]) == [110, 120, 130, 140, 150]
    assert len({tuple(pair) for pair in seen}) == 15
    plain = stream.plain(3)
    assert plain.source_BHWC[:, middle, middle, 0].tolist() == [10, 20, 30]
    assert plain.target_BHWC[:, middle, middle, 0].tolist() == [110, 130, 150]
    assert len(stream.plain(99).target_BHWC) == 3


def test_unpaired_sides_are_varied_each_for_itself(tmp_path: Path) -> None:
    for side in ("A", "B"):
        save(tmp_path / side / "a.png", coarse(0, 40, 40))
    stream = PictureDataset(list_files(tmp_path, layout="auto", paired=False), Framing("fit", SIZE, "flip"), RGB, 0)
    same = [torch.equal(*stream[position][:2]) for position in range(30)]
    assert 5 < sum(same) < 25


def test_labels_follow_their_files(tmp_path: Path) -> None:
    for name, level in {"bag/a": 50, "bag/b": 60, "shoe/a": 150, "shoe/b": 160, "shoe/c": 170}.items():
        save(tmp_path / f"{name}.png", plain_colour(level))
    (tmp_path / "bag" / "broken.png").touch()
    stream = photos(tmp_path, PLAIN, labels=True)
    for batch in [*first(stream, 12, 4), stream.plain(99)]:
        assert batch.label_B.dtype == torch.int64
        assert (batch.target_BHWC[:, 5, 5, 0] > 100).long().tolist() == batch.label_B.tolist()


def test_bad_files_are_replaced_and_reported(messy: Path) -> None:
    stream = photos(messy)
    rejected: set[str] = set()
    for position in range(len(stream)):
        item = stream[position]
        assert item.target_HWC.shape == (SIZE, SIZE, 3)
        rejected.update(item.rejected)
    assert len(rejected) == 4
    assert all("\n" not in line for line in rejected)
    for name, reason in {
        "cut.jpg": "damaged picture",
        "text.png": "not a PNG, JPEG, WebP",
        "empty.webp": "an empty file",
        "dot.png": "is 1x1 pixels; training needs at least 16",
    }.items():
        assert [line for line in rejected if str(messy / name) in line and reason in line], name
    plain = stream.plain(8)
    assert plain.target_BHWC.shape == (1, SIZE, SIZE, 3)
    assert set(plain.rejected) == rejected


def test_bad_files_of_either_unpaired_side_are_replaced(unpaired: Path, tmp_path: Path) -> None:
    shutil.copytree(unpaired, tmp_path / "in")
    for side in ("source", "target"):
        (tmp_path / "in" / side / "bad.png").touch()
    stream = PictureDataset(list_files(tmp_path / "in", layout="auto", paired=False), PLAIN, RGB, 0)
    rejected = [line for position in range(12) for line in stream[position].rejected]
    assert sum("source/bad.png" in line for line in rejected) == 3
    assert sum("target/bad.png" in line for line in rejected) == 2


def test_both_unpaired_sides_are_tried_at_the_start(unpaired: Path, tmp_path: Path) -> None:
    for side in ("source", "target"):
        shutil.copytree(unpaired, tmp_path / side)
        for path in (tmp_path / side / side).iterdir():
            path.write_text("x")
        with pytest.raises(
            DataError, match=rf"{side}: none of the \d pictures tried can be used; the first one: .*not a PNG"
        ):
            PictureDataset(list_files(tmp_path / side, layout="auto", paired=False), PLAIN, RGB, 0)


def test_all_files_gone_while_training(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "in")
    stream = photos(tmp_path / "in")
    shutil.rmtree(tmp_path / "in")
    for attempt in (lambda: stream[0], lambda: stream.plain(4)):
        with pytest.raises(DataError, match="in: none of") as caught:
            attempt()
        assert "\n" not in str(caught.value)


def test_an_error_in_a_loader_process_is_one_line(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "in")
    stream = photos(tmp_path / "in")
    shutil.rmtree(tmp_path / "in")
    with pytest.raises(DataError, match="none of the 5 pictures can be used") as caught:
        next(batches(stream, 2, 0, workers=1, pin=False))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("channels", ["3", "1:3x16"])
@pytest.mark.parametrize("kind", ["fit", "crop", "patch"])
def test_a_cache_changes_nothing_where_nothing_is_reduced(
    pairs: Path, unpaired: Path, tmp_path: Path, channels: str, kind: str
) -> None:
    formats = parse_channels(channels)
    framing = Framing(kind, 40 if kind == "patch" else 64, "full")
    chosen = [*listings(pairs)]
    if kind != "patch":
        chosen.append(list_files(unpaired, layout="auto", paired=False))
    for listing in chosen:
        cache = open_caches(tmp_path, listing, framing, formats, lambda *_: None)
        assert (cache[0] is cache[1]) == (channels == "3")
        cached, direct = (PictureDataset(listing, framing, formats, 0, given) for given in (cache, None))
        assert len(pickle.dumps(cache)) < 1000
        for position in range(4):
            assert all(torch.equal(*sides) for sides in zip(cached[position][:2], direct[position][:2], strict=True))
    through_loader = first(cached, 4, 2, workers=1)
    assert torch.equal(targets(through_loader), targets(first(direct, 4, 2)))


def test_a_reduced_cache_is_nearly_the_same_and_keeps_the_halves_apart(tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png", np.concatenate([coarse(0, 400, 300), plain_colour(255, 400, 300)], axis=1))
    listing = list_files(tmp_path / "in", layout="side-by-side", paired=True)
    cache = open_caches(tmp_path / "cache", listing, PLAIN, RGB, lambda *_: None)
    assert cache[0].read(listing.targets[0]).shape == (40, 60, 3)
    assert cache[0].original_size(listing.targets[0]) == (400, 600)
    cached, direct = (PictureDataset(listing, PLAIN, RGB, 0, given)[0] for given in (cache, None))
    assert torch.equal(cached.target_HWC, torch.full((SIZE, SIZE, 3), 255, dtype=torch.uint8))
    assert (cached.source_HWC.int() - direct.source_HWC).abs().float().mean() < 4


def test_sizes_of_pairs_are_compared_as_the_files_have_them(tmp_path: Path) -> None:
    save(tmp_path / "in/A/a.png", coarse(0, 400, 400))
    save(tmp_path / "in/B/a.png", coarse(0, 200, 200))
    listing = list_files(tmp_path / "in", layout="auto", paired=True)
    cache = open_caches(tmp_path / "cache", listing, PLAIN, RGB, lambda *_: None)
    with pytest.raises(
        DataError, match=r"is 400x400 pixels and its partner .* is 200x200; a pair must have the same size"
    ):
        PictureDataset(listing, PLAIN, RGB, 0, cache)


def test_a_cache_of_another_format_is_a_mistake(folder: Path, tmp_path: Path) -> None:
    listing = list_files(folder, layout="photos", paired=True, makes_source=True)
    cache = open_caches(tmp_path, listing, PLAIN, parse_channels("1"), lambda *_: None)
    with pytest.raises(AssertionError):
        PictureDataset(listing, PLAIN, (PixelFormat(), PixelFormat()), 0, cache)


def test_broken_files_in_a_cache_are_replaced_as_others_are(messy: Path, tmp_path: Path) -> None:
    listing = list_files(messy, layout="photos", paired=True, makes_source=True)
    cache = open_caches(tmp_path / "cache", listing, PLAIN, RGB, lambda *_: None)
    cached, direct = (PictureDataset(listing, PLAIN, RGB, 0, given) for given in (cache, None))
    for position in range(len(cached)):
        assert cached[position].rejected == direct[position].rejected
    with pytest.raises(ImageError, match=r"text.png: not a PNG"):
        cache[1].read(messy / "text.png")
