import dataclasses
import itertools
import json
import zipfile
from collections.abc import Callable, Generator
from contextlib import nullcontext
from pathlib import Path

import fsspec
import numpy as np
import pytest
import s3fs
from conftest import INVERT, save_model
from fsspec.implementations.memory import MemoryFileSystem
from stores import contents, served

from translate.cli.main import main
from translate.conversion.folder import convert_folder, run_plan
from translate.conversion.location import Remote, location
from translate.conversion.plan import make_plan
from translate.conversion.resume import Existing, Result
from translate.conversion.worker import Conversion
from translate.credentials.verify import verify
from translate.errors import DataError
from translate.inference.engine import Engine
from translate.pictures.operations import Picture, decode, encode, read_picture

NUMBERS = itertools.count()


@pytest.fixture(scope="module", autouse=True)
def store() -> Generator[None]:
    with served():
        yield


@pytest.fixture(params=["s3", "memory"])
def root(request: pytest.FixtureRequest) -> str:
    """The address of an empty folder."""
    return {"s3": "s3://bucket", "memory": "memory://bucket"}[request.param] + f"/{next(NUMBERS)}"


@pytest.fixture
def engine(invert_model: Path) -> Engine:
    return Engine(invert_model, threads=1, device="cpu")


def put(url: str, level: int, side: int = 16) -> None:
    """A picture of one colour; `url` may be a path."""
    data = encode(Picture(np.full((side, side, 3), level, np.uint8)), Path(url).suffix)
    fs, path = fsspec.core.url_to_fs(url, **({} if "://" in url else {"auto_mkdir": True}))
    fs.pipe_file(path, data)


def levels(url: str) -> dict[str, int]:
    return {name: int(decode(data).rgb_HWC[0, 0, 0]) for name, data in contents(url).items()}


def counts(source: object, out: object, engine: Engine, existing: Existing = "continue") -> tuple[int, int]:
    report = convert_folder(str(source), str(out), engine, existing=existing)
    assert report.failed == ()
    return report.converted, report.skipped


def test_results_inside_the_source_are_left_out(tmp_path: Path, root: str, engine: Engine) -> None:
    for number, name in enumerate(["a.png", "sub/b.png"]):
        put(f"{root}/in/{name}", number)
    assert counts(f"{root}/in", f"{root}/in/old", engine) == (2, 0)
    put(f"{root}/in/copied/c.png", 3)
    fs, path = fsspec.core.url_to_fs(f"{root}/in/copied/.translate.jsonl")
    fs.pipe_file(path, b"")
    report = convert_folder(f"{root}/in", f"{root}/new", engine)
    assert (report.converted, report.failed) == (2, ())
    assert report.notes == tuple(
        f"{root}/in/{name}: left out: holds results of translate convert; give the folder itself to use them"
        for name in ("copied", "old")
    )
    assert counts(f"{root}/in/old", f"{root}/newer", engine) == (2, 0)


def test_there_across_and_back_is_as_on_one_machine(tmp_path: Path, root: str, engine: Engine) -> None:
    for number, name in enumerate(["a.png", "sub/b.PNG", "sub/deep/Ünïcode 画像.webp", ".hidden.png", ".git/c.png"]):
        put(str(tmp_path / "in" / name), number)
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    seen: list[Result] = []
    report = convert_folder(tmp_path / "in", f"{root}/there/", engine, on_progress=seen.append)
    assert (report.converted, report.failed) == (3, ())
    assert {outcome.target for outcome in seen} == {
        f"{root}/there/{name}" for name in ("a.png", "sub/b.PNG", "sub/deep/Ünïcode 画像.webp")
    }
    assert counts(f"{root}/there", f"{root}/across", engine) == (3, 0)
    assert counts(f"{root}/across", tmp_path / "back", engine) == (3, 0)
    here = tmp_path / "in"
    for name in ("one", "two", "three"):
        here, before = tmp_path / name, here
        assert counts(before, here, engine) == (3, 0)
    assert contents(f"{root}/there") == contents(str(tmp_path / "one"))
    assert contents(str(tmp_path / "back")) == contents(str(tmp_path / "three"))


