"""The words of the page: every one is there in every language, and none is there for nothing."""

import json
import re
from pathlib import Path
from string import Formatter

import pytest
from starlette.requests import Request

from translate.inference.models import shipped
from translate.tasks import TASKS
from ui import words
from ui.words import HEAD, LANGUAGES, TABLE, WORDS, language_of, text, word

UI = Path(words.__file__).parent
SOURCES = {path.name: path.read_text(encoding="utf-8") for path in UI.glob("*.*") if path.name != "words.py"}
FIELDS = ("name", "summary", "input", "output")


def facts_of(sentence: str) -> set[str | None]:
    return {name for _, name, _, _ in Formatter().parse(sentence) if name is not None}


def request(accepted: str | None) -> Request:
    headers = [] if accepted is None else [(b"accept-language", accepted.encode())]
    return Request({"type": "http", "headers": headers})


def test_every_text_is_there_in_every_language() -> None:
    for key, texts in WORDS.items():
        assert len(texts) == len(LANGUAGES)
        assert all(texts), key
        assert len({frozenset(facts_of(one)) for one in texts}) == 1, key
        assert not any(re.search(r"[<>&`\\]|\\.$", one) for one in texts), key  # they are put into HTML as they are


def test_every_task_has_its_words() -> None:
    for task in TASKS.values():
        own = (words.title(task.name), task.summary, task.input_label, task.output_label)
        assert tuple(TABLE["en"][f"task.{task.name}.{field}"] for field in FIELDS) == own


def used_keys() -> set[str]:
    """Keys in quotes anywhere in the page's sources; a field of a task counts for the tasks."""
    code = "\n".join(SOURCES.values())
    found = set(re.findall(r"""["'`]([a-z]+(?:\.[\w{}$@]+)+)["'`]""", code))
    fields = set(re.findall(r"task\.(?:@task|\$?\{[\w.\[\]]+\})\.(\w+)", code))
    return found | {f"task.{name}.{field}" for name in TASKS for field in fields}


def test_no_text_is_unused_and_none_is_missing() -> None:
    used, sections = used_keys(), {key.split(".")[0] for key in WORDS}
    inside = {key for key in WORDS if re.fullmatch(r"task\..*\.[Tt]he_(in|out)put", key)}  # parts of other sentences
    models = {f"model.{entry.name}" for entry in shipped()}
    assert set(WORDS) - used - inside - models == set()
    called = {
        key for source in SOURCES.values() for key in re.findall(r"""\b(?:word|text)\(["']([\w.]+)["']""", source)
    }
    assert called - set(WORDS) == set()
    named = {key for key in used if key.split(".")[0] in sections - {"task"} and "{" not in key}
    assert named - set(WORDS) - set(SOURCES) == set()


def test_looking_up() -> None:
    assert str(word("page.title")).endswith('"key": "page.title"}')
    with pytest.raises(KeyError):
        word("page.nothing")
    assert text("tab.frames", frames=3).startswith("This is the first of 3 frames")
    assert text("tab.frames", request("de-AT,de;q=0.9,en;q=0.8"), frames=3).startswith("Das ist das erste von 3")
    with pytest.raises(KeyError):
        text("tab.frames")


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        (None, "en"),
        ("", "en"),
        ("de", "de"),
        ("DE-ch;q=0.7", "de"),
        ("fr,de;q=0.5", "en"),
        ("en-GB,de", "en"),
        (";;", "en"),
    ],
)
def test_the_language_of_a_request(accepted: str | None, language: str) -> None:
    assert language_of(request(accepted)) == language


def test_the_script_carries_the_table() -> None:
    found = re.search(r"const table = (\{.*?\}\}), language", HEAD)
    assert found is not None
    assert json.loads(found[1]) == TABLE
