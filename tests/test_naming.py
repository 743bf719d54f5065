import pytest

from translate.conversion.naming import check_template, result_names, with_number
from translate.errors import ConfigError


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
