import inspect

import pytest

import translate
from translate import errors
from translate.errors import MissingExtra, TranslateError, require

CHILDREN = [error for _, error in inspect.getmembers(errors, inspect.isclass) if error.__module__ == errors.__name__]


@pytest.mark.parametrize("error", CHILDREN)
def test_every_error_is_drawn_public_and_a_translate_error(error: type[Exception]) -> None:
    assert issubclass(error, TranslateError)
    assert error.__name__ in str(errors.__doc__)
    assert getattr(translate, error.__name__) is error


def test_public_names_exist() -> None:
    for name in translate.__all__:
        assert getattr(translate, name).__name__ == name
    with pytest.raises(AttributeError, match="'nothing'"):
        _ = translate.nothing


def test_require() -> None:
    require("train", "json", "pathlib")
    with pytest.raises(MissingExtra, match=r"^no_such_package not installed; .* '\.\[train\]'$"):
        require("train", "json", "no_such_package")
