"""Damaged inputs for everything that reads what comes from outside; `benchmarks/fuzz.py` tries many more.

An input may end normally or with an error of ours, in one line and without a warning.
"""

import argparse
import json
import platform
from collections.abc import Generator
from pathlib import Path
from typing import Any

import page_requests
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import ODD_TEXTS
from scripts import ROOT, load_script
from targets import TARGETS, attempt, damaged

from translate.conversion.manifest import FILE_NAME, Manifest
from translate.errors import TranslateError

FINDINGS = Path(__file__).with_name("findings")
FEW = {"film": 20, "checkpoint": 20, "bands": 30, "engine": 30, "picture": 60, "metadata": 60, "request": 80}
USUAL = 150
"""Inputs for each target."""

# Forms that cannot be read leave the files of their parts to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:.*nclosed:ResourceWarning")


def quick(examples: int) -> Any:
    return settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Generator[Path]:
    folder = tmp_path_factory.mktemp("fuzzing")
    yield folder
    page_requests.close(folder)


@pytest.mark.parametrize("name", TARGETS)
def test_good_inputs_are_read(name: str, folder: Path) -> None:
    refused: list[str] = []
    for data in TARGETS[name].seeds():
        try:
            TARGETS[name].run(folder, data)
        except TranslateError as error:
            refused.append(str(error))
    known = {"model_file": 2, "checkpoint": 2, "event": 1}  # other kinds of files, and an upload that was never made
    assert len(refused) == known.get(name, 0), refused


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_inputs(name: str, folder: Path) -> None:
    @quick(FEW.get(name, USUAL))
    @given(st.integers(0, 2**32 - 1))
    def tried(number: int) -> None:
        attempt(name, folder, damaged(name, 0, number))

    tried()


TEXTS = st.sampled_from(ODD_TEXTS) | st.text(max_size=8)
NUMBERS = st.integers() | st.floats() | st.sampled_from((2**31, 2**64, 10**400, -1))


def json_with(names: list[str]) -> st.SearchStrategy[Any]:
    """Values of JSON whose objects often have these names."""
    leaf = st.none() | st.booleans() | NUMBERS | TEXTS
    keys = st.sampled_from(names) | TEXTS
    return st.recursive(leaf, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=6))


JSON = {"spec": b"", "manifest": b"", "event": b"", "run_folder L": b"L", "run_folder P": b"P", "run_folder J": b"J"}


@pytest.mark.parametrize("kind", JSON)
def test_any_json(kind: str, folder: Path) -> None:
    name, mark = kind.partition(" ")[0], JSON[kind]
    lines = [
        json.loads(line)
        for data in TARGETS[name].seeds()
        if data.startswith(mark)
        for line in data.removeprefix(mark).splitlines()
        if line.startswith(b"{")
    ]
    names = sorted({name for line in lines for name in line})
    changes = st.dictionaries(st.sampled_from(names), json_with(names), max_size=3)
    objects = json_with(names) | st.builds(lambda line, other: {**line, **other}, st.sampled_from(lines), changes)

    @quick(60)
    @given(st.lists(objects, min_size=1, max_size=3))
    def tried(values: list[Any]) -> None:
        attempt(name, folder, mark + b"\n".join(json.dumps(value).encode() for value in values))

    tried()


@pytest.mark.parametrize("path", sorted(FINDINGS.iterdir()), ids=lambda path: path.name)
def test_what_was_found_once(path: Path, folder: Path) -> None:
    """Inputs that once were a crash, a hang or an error not ours; `README.md` lists them."""
    attempt(path.name.partition("-")[0], folder, path.read_bytes())


def test_every_finding_is_listed() -> None:
    text = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
    assert [path.name for path in FINDINGS.iterdir() if f"`{path.name}`" not in text] == []


@pytest.mark.parametrize("process", ["", "*", "/../../kept/.x", "**", 5, ["a"]])
def test_a_manifest_removes_no_files_of_others(process: object, tmp_path: Path) -> None:
    """The name of a process is part of a pattern of files to remove."""
    kept = [tmp_path / name for name in ("kept/.x.part.png", "in/a/.b.part.png")]
    for path in kept:
        path.parent.mkdir(parents=True)
        path.touch()
    line = {"begun": process, "host": platform.node(), "pid": 2**22 - 1}
    (tmp_path / "in" / FILE_NAME).write_text(json.dumps(line) + "\n")
    with Manifest(tmp_path / "in"):
        pass
    assert all(path.exists() for path in kept)


# --- the long run


def test_crashes_and_hangs_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In native code as well: the child cannot help it."""
    fuzz = load_script("benchmarks/fuzz.py")
    monkeypatch.setattr(fuzz, "SECONDS", 0.3)
    child = tmp_path / "child.py"
    child.write_text(
        f"import os, sys\nfrom pathlib import Path\nsys.path.insert(0, {str(ROOT / 'benchmarks')!r})\nimport fuzz\n"
        "value = lambda name: sys.argv[sys.argv.index(name) + 1]\n"
        "board = fuzz.Board(Path(value('--board')))\n"
        "for number in range(int(value('--first')), 4):\n"
        "    board.begin(number, b'input %d' % number)\n"
        "    if number == 1: os._exit(11)\n"
        "    while number == 2: pass\n"
        "    board.end(number)\n"
    )
    options = argparse.Namespace(inputs=4, jobs=1, seed=1, out=tmp_path / "out", blind=True)
    running = fuzz.Fuzzing(options, {"picture": 1}, child)
    running.run()
    (ended,) = running.ended
    assert (ended.done, ended.crashes, ended.hangs) == (4, 1, 1)
    found = {path.with_suffix("").read_bytes(): path.read_text() for path in (tmp_path / "out").glob("*.txt")}
    assert found[b"input 1"].startswith("picture: crash: the process ended with status 11")
    assert found[b"input 2"].startswith("picture: hang: ")