@pytest.mark.parametrize("few", [0, 20])
def test_only_what_is_missing_or_changed_is_made(
    root: str, engine: Engine, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("translate.conversion.cloud.folders._SINGLE_CHECKS", few)
    source, out = f"{root}/in", f"{root}/out"
    for number in range(4):
        put(f"{source}/{number % 2}/{number}.png", number)
    assert counts(source, out, engine) == (4, 0)
    assert counts(source, out, engine) == (0, 4)
    fs, path = fsspec.core.url_to_fs(out)
    fs.rm_file(f"{path}/0/0.png")
    put(f"{source}/1/1.png", 11)  # of the same size, within the same second
    assert counts(source, out, engine) == (2, 2)
    assert levels(out) == {"0/0.png": 255, "0/2.png": 253, "1/1.png": 244, "1/3.png": 252}
    assert counts(source, out, engine, "overwrite") == (4, 0)


@pytest.mark.parametrize("few", [0, 20])
def test_files_that_are_there(root: str, engine: Engine, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("translate.conversion.cloud.folders._SINGLE_CHECKS", few)
    source, out = f"{root}/in", f"{root}/out"
    put(f"{source}/a.png", 1)
    put(f"{source}/a-2.png", 2)
    put(f"{out}/a.png", 99)
    assert counts(source, out, engine, "skip") == (1, 1)
    assert levels(out) == {"a.png": 99, "a-2.png": 253}
    for expected in ((1, 1), (0, 2)):
        assert counts(source, out, engine, "rename") == expected
    assert levels(out) == {"a.png": 99, "a-2.png": 253, "a-3.png": 254}
    assert counts(source, out, engine) == (1, 1)
    assert levels(out) == {"a.png": 254, "a-2.png": 253, "a-3.png": 254}


def test_out_inside_in(root: str, engine: Engine) -> None:
    put(f"{root}/a.png", 1)
    put(f"{root}/sub/b.png", 2)
    for converted in (2, 0):
        assert convert_folder(root, f"{root}/sub/out", engine).converted == converted
    assert levels(f"{root}/sub/out") == {"a.png": 254, "sub/b.png": 253}


def test_single_pictures(tmp_path: Path, root: str, engine: Engine) -> None:
    put(f"{root}/a.png", 1)
    put(str(tmp_path / "b.png"), 2)
    for source, destination in (
        (f"{root}/a.png", f"{root}/c.webp"),
        (f"{root}/a.png", f"{root}/new"),
        (f"{root}/a.png", str(tmp_path / "d.png")),
        (str(tmp_path / "b.png"), f"{root}/e.png"),
    ):
        assert counts(source, destination, engine) == (1, 0)
    assert set(contents(root)) == {"a.png", "c.webp", "e.png", "new/a.png"}
    assert levels(root)["e.png"] == 253
    assert read_picture(tmp_path / "d.png").rgb_HWC[0, 0, 0] == 254
    (failure,) = convert_folder(f"{root}/a.png", root, engine).failed
    assert failure.reason == f"{root}/a.png: its result would overwrite it; choose another folder or another --name"


def test_an_archive_in_a_store(tmp_path: Path, root: str, engine: Engine) -> None:
    put(str(tmp_path / "a.png"), 1)
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.write(tmp_path / "a.png", "sub/a.png")
    fsspec.filesystem(root.partition(":")[0]).put_file(str(tmp_path / "in.zip"), f"{root}/in.zip")
    assert counts(f"{root}/in.zip", f"{root}/out", engine) == (1, 0)
    assert levels(f"{root}/out") == {"sub/a.png": 254}
    assert counts(f"{root}/in.zip", tmp_path / "out.zip", engine) == (1, 0)
    assert zipfile.ZipFile(tmp_path / "out.zip").namelist() == ["sub/a.png"]


def test_large_files_are_fetched_to_the_disk(root: str, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("translate.conversion.cloud.folders.MAX_BYTES_IN_MEMORY", 10)
    engine.memory_bytes = 20 * 24 * 39  # less than the picture takes: it is converted in bands
    spec = dataclasses.replace(INVERT, receptive_field=1)
    engine.spec = spec
    put(f"{root}/in/a.png", 1, side=40)
    assert counts(f"{root}/in", f"{root}/out", engine) == (1, 0)
    assert levels(f"{root}/out") == {"a.png": 254}


@pytest.mark.parametrize(
    ("source", "destination", "message"),
    [
        ("missing", "out", "missing: no such file or folder"),
        ("text", "out", "text: no PNG, JPEG, WebP"),
        ("in", "in/", "the same folder"),
        ("in/a.png", "in/a.png", "would overwrite an input"),
        ("in/a.png", "b.gif", r"cannot write \.gif"),
        ("text/1.txt", "out", "not a PNG, JPEG, WebP.* file"),
        ("nested/nested", "nested", "would overwrite an input"),
        ("in", "out.zip", "cannot write archives to cloud storage"),
    ],
)
def test_refused_before_anything_is_written(
    root: str, engine: Engine, source: str, destination: str, message: str
) -> None:
    for name in ("in/a.png", "nested/nested/nested/a.png", "nested/nested/a.png"):
        put(f"{root}/{name}", 1)
    fsspec.filesystem(root.partition(":")[0]).pipe_file(f"{root}/text/1.txt", b"text")
    before = contents(root)
    with pytest.raises(DataError, match=message) as caught:
        convert_folder(f"{root}/{source}", f"{root}/{destination}", engine)
    assert "\n" not in str(caught.value)
    assert contents(root) == before


def test_what_a_store_refuses_is_one_line(tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    put(str(tmp_path / "in" / "a.png"), 1)
    with pytest.raises(DataError, match=r"s3://nobody/in: no such file or folder"):
        convert_folder("s3://nobody/in", tmp_path / "out", engine)
    with pytest.raises(DataError, match=r"s3://nobody/out: cannot be written \(not found: .*bucket does not exist"):
        convert_folder(tmp_path / "in", "s3://nobody/out", engine)
    report = convert_folder(tmp_path / "in" / "a.png", "s3://nobody/out", engine)
    assert "s3://nobody/out/a.png: cannot be written (not found" in str(report.failed[0].reason)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(DataError, match=r"s3://bucket/in: cannot be read \(Could not connect.*check the address"):
        convert_folder("s3://bucket/in", tmp_path / "out", engine)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(DataError, match=r"Unable to locate credentials\); set AWS_ACCESS_KEY_ID"):
        convert_folder("s3://bucket/in", tmp_path / "out", engine)
    s3fs.S3FileSystem.clear_instance_cache()


Method = Callable[..., object]


def broken_for(name: str, method: Method) -> Method:
    def broken(self: object, *arguments: object, **options: object) -> object:
        if any(str(argument).endswith(name) for argument in arguments):
            raise ConnectionResetError("the network has gone")
        return method(self, *arguments, **options)

    return broken


def test_a_picture_that_cannot_be_read_or_sent_stops_nothing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    root = f"memory://bucket/{next(NUMBERS)}"
    for name in "abcd":
        put(f"{root}/in/{name}.png", 1)
    fsspec.filesystem("memory").pipe_file(f"{root}/in/e.png", b"no picture")
    monkeypatch.setattr(MemoryFileSystem, "cat_file", broken_for("in/b.png", MemoryFileSystem.cat_file))
    monkeypatch.setattr(MemoryFileSystem, "mv", broken_for("out/c.png", MemoryFileSystem.mv))
    report = convert_folder(f"{root}/in", f"{root}/out", engine)
    assert report.converted == 2
    reasons = [str(failure.reason) for failure in report.failed]
    advice = "check the address and the network, then run the same command again"
    assert reasons[:2] == [
        f"{root}/in/b.png: cannot be read (the network has gone); {advice}",
        f"{root}/in/c.png: {root}/out/c.png: cannot be written (the network has gone); {advice}",
    ]
    assert reasons[2].startswith(f"{root}/in/e.png: not a PNG")
    assert set(contents(f"{root}/out")) == {"a.png", "d.png"}  # nothing half sent is left
    monkeypatch.undo()
    assert convert_folder(f"{root}/in", f"{root}/out", engine).converted == 2


@pytest.mark.parametrize(("failing", "expected"), [((), b"new"), ((1,), b"new"), ((1, 2), b"old"), ((1, 3), b"old")])
def test_the_old_file_stays_until_the_new_one_has_its_name(
    failing: tuple[int, ...], expected: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In stores whose moves do not overwrite, the first one fails; the network may go before any of the others."""
    remote = Remote(f"memory://bucket/{next(NUMBERS)}/a.png")
    remote.put_bytes(b"old")
    move, moves = MemoryFileSystem.mv, []

    def mv(self: MemoryFileSystem, *arguments: object, **options: object) -> None:
        moves.append(arguments)
        if len(moves) in failing:
            raise ConnectionResetError
        move(self, *arguments, **options)

    monkeypatch.setattr(MemoryFileSystem, "mv", mv)
    with pytest.raises(ConnectionResetError) if expected == b"old" else nullcontext():
        remote.put_bytes(b"new")
    assert contents(str(remote.parent)) == {"a.png": expected}


def test_a_folder_that_cannot_be_listed(root: str, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    put(f"{root}/in/a.png", 1)
    put(f"{root}/in/sub/b.png", 1)
    for kind, method in ((MemoryFileSystem, "ls"), (s3fs.S3FileSystem, "_lsdir")):
        monkeypatch.setattr(kind, method, broken_for("in/sub", getattr(kind, method)))
    with pytest.raises(DataError, match=r"/in: cannot be listed \(the network has gone\)"):
        convert_folder(f"{root}/in", f"{root}/out", engine)


def test_the_command(tmp_path: Path, root: str, capsys: pytest.CaptureFixture[str]) -> None:
    model = save_model(tmp_path / "m.onnx", INVERT)
    for name in ("a.png", "b.png", "old/c.png", "d.webp"):
        put(f"{root}/in/{name}", 1)
    command = ["convert", f"{root}/in", f"{root}/out", "--model", str(model), "--include", "*.png", "--limit", "2"]
    assert main([*command, "--dry-run"]) == 0
    assert capsys.readouterr().out == (
        f"convert {root}/in/a.png -> {root}/out/a.png\nconvert {root}/in/b.png -> {root}/out/b.png\n"
        "2 to convert, 0 to skip\n"
    )
    assert set(contents(root)) == {"in/a.png", "in/b.png", "in/old/c.png", "in/d.webp"}
    assert main([*command, "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["target"] for line in lines[:-1]} == {f"{root}/out/a.png", f"{root}/out/b.png"}
    assert main(command) == 0
    assert capsys.readouterr().out.startswith(f"1 picture converted to {root}/out in ")
    assert main([*command, "--dry-run"]) == 0
    assert capsys.readouterr().out.endswith("0 to convert, 3 to skip\n")
    for name in ("a.png", "in.zip"):
        assert main(["convert", f"{root}/{name}", f"{root}/out", "--model", str(model), "--watch"]) == 2
        assert "--watch needs a folder" in capsys.readouterr().err
    assert main(["convert", f"{root}/in", "s3://nobody/out", "--model", str(model)]) == 2


def test_watch(root: str, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("translate.conversion.plan.REMOTE_POLL_SECONDS", 0.05)
    plan = make_plan(location(f"{root}/in"), location(f"{root}/out"), may_be_empty=True)
    seen: list[str] = []

    def next_one(outcome: Result) -> None:
        seen.append(outcome.source)
        if len(seen) == 2:
            raise KeyboardInterrupt
        put(f"{root}/in/sub/b.png", 2)

    put(f"{root}/in/a.png", 1)
    with pytest.raises(KeyboardInterrupt):
        run_plan(plan, engine, Conversion(), workers=2, on_progress=next_one, watch=True)
    assert seen == [f"{root}/in/a.png", f"{root}/in/sub/b.png"]
    assert levels(f"{root}/out") == {"a.png": 254, "sub/b.png": 253}


def test_signed_results(root: str, engine: Engine, tmp_path: Path) -> None:
    put(f"{root}/in/a.png", 1)
    report = convert_folder(f"{root}/in", f"{root}/out", engine, Conversion(credentials="on"))
    assert (report.converted, report.failed) == (1, ())
    (tmp_path / "a.png").write_bytes(contents(f"{root}/out")["a.png"])
    assert verify(tmp_path / "a.png").state == "valid"
