import dataclasses
from pathlib import Path

import pytest
from conftest import INVERT, save_model

from translate.conversion.destinations import LocalFolder
from translate.conversion.naming import check_template, result_names, with_number
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
