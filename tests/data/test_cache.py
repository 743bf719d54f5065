"""The cache of decoded pictures: what is kept, found again, refused, and cleaned up.

Shape suffixes: H height, W width, C channels.
"""

import errno
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from translate.data import cache as cache_module
from translate.data.cache import Cache
from translate.data.framing import Framing
from translate.data.reading import PixelFormat, read_pixels
from translate.errors import DataError, ImageError

PATCH = Framing("patch", 16, "full")
FIT = Framing("fit", 32, "full")
RGB = PixelFormat()


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Twelve pictures of different sizes, more than are decoded at once."""
    random = np.random.default_rng(0)
    found = [tmp_path / "in" / f"{number:02}.png" for number in range(12)]
    found[0].parent.mkdir()
    for number, path in enumerate(found):
        Image.fromarray(random.integers(0, 256, (60 + number, 80 - number, 3), dtype=np.uint8)).save(path)
    return found


def quiet(done: int, total: int) -> None:
    """No progress bar."""


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every file that is decoded for a cache from now on."""
    calls: list[Path] = []

    def read(path: Path, format: PixelFormat) -> Any:
        calls.append(path)
        return read_pixels(path, format)

    monkeypatch.setattr(cache_module, "read_pixels", read)
    return calls


def folders(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


@pytest.mark.parametrize("format", [RGB, PixelFormat(1), PixelFormat(3, 16)], ids=str)
def test_pictures_that_are_not_reduced_are_the_same(tmp_path: Path, paths: list[Path], format: PixelFormat) -> None:
    progress: list[tuple[int, int]] = []
    cache = Cache.open(tmp_path / "cache", paths, format, PATCH, lambda *given: progress.append(given))
    assert progress == [(number, 12) for number in range(1, 13)]
    for path in reversed(paths):
        expected_HWC = read_pixels(path, format)
        found_HWC = cache.read(path)
        assert found_HWC.dtype == expected_HWC.dtype
        assert np.array_equal(found_HWC, expected_HWC)
        assert cache.original_size(path) == expected_HWC.shape[:2]
        found_HWC[:] = 0  # the caller's own
        assert np.array_equal(cache.read(path), expected_HWC)


@pytest.mark.parametrize("channels", [3, 6])
def test_larger_pictures_are_reduced_by_averaging(tmp_path: Path, channels: int) -> None:
    fine_HWC = np.random.default_rng(0).integers(0, 65536, (80, 160, channels), dtype=np.uint16)
    np.save(tmp_path / "a.npy", fine_HWC)
    cache = Cache.open(tmp_path / "cache", [tmp_path / "a.npy"], PixelFormat(channels, 16), FIT, quiet)
    found_HWC = cache.read(tmp_path / "a.npy")
    assert found_HWC.shape == (20, 40, channels)
    assert np.abs(found_HWC - fine_HWC.reshape(20, 4, 40, 4, channels).mean(axis=(1, 3))).max() <= 1
    assert cache.original_size(tmp_path / "a.npy") == (80, 160)


def test_an_unchanged_data_set_is_found_again(
    tmp_path: Path, paths: list[Path], decoded: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Cache.open(tmp_path / "cache", paths, RGB, FIT, quiet)
    assert sorted(decoded) == paths
    decoded.clear()
    # How samples are varied later does not matter; a relative name is the same file.
    again = Cache.open(tmp_path / "cache", iter(paths), RGB, Framing("fit", 32, "none"), quiet)
    monkeypatch.chdir(tmp_path)
    relative = [path.relative_to(tmp_path) for path in paths]
    third = Cache.open(tmp_path / "cache", relative, RGB, FIT, quiet)
    assert decoded == []
    assert first.folder == again.folder == third.folder
    assert np.array_equal(third.read(relative[3]), first.read(paths[3]))


def test_whatever_changes_the_pictures_makes_a_new_cache(tmp_path: Path, paths: list[Path]) -> None:
    def name(files: list[Path], *given: Any, **options: bool) -> str:
        return Cache.open(tmp_path / "cache", files, *given, quiet, **options).folder.name

    names = [
        name(paths, RGB, FIT),
        name(paths[:-1], RGB, FIT),
        name(paths, PixelFormat(1), FIT),
        name(paths, PixelFormat(3, 16), FIT),
        name(paths, RGB, Framing("fit", 64, "full")),
        name(paths, RGB, Framing("crop", 32, "full")),
        name(paths, RGB, PATCH),
        name(paths, RGB, FIT, halves=True),
    ]
    os.utime(paths[4], ns=(1, 1))
    names.append(name(paths, RGB, FIT))
    paths[4].unlink()
    names.append(name(paths, RGB, FIT))
    assert len(set(names)) == len(names)
    assert folders(tmp_path / "cache") == sorted(names)
    assert name(paths, RGB, Framing("patch", 64, "flip")) == name(paths, RGB, PATCH)


def test_broken_files_are_kept_as_their_reason(tmp_path: Path, paths: list[Path], decoded: list[Path]) -> None:
    paths[2].write_text("I am no picture")
    paths[5].unlink()
    cache = Cache.open(tmp_path / "cache", paths, RGB, FIT, quiet)
    for ask in (cache.read, cache.original_size):
        with pytest.raises(ImageError, match=r"02.png: not a PNG"):
            ask(paths[2])
        with pytest.raises(ImageError, match=r"05.png: cannot be read"):
            ask(paths[5])
    assert cache.read(paths[3]).shape == (33, 40, 3)
    decoded.clear()
    Cache.open(tmp_path / "cache", paths, RGB, FIT, quiet)
    assert decoded == []


def test_nothing_but_broken_files(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    cache = Cache.open(tmp_path / "cache", [tmp_path / "a.png"], RGB, FIT, quiet)
    with pytest.raises(ImageError, match=r"a.png: an empty file"):
        cache.read(tmp_path / "a.png")


def test_a_pickle_is_small_and_maps_for_itself(tmp_path: Path, paths: list[Path]) -> None:
    cache = Cache.open(tmp_path / "cache", paths, RGB, FIT, quiet)
    expected_HWC = cache.read(paths[1])
    pickled = pickle.dumps(cache)
    assert len(pickled) < 600
    assert np.array_equal(pickle.loads(pickled).read(paths[1]), expected_HWC)


def test_a_full_disk_is_one_line_and_leaves_nothing(
    tmp_path: Path, paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(cache_module, "_to_disk", full)
    with pytest.raises(
        DataError, match=r"cache: the cache cannot be written \(No space left .*; free some disk space"
    ) as caught:
        Cache.open(tmp_path / "cache", paths, RGB, FIT, quiet)
    assert "\n" not in str(caught.value)
    assert folders(tmp_path / "cache") == []


def test_a_file_in_the_way_is_one_line(tmp_path: Path, paths: list[Path]) -> None:
    with pytest.raises(DataError, match=r"00.png: the cache cannot be written"):
        Cache.open(paths[0], paths, RGB, FIT, quiet)


def test_an_interrupted_build_leaves_nothing(tmp_path: Path, paths: list[Path], decoded: list[Path]) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Cache.open(tmp_path / "cache", paths, RGB, FIT, interrupt)
    assert folders(tmp_path / "cache") == []
    decoded.clear()
    Cache.open(tmp_path / "cache", paths, RGB, FIT, quiet)
    assert sorted(decoded) == paths


def test_of_two_who_ask_at_once_one_builds(tmp_path: Path, paths: list[Path], decoded: list[Path]) -> None:
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(Cache.open, tmp_path / "cache", paths, RGB, FIT, quiet) for _ in range(2)]
    assert asked[0].result().folder == asked[1].result().folder
    assert sorted(decoded) == paths


def test_what_a_killed_build_left_is_removed_by_the_next(tmp_path: Path, paths: list[Path]) -> None:
    left_over = tmp_path / "cache" / ".0123.part"
    left_over.mkdir(parents=True)
    (left_over / "pixels").write_bytes(b"half")
    (left_over / "index.json").write_text("{}")
    cache = Cache.open(tmp_path / "cache", paths, RGB, FIT, quiet)
    assert folders(tmp_path / "cache") == [cache.folder.name]


def test_only_a_few_pictures_are_in_memory_at_once(
    tmp_path: Path, paths: list[Path], decoded: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "cores", lambda: 2)
    ahead: list[int] = []
    Cache.open(tmp_path / "cache", paths, RGB, FIT, lambda done, _: ahead.append(len(decoded) - done))
    assert max(ahead) <= 2
