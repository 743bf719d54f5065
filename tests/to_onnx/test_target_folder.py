"""The folder of `translate export --target`: whole or not at all, wherever it is."""

from pathlib import Path

import pytest

from export.targets.folder import new_folder
from translate.errors import ConfigError


@pytest.mark.parametrize("name", ["new", "a/b/new", "empty", ".", "link", "empty/../new", "empty/../empty"])
def test_where_it_may_be(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "here"
    (tmp_path / "elsewhere").mkdir()
    here.mkdir()
    if name != ".":
        (here / "empty").mkdir()
        (here / "link").symlink_to(tmp_path / "elsewhere")
    monkeypatch.chdir(here)
    with new_folder(Path(name)) as folder:
        (folder / "samples").mkdir()
        (folder / "samples" / "cat.jpg").touch()
        (folder / "index.html").touch()
    # By the absolute path: the working folder itself must not have been replaced, or a shell in it would see nothing.
    assert sorted(path.name for path in (here / name).resolve().iterdir()) == ["index.html", "samples"]
    assert sorted(path.name for path in Path(name).rglob("*")) == ["cat.jpg", "index.html", "samples"]
    assert not list(tmp_path.rglob("*.part"))


def test_an_empty_folder_is_not_replaced(tmp_path: Path) -> None:
    output = tmp_path / "output"
    output.mkdir(0o750)
    with new_folder(output) as folder:
        assert folder.parent == output  # which may be another disk than what it is in
        (folder / "index.html").touch()
    assert output.stat().st_mode & 0o777 == 0o750


def test_what_fails_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("new", "empty"):
        with pytest.raises(FileNotFoundError), new_folder(tmp_path / name) as folder:
            (folder / "index.html").rename(folder / "missing" / "index.html")
    (tmp_path / "full").touch()
    with pytest.raises(ConfigError, match="exists already"), new_folder(tmp_path / "full"):
        pass
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["empty", "full"]
