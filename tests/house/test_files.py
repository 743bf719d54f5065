from pathlib import Path

import pytest

from translate.files import atomic_path


def test_replaces_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with atomic_path(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.suffix == ".txt"
        assert temporary.name.startswith(".")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("exception", [ValueError, KeyboardInterrupt])
def test_failure_leaves_the_old_file(tmp_path: Path, exception: type[BaseException]) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(exception), atomic_path(path) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise exception
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "no" / "a.txt") as temporary:
        temporary.write_text("x")


def test_longest_name(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 251 + ".png")
    with atomic_path(path) as temporary:
        temporary.write_text("x")
    assert path.exists()


def test_temporary_names_fit_whatever_the_suffix(tmp_path: Path) -> None:
    path = tmp_path / f"a.{'x' * 253}"
    with atomic_path(path) as temporary:
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    with atomic_path(tmp_path / f"{'a' * 251}.png") as temporary:
        temporary.write_text("whole")
        assert temporary.suffix == ".png"
