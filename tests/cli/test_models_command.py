"""`translate models add` and `remove`, and the names of added models wherever a model is asked for."""

import dataclasses
import hashlib
import io
import json
import os
import pickle
import re
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import onnx
import pytest
from bad_models import RECORDED, whole
from conftest import INVERT, save_model
from onnx import helper
from PIL import Image
from web_server import Answer, answering

from translate.adding import addresses
from translate.adding.folder import keep
from translate.cli import models
from translate.cli.main import main
from translate.inference.engine import Engine
from translate.inference.models import added, known, name_of, resolve
from translate.lock import held
from translate.spec import METADATA_KEY, PARITY_KEY, PARITY_SUFFIX
from translate.tasks import TASKS
from translate.training.start import model_files
from ui import command
from ui.command import UiOptions
from ui.model import Model, models_of
from ui.models.tab import cards
from ui.site import Site
from ui.training.plan import starts


class Terminal(io.StringIO):
    """Somebody who types."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a model, `mine.onnx`; returns the folder of added models, which is not there yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRANSLATE_MODELS", str(tmp_path / "data" / "models"))
    whole(tmp_path / "mine.onnx")
    return tmp_path / "data" / "models"


def run(capsys: pytest.CaptureFixture[str], arguments: Sequence[str], status: int = 0) -> str:
    """What is printed on the stream for this status."""
    assert main(arguments) == status
    found = capsys.readouterr()
    return found.out if status == 0 else found.err


def typed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(text))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_from_a_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path(f"mine{PARITY_SUFFIX}").write_text("{}")
    digest = hashlib.sha256(Path("mine.onnx").read_bytes()).hexdigest()
    lines = run(capsys, ["models", "add", "mine.onnx", "--name", "neg", "--sha256", digest.upper(), "--yes"])
    assert lines.splitlines() == [
        "file             mine.onnx",
        "size             0.0 MiB",
        f"SHA-256          {digest}",
        "task             sketch-to-photo",
        "licence          CC0-1.0",
        "training data    unknown",
        f"to be kept as    {folder / 'neg.onnx'}",
        "added neg; next: translate convert IN OUT --model neg",
    ]
    assert names(folder) == ["neg.added.json", "neg.onnx", "neg.parity.json"]
    record = json.loads((folder / "neg.added.json").read_text())
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", record.pop("added"))
    source = str(Path("mine.onnx").absolute())
    assert record == {
        "name": "neg", "task": "sketch-to-photo", "sha256": digest, "licence": "CC0-1.0", "source": source,
    }  # fmt: skip
    assert Path("mine.onnx").exists()


def test_names_work_everywhere(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["models", "add", "mine.onnx", "--yes"])
    capsys.readouterr()
    listed = run(capsys, ["models"]).splitlines()
    assert re.fullmatch(r"invert +sketch-to-photo +CC0-1.0 +added 20\d\d-\d\d-\d\d from .*mine.onnx", listed[-1])
    assert listed[1].startswith("sketch-to-photo ")
    Image.new("RGB", (8, 8), "red").save("in.png")
    run(capsys, ["convert", "in.png", "out.png", "--model", "invert"])
    assert Image.open("out.png").getpixel((0, 0)) == (0, 255, 255)
    facts = json.loads(run(capsys, ["info", "invert", "--json"]))
    assert (facts["added"]["name"], facts["added"]["source"]) == ("invert", str(Path("mine.onnx").absolute()))
    assert "added model      invert, added 20" in run(capsys, ["info", "invert"])
    assert Engine("invert", device="cpu").spec == RECORDED
    assert model_files("invert", TASKS["sketch-to-photo"]) == {"forward": folder / "invert.onnx"}
    assert "invert" in starts(TASKS["sketch-to-photo"])
    assert "did you mean invert?" in run(capsys, ["convert", "in.png", "out.png", "--model", "invrt"], 2)


def test_the_page_offers_them(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Unless models are chosen; also those that come later, and one that has gone keeps its card."""
    models: list[Model] = []
    registry = command._registry(UiOptions(device="cpu"), models, None)
    assert registry
    assert models == []
    main(["models", "add", "mine.onnx", "--name", "neg", "--yes"])
    assert registry.look() == []
    assert [model.command for model in models] == ["neg"]
    site = Site(models, Path("cache"), registry=registry)
    (card,) = cards(site)["models"]
    assert (card["command"], card["licence"], card["megabytes"]) == ("neg", "CC0-1.0", "0.0")
    main(["models", "remove", "neg"])
    assert registry.look() == []
    assert [card["megabytes"] for card in cards(site)["models"]] == ["0.0"]
    chosen = UiOptions(model=("neg",))
    assert command._registry(chosen, models, None) is None
    Path("shelf").mkdir()
    whole(Path("shelf") / "by-hand.onnx")
    models = models_of(command.load(["by-hand"], "cpu", Path("shelf")))
    assert command._registry(UiOptions(models_dir=Path("shelf"), device="cpu"), models, None)
    assert [model.command for model in models] == ["by-hand.onnx"]


