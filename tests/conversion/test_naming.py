import dataclasses
import zipfile
from pathlib import Path

import pytest
from conftest import INVERT, save_model

from translate.conversion.destinations import LocalFolder
from translate.conversion.naming import ResultFolders, check_template, key_of, result_names, with_number
from translate.conversion.plan import ReadyFilter, make_plan
from translate.conversion.sources import FileSource
from translate.conversion.worker import Conversion, Worker
from translate.errors import ConfigError
from translate.inference.engine import Engine
from translate.options import command_line, quoted


@pytest.mark.parametrize(
    "template", ["{stem}", "{stem}-{model}", "{model} {stem} x{scale} {label}{style}{detail}", "{{{stem}}}"]
)
def test_good_templates(template: str) -> None:
    check_template(template)


@pytest.mark.parametrize(
    ("template", "error"),
    [
        ("{stem", "--name {stem has wrong braces"),
        ("stem}", "--name stem} has wrong braces"),
        ("{stem}{modl}", r"has the unknown field {modl}; did you mean model\?"),
        ("{stem.__class__}", "has the unknown field"),
        ("{stem[0]}", "has the unknown field"),
        ("{}", "has the unknown field"),
        ("{model}", r"gives every picture the same name; add {stem} to it"),
        ("a/{stem}", "contains one of"),
        ("{stem}:1", "contains one of"),
        ("{stem:d}", "has a wrong format"),
        ("{stem:9999999999999999999}", "has a wrong format"),
        ("{stem:{}}", "has a wrong format"),
    ],
)
def test_bad_templates(template: str, error: str) -> None:
    with pytest.raises(ConfigError, match=error):
        check_template(template)


@pytest.mark.parametrize(
    ("names", "suffix", "expected"),
    [
        (["a.png", "b.jpg"], ".png", ["a.png", "b.png"]),
        (["a.jpg", "a.png"], ".png", ["a.jpg.png", "a.png"]),
        (["a.jpg", "a.webp"], ".png", ["a.jpg.png", "a.webp.png"]),
        (["A.png", "a.png"], ".png", ["A.png", "a.png.png"]),  # one file where a disk ignores the case
        (["a.jpg", "a.jpg.png", "a.png"], ".png", ["a.jpg-2.png", "a.jpg.png", "a.png"]),
        (["a.b.jpg"], ".png", ["a.b.png"]),
    ],
)
def test_no_two_results_are_alike(names: list[str], suffix: str, expected: list[str]) -> None:
    found = result_names(names, lambda _: suffix, "{stem}", lambda _: {})
    assert found == expected
    assert len({name.casefold() for name in found}) == len(names)


def test_no_two_folders_are_alike() -> None:
    """On disks that ignore case, or how an accent is stored; the path of one follows from those before it."""
    folders = ResultFolders()
    given = ["", "A", "a", "a-2", "A/b", "A/B", "a/b", "a-2/b", "..", "x/A.c/a", "x/a.c/A", "\u00e9", "e\u0301", "a/b"]
    found = [
        "", "A", "a-2", "a-2-2", "A/b", "A/B-2", "a-2/b", "a-2-2/b", "..", "x/A.c/a", "x/a.c-2/A", "\u00e9",
        "e\u0301-2", "a-2/b",
    ]  # fmt: skip
    assert [folders.of(folder) for folder in given] == found
    assert len(set(map(key_of, found))) == len(set(given))
    folders.of("a/" * 20_000)


def test_folders_of_an_archive_that_differ_in_case(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for name in ("A/x.png", "a/X.png", "a/y.png", "x.png"):
            archive.writestr(name, b"")
    plan = make_plan(tmp_path / "in.zip", tmp_path / "out")

    def jobs(ready: ReadyFilter | None = None) -> dict[str, str]:
        return {job.item.name: job.target for job in plan.jobs("{stem}", lambda _: {}, ready)}

    found = {"A/x.png": "A/x.png", "a/X.png": "a-2/X.png", "a/y.png": "a-2/y.png", "x.png": "x.png"}
    assert jobs() == found
    del found["A/x.png"]  # done already: the names of the others are as before
    assert jobs(lambda items: [item for item in items if item.name in found]) == found


def test_template_is_filled_in() -> None:
    found = result_names(["a.png", "b.gif"], lambda _: ".png", "{label}_{stem}", lambda name: {"label": name[0] * 2})
    assert found == ["aa_a.png", "bb_b.png"]


def test_numbered() -> None:
    assert with_number("x/a.b.png", 3) == "x/a.b-3.png"


@pytest.mark.parametrize(
    ("label", "name", "expected"),
    [
        (None, "x/Shoe-02.png", "shoe"),
        (None, "a.png", "bag"),  # the model's first, which is what it makes without any
        ("shoe", "bag.png", "shoe"),
        (1, "bag.png", "shoe"),
        (0, "shoe.png", "bag"),
    ],
)
def test_the_label_in_the_name_is_the_one_that_is_used(
    tmp_path: Path, label: str | int | None, name: str, expected: str
) -> None:
    engine = Engine(save_model(tmp_path / "m.onnx", INVERT), device="cpu")
    engine.spec = dataclasses.replace(INVERT, labels=("bag", "shoe"))
    how = Conversion(label=label)
    fields = Worker(FileSource(tmp_path / "a.png"), LocalFolder(tmp_path), engine, how).template_fields(name)
    assert fields["label"] == expected
    engine.spec = INVERT
    worker = Worker(FileSource(tmp_path / "a.png"), LocalFolder(tmp_path), engine, Conversion())
    assert worker.template_fields(name)["label"] == ""


def test_commands_to_type() -> None:
    assert command_line(["translate", "it's", "a b"], windows=False) == """translate 'it'"'"'s' 'a b'"""
    assert command_line(["translate", "a b"], windows=True) == 'translate "a b"'
    assert quoted(Path("-rf")) in ("./-rf", ".\\-rf")
