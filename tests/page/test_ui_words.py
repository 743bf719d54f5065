"""The words of the page: every one is there in every language, and none is there for nothing."""

import json
import re
from pathlib import Path
from string import Formatter
from typing import get_args

import pytest
from starlette.requests import Request

from translate.inference.models import shipped
from translate.metrics.table import Better
from translate.tasks import TASKS
from ui import words
from ui.batch.jobs import State
from ui.training.plan import LAYOUTS, PRESETS
from ui.words import HEAD, LANGUAGES, TABLE, WORDS, language_of, text, word

UI = Path(words.__file__).parent
SOURCES = {
    path.relative_to(UI).as_posix(): path.read_text(encoding="utf-8")
    for path in UI.rglob("*.*")
    if path.suffix in (".py", ".js", ".html") and not path.name.startswith("words")
}
FIELDS = ("name", "summary", "input", "output")
FAMILIES = {
    "batch.state": {*get_args(State)} - {"receiving"},  # which is not shown
    "train.about": set().union(*PRESETS.values()),
    "train.better": {better.replace(" ", "_") for better in get_args(Better)},
    "train.count": {"pictures", "pairs", "source", "target", "day", "night"},
    "train.layout": {*LAYOUTS},
    "train.player": {"generator", "discriminator"},
    "train.preset": set().union(*PRESETS.values()),
    "train.state": {"preparing", "running", "stopping", "stopped", "finished", "failed"},
}
"""Keys that scripts build, `train.state.${state}`: what their last part can be."""


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
    """Keys in quotes anywhere in the page's sources, and those of families; a field of a task counts for the tasks."""
    code = "\n".join(SOURCES.values())
    assert set(re.findall(r"`([a-z]+\.[a-z]+)\.\$\{", code)) == set(FAMILIES)
    found = set(re.findall(r"""["'`]([a-z]+(?:\.[\w{}$@]+)+)["'`]""", code))
    fields = set(re.findall(r"task\.(?:@task|\$?\{[\w.\[\]]+\})\.(\w+)", code))
    found |= {f"task.{name}.{field}" for name in TASKS for field in fields}
    found |= {f"{family}.{name}" for family, names in FAMILIES.items() for name in names}
    return found | {f"{key}_one" for key in found if f"{key}_one" in WORDS}


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
    assert {key for key in named - set(WORDS) if not key.endswith((".css", ".html", ".js", ".json"))} == set()


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