def test_another_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Files that something else has put into a folder have names too."""
    Path("shelf").mkdir()
    Path("mine.onnx").rename("shelf/by-hand.onnx")
    Path("shelf/bad.onnx").write_text("no model")
    where = ["--models-dir", "shelf"]
    assert run(capsys, ["info", "by-hand", *where]).startswith("file ")
    listed = run(capsys, ["models", *where])
    assert re.search(r"^by-hand +sketch-to-photo +CC0-1.0 +in .*shelf$", listed, re.M)
    assert re.search(r"^bad +\? +\? +cannot be used; `translate info` says what it is$", listed, re.M)
    assert "by-hand" not in run(capsys, ["models"])
    assert "was not put there by `translate models add`; delete" in run(
        capsys, ["models", "remove", "by-hand", *where], 2
    )
    assert "bad.onnx: is a text" in run(capsys, ["convert", "in", "out", "--model", "bad", *where], 2)
    assert "--models-dir none does not exist" in run(capsys, ["info", "by-hand", "--models-dir", "none"], 2)
    out = run(capsys, ["models", "add", "shelf/by-hand.onnx", "--yes", *where])
    assert out.endswith("added invert; next: translate convert IN OUT --model invert --models-dir shelf\n")
    assert not folder.exists()


def test_somebody_is_asked(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    said = run(capsys, ["models", "add", "mine.onnx"], 2)
    assert said == (
        "translate: nobody can be asked whether to add the model; give --yes if it is to be added in any case\n"
    )
    for answer in ("", "\n", "n\n", "maybe\n"):
        typed(monkeypatch, answer)
        assert run(capsys, ["models", "add", "mine.onnx"], 1) == "Add this model? [y/N] nothing was added\n"
    assert not folder.parent.exists()
    typed(monkeypatch, "y\n")
    assert "added invert" in run(capsys, ["models", "add", "mine.onnx"])


def test_remove(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no model neg has been added to" in run(capsys, ["models", "remove", "neg"], 2)
    main(["models", "add", "mine.onnx", "--name", "neg", "--yes"])
    capsys.readouterr()
    assert "did you mean neg?" in run(capsys, ["models", "remove", "net"], 2)
    assert "is shipped with the program and cannot" in run(capsys, ["models", "remove", "day-to-night"], 2)
    assert run(capsys, ["models", "remove", "neg"]) == f"removed neg ({folder / 'neg.onnx'})\n"
    assert names(folder) == []
    assert "unknown model 'neg'" in run(capsys, ["info", "neg"], 2)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--name day-to-night", "day-to-night is the name of a shipped model; choose another one with --name"),
        ("--name Day-To-Night", "is the name of a shipped model"),
        ("--name a/b", "--name a/b cannot be used; give --name with letters"),
        ("--name ..", "cannot be used"),
        ("--name .hidden", "cannot be used"),
        ("--name con", "cannot be used"),
        ("--name a.onnx", "cannot be used"),
        (f"--name {'a' * 65}", "cannot be used"),
        (f"--sha256 {'0' * 64}", "mine.onnx: its SHA-256 is [0-9a-f]{64}, expected 0{64}; it is another file"),
        ("--sha256 12", "--sha256 12 is no SHA-256; give 64 hexadecimal digits"),
        ("--models-dir mine.onnx", "cannot be written .*; choose another folder with --models-dir"),
    ],
)
def test_what_is_refused(folder: Path, capsys: pytest.CaptureFixture[str], arguments: str, said: str) -> None:
    err = run(capsys, ["models", "add", "mine.onnx", "--yes", *arguments.split()], 2)
    assert re.fullmatch(f"translate: .*{said}.*\n", err)
    assert not folder.parent.exists()


def test_names_that_are_taken(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["models", "add", "mine.onnx", "--yes"])
    capsys.readouterr()
    before = names(folder)
    for more in ([], ["--name", "Invert"]):  # some file systems do not tell them apart
        said = run(capsys, ["models", "add", "mine.onnx", "--yes", *more], 2)
        assert re.search("nvert is the name of a model in .*; choose another one with --name, or first run", said)
    assert names(folder) == before
    save_model(Path("shoe.onnx"), dataclasses.replace(INVERT, name="../Mein Schuh!\n", task="sketch-to-photo"))
    assert "added Mein-Schuh; " in run(capsys, ["models", "add", "shoe.onnx", "--yes"])
    save_model(Path("odd.onnx"), dataclasses.replace(INVERT, name="..."))
    assert "the name '...' cannot be used; give --name" in run(capsys, ["models", "add", "odd.onnx", "--yes"], 2)
    save_model(Path("dogs.onnx"), dataclasses.replace(INVERT, task="dog-to-cat"))
    assert "made for the unknown task 'dog-to-cat', expected" in run(capsys, ["models", "add", "dogs.onnx", "--yes"], 2)


def test_two_processes_add_a_model_of_one_name(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second keeps its model while the first is being asked."""
    save_model(Path("other.onnx"), dataclasses.replace(INVERT, licence="MIT"))

    def after_another(*arguments: object) -> object:
        monkeypatch.setattr(models, "keep", keep)
        assert main(["models", "add", "other.onnx", "--yes"]) == 0
        return keep(*arguments)

    monkeypatch.setattr(models, "keep", after_another)
    said = run(capsys, ["models", "add", "mine.onnx", "--yes"], 2)
    assert "invert is the name of a model in" in said
    assert (folder / "invert.onnx").read_bytes() == Path("other.onnx").read_bytes()
    assert resolve("invert") == folder / "invert.onnx"
    assert names(folder) == ["invert.added.json", "invert.onnx"]


