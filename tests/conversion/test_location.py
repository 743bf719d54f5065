import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from translate.conversion.location import Remote, location, modified_ns, relative_name, store_errors
from translate.conversion.ray_backend import RayBackend
from translate.errors import DataError, MissingExtra


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("photos/in", Path("photos/in")),
        ("file:///data/in", Path("/data/in")),
        ("s3://bucket/in/", Remote("s3://bucket/in")),
        ("S3://bucket", Remote("S3://bucket")),
        ("memory://a", Remote("memory://a")),
        ("C://photos", Path("C://photos")),
        (Path("a"), Path("a")),
        (Remote("s3://b"), Remote("s3://b")),
    ],
)
def test_what_a_user_writes(text: str | Path | Remote, expected: Path | Remote) -> None:
    assert location(text) == expected


def test_parts_of_an_address() -> None:
    picture = Remote("memory://bucket.zip/in.d") / "a.b.png"
    assert (picture.name, picture.suffix, picture.path) == ("a.b.png", ".png", "/bucket.zip/in.d/a.b.png")
    assert picture.parent == Remote("memory://bucket.zip/in.d")
    assert Remote("memory://bucket.zip").suffix == ""


def test_a_password_is_not_shown() -> None:
    assert str(Remote("sftp://me:secret@host:22/in")) == "sftp://me@host:22/in"
    assert str(Remote("s3://bucket/a@b:c@d")) == "s3://bucket/a@b:c@d"


def test_below() -> None:
    root = Remote("memory://a")
    assert relative_name(root / "b/c", root) == "b/c"
    assert relative_name(root, Remote("memory://a")) == "."
    assert relative_name(Remote("memory://ab"), root) is None
    assert relative_name(Path("/a"), root) is None
    assert relative_name(Path("a/b/../c"), Path("a")) == "c"


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ({}, 0),
        ({"mtime": 2.5}, 2_500_000_000),
        ({"created": datetime.fromtimestamp(3, UTC)}, 3_000_000_000),
        ({"updated": "1970-01-01T00:00:04Z", "created": 1.0}, 4_000_000_000),
    ],
)
def test_when_a_file_was_changed(info: dict[str, object], expected: int) -> None:
    assert modified_ns(info) == expected


def test_a_change_within_a_second_shows_in_the_digest() -> None:
    first, second = (modified_ns({"LastModified": datetime.fromtimestamp(3, UTC), "ETag": tag}) for tag in "ab")
    assert first != second
    assert first // 10**9 == second // 10**9 == 3


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (FileNotFoundError("bucket"), "x: cannot be read (not found: bucket); check the name"),
        (
            PermissionError("Access\nDenied"),
            "x: cannot be read (permission denied: Access Denied); check the name and the",
        ),
        (RuntimeError(), "x: cannot be read (RuntimeError); check the address and the network"),
        (DataError("as it is"), "as it is"),
    ],
)
def test_errors_of_stores_are_one_line(error: Exception, message: str) -> None:
    with pytest.raises(DataError) as caught, store_errors("x"):
        raise error
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(("url", "message"), [("nowhere://a/b", "Protocol not known"), ("gs://a/b", "gcsfs")])
def test_stores_that_are_not_known_here(url: str, message: str) -> None:
    with pytest.raises(Exception, match=message) as caught:
        Remote(url).is_dir()
    assert type(caught.value).__name__ in ("DataError", "MissingExtra")


@pytest.mark.parametrize(("package", "extra"), [("s3fs", "s3"), ("fsspec", "s3"), ("ray", "ray")])
def test_what_is_not_installed(package: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=rf"{package} not installed.*pip install '\.\[{extra}\]'"):
        _ = RayBackend() if package == "ray" else Remote("s3://bucket").is_dir()


@pytest.mark.parametrize("name", ["a::b.png", "c::d/a.png", "q?/a.png", "[2024]/a.png", "*/a.png"])
def test_no_character_of_a_name_below_an_address_means_anything(name: str) -> None:
    """fsspec takes `::` for a chain of stores, and where it moves files itself `?`, `*` and `[` for patterns."""
    root = Remote("memory://odd-names")
    (root / name).put_bytes(b"picture")
    (root / name).put_bytes(b"better")
    found = root.fs.find(root.path)
    assert found == [f"/odd-names/{name}"]
    assert root.fs.cat_file((root / name).path) == b"better"
    assert (root / name).parent.path == f"/odd-names/{name}".rpartition("/")[0]
    root.fs.rm(root.path, recursive=True)
