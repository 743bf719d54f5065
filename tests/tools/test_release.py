"""What stops a release. The builds themselves need the package index: `make release`."""

import subprocess
from pathlib import Path

import pytest
from scripts import load_script

script = load_script("tools/release.py")
BUILT = {"a-1-py3-none-any.whl": b"wheel", "a-1.tar.gz": b"sources"}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "file").write_text("one")
    for command in (
        ["init", "--quiet"],
        ["add", "file"],
        ["-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "--quiet", "--message", "one"],
    ):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def test_only_what_is_committed_is_released(repository: Path) -> None:
    commit, seconds = script.committed(repository)
    assert len(commit) == 40
    assert int(seconds) > 0
    (repository / "file").write_text("two")
    with pytest.raises(script.ReleaseError, match="commit or put away first:\n M file"):
        script.committed(repository)


def test_two_builds_have_to_be_the_same() -> None:
    script.same(BUILT, dict(BUILT))
    with pytest.raises(script.ReleaseError, match=r"two builds differ: a-1\.tar\.gz"):
        script.same(BUILT, {**BUILT, "a-1.tar.gz": b"other"})
    with pytest.raises(script.ReleaseError, match="expected a wheel and an sdist, found nothing"):
        script.same({}, {})


def test_a_release_that_fails_leaves_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a-0.tar.gz").write_bytes(b"the last one")
    builds = iter([BUILT, {**BUILT, "a-1.tar.gz": b"other"}])
    monkeypatch.setattr(script, "committed", lambda _: ("0" * 40, "1"))
    monkeypatch.setattr(script, "build", lambda *_: next(builds))
    monkeypatch.setattr("sys.argv", ["release.py", "--out", str(tmp_path)])
    assert script.main() == 1
    assert capsys.readouterr().out == "no release: two builds differ: a-1.tar.gz\n"
    assert [path.name for path in tmp_path.iterdir()] == ["a-0.tar.gz"]