def test_a_process_that_adds_a_model_is_waited_for(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.mkdir(parents=True)
    monkeypatch.setattr("translate.adding.folder.HELD_SECONDS", 0.0)
    with held(folder):
        assert "is in use by process" in run(capsys, ["models", "add", "mine.onnx", "--yes"], 2)
    others = ExitStack()
    others.enter_context(held(folder))
    monkeypatch.setattr("translate.adding.folder.HELD_SECONDS", 60.0)
    monkeypatch.setattr("translate.lock.time.sleep", lambda _: others.close())
    assert "added invert" in run(capsys, ["models", "add", "mine.onnx", "--yes"])


def test_nothing_is_left_of_an_interrupted_download(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A closed terminal, and a process that was killed two days ago."""
    room = folder / ".0123456789abcdef.part"
    room.mkdir(parents=True)
    (room / "file.onnx").touch()
    os.utime(room, (time.time() - 2 * 86400.0,) * 2)

    def hang_up(*_: object) -> None:
        assert len(list(folder.glob(".*.part"))) == 1
        signal.raise_signal(signal.SIGHUP)

    monkeypatch.setattr(models, "check_runs", hang_up)
    assert main(["models", "add", "mine.onnx", "--yes"]) == 129
    assert list(folder.iterdir()) == []


def test_a_shipped_name_wins(folder: Path) -> None:
    folder.mkdir(parents=True)
    whole(folder / "day-to-night.onnx")
    assert resolve("day-to-night").parent != folder
    assert name_of(folder / "day-to-night.onnx") is None
    assert [model.file.parent != folder for model in known() if model.name == "day-to-night"] == [True]


def test_a_file_that_was_changed_since(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["models", "add", "mine.onnx", "--yes"])
    capsys.readouterr()
    path = folder / "invert.onnx"
    path.write_bytes(path.read_bytes() + b"\x12\x00")
    said = run(capsys, ["convert", "in", "out", "--model", "invert"], 2)
    assert "not the file that was added as invert, its SHA-256 differs from the recorded one; run `translate" in said
    (folder / "invert.added.json").write_text("[]")  # without a record, a file is checked like any other
    assert resolve("invert") == path


def test_from_an_address(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    body = Path("mine.onnx").read_bytes()
    found = "/owner/repo/resolve/main/sub/mine.onnx"
    with answering({found: Answer(body), "/cut": Answer(body, length=len(body) + 9)}) as address:
        monkeypatch.setattr(addresses, "HUGGING_FACE", address)
        assert "added invert" in run(capsys, ["models", "add", "hf:owner/repo/sub/mine.onnx", "--yes"])
        assert "added again" in run(
            capsys, ["models", "add", f"{address}{found.replace('resolve', 'blob')}", "--name", "again", "--yes"]
        )
        before = names(folder)
        for path, more, said in (
            ("/none", [], "the server says 404"),
            ("/a%00b.onnx", [], "the server says 404"),
            ("/cut", [], "bytes arrived; try again"),
            (found, ["--sha256", "0" * 64], "expected 0{64}"),
        ):
            err = run(capsys, ["models", "add", address + path, "--name", "third", "--yes", *more], 2)
            assert re.fullmatch(f"translate: {address}{path}: .*{said}.*\n", err)
    assert names(folder) == before
    assert [model.source for model in added()] == [f"{address}/owner/repo/blob/main/sub/mine.onnx",
                                                   "hf:owner/repo/sub/mine.onnx"]  # fmt: skip
    assert "cannot be read" in run(capsys, ["models", "add", f"{address}{found}", "--yes"], 2)
    assert "http is refused" in run(capsys, ["models", "add", "http://example.org/a.onnx", "--yes"], 2)
    assert "no such file; give a file or an address" in run(capsys, ["models", "add", "none.onnx", "--yes"], 2)


def test_a_checkpoint_is_imported(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the page of a model, with the digest and the licence of the catalogue. `translate import` itself is tested
    elsewhere, and takes long."""

    def import_model(arguments: list[str]) -> int:
        path, output = Path(arguments[0]), Path(arguments[2])
        assert arguments == [str(path), "-o", str(output), "--name", "1x-unet", "--licence", "CC-BY-4.0"]
        assert path.read_bytes() == checkpoint
        sys.stdout.write(f"wrote {output}\n")
        report = b"{}"
        made = whole(output)
        output.with_suffix(PARITY_SUFFIX).write_bytes(report)
        add_facts(made, **{PARITY_KEY: json.dumps({"sha256": hashlib.sha256(report).hexdigest()})})
        return 0

    monkeypatch.setattr("export.import_command.main", import_model)
    checkpoint = pickle.dumps({}, protocol=2)
    sha256 = hashlib.sha256(checkpoint).hexdigest()
    page, answers = "/models/1x-unet", {"/unet.pth": Answer(checkpoint)}
    with answering(answers) as address:
        resources = [{"type": "pth", "urls": [f"{address}/unet.pth"], "sha256": sha256, "size": len(checkpoint)}]
        catalogue = {"1x-unet": {"license": "CC-BY-4.0", "resources": resources}}
        answers["/api/v1/models.json"] = Answer(json.dumps(catalogue).encode(), content_type="application/json")
        monkeypatch.setattr(addresses, "OPEN_MODEL_DB", address)
        out = run(capsys, ["models", "add", address + page, "--yes"])
        said = run(capsys, ["models", "add", address + page, "--name", "b", "--sha256", "0" * 64, "--yes"], 2)
        assert f"{address}{page}: its SHA-256 is {sha256}, not that of --sha256; omit that" in said
        typed(monkeypatch, "\n")
        said = run(capsys, ["models", "add", address + page, "--name", "b"], 1)
        assert said == "This is a checkpoint. Turn it into a model, and add that? [y/N] nothing was added\n"
    assert f"SHA-256          {sha256}\n" in out
    assert "licence          CC-BY-4.0\n" in out
    assert "wrote" not in out
    assert out.endswith("added 1x-unet; next: translate convert IN OUT --model 1x-unet\n")
    assert names(folder) == ["1x-unet.added.json", "1x-unet.onnx", "1x-unet.parity.json"]
    assert [model.source for model in added()] == [address + page]
    assert main(["info", "1x-unet"]) == 0
    assert re.search("^parity report .* is the recorded one$", capsys.readouterr().out, re.M)


def add_facts(path: Path, **facts: str) -> None:
    made = onnx.load(path)
    helper.set_model_props(made, {METADATA_KEY: RECORDED.to_json(), **facts})
    onnx.save(made, path)
