"""Every word of the page, in each of its languages; the browser's language decides.

A component takes `word("key")`, which Gradio translates in the browser. HTML and JavaScript of our own call
`word(key, facts)`, which `HEAD` defines there; messages that are made while an event is handled come from
`text(key, request)`, also where a request is `Refused`. What the library says (any other `TranslateError`), file names
and the labels of models are not translated.

A key is `part.name`, or `part.family.name` where the name comes from data: `train.state.${state}`. {name} in a text is
a fact that is filled in. Where a text counts, `KEY_one` is the one for {n} = 1.
"""

import json
from collections.abc import Mapping

import gradio as gr
from gradio.i18n import I18nData
from starlette.requests import Request

from translate.tasks import TASKS
from ui import words_pictures, words_work

LANGUAGES = ("en", "de")

# --- what depends on the task; a task's own words are English, `task.NAME.FIELD` has them in every language

_GERMAN_TASKS = {
    # name: (name, summary, input, output, "the" input, "the" output, what the folder should hold)
    "sketch-to-photo": (
        "Skizze zu Foto", "Aus einer Strichzeichnung ein Foto machen",
        "Skizze", "Foto", "die Skizze", "das Foto",
        "Fotos einer Art von Dingen auf Weiß; die Zeichnungen dazu werden daraus gemacht",
    ),
    "day-to-night": (
        "Tag zu Nacht", "Aus Bildern vom Tag Nachtbilder machen",
        "Tagbild", "Nachtbild", "das Tagbild", "das Nachtbild",
        "ein Ordner day (Tag) und ein Ordner night (Nacht), von verschiedenen Orten",
    ),
    "night-to-day": (
        "Nacht zu Tag", "Aus Bildern der Nacht Tagbilder machen",
        "Nachtbild", "Tagbild", "das Nachtbild", "das Tagbild",
        "ein Ordner night (Nacht) und ein Ordner day (Tag), von verschiedenen Orten",
    ),
    "super-resolution": (
        "Vergrößern", "Bilder vergrößern, schärfer als durch Strecken",
        "Kleines Bild", "Großes Bild", "das kleine Bild", "das große Bild",
        "scharfe Fotos; die kleinen dazu werden daraus gemacht",
    ),
    "pix2pix": (
        "Pix2pix", "Jede Übersetzung, die Paare zeigen: Bilder nebeneinander oder gleichen Namens in zwei Ordnern",
        "Eingabe", "Ergebnis", "die Eingabe", "das Ergebnis",
        "Paare: Dateien mit beiden nebeneinander, oder Ordner source und target mit gleichen Namen",
    ),
    "cyclegan": (
        "Cyclegan", "Jede Übersetzung zwischen zwei Sammlungen ohne Paare, hin und zurück",
        "Eingabe", "Ergebnis", "die Eingabe", "das Ergebnis",
        "Ordner source und target, nichts muss zueinander passen",
    ),
    "cut": (
        "Cut", "Dasselbe nur in eine Richtung, doppelt so schnell und mit halb so viel Speicher",
        "Eingabe", "Ergebnis", "die Eingabe", "das Ergebnis",
        "Ordner source und target, nichts muss zueinander passen",
    ),
}  # fmt: skip

_OF_TASKS = {
    "download": ("Download {the_output}", "{output} herunterladen"),
    "save": ("Save {the_input}", "{input} speichern"),
    "appears": ("{The_output} appears here.", "Hier erscheint {the_output}."),
    "compare": ("Compare {the_input} and {the_output}", "{input} und {output} vergleichen"),
    "made_from": ("{The_output} made from {the_input}", "{The_output}, entstanden durch {the_input}"),
    "command": ("The command that makes {the_output}", "Der Befehl, mit dem {the_output} entsteht"),
}
"""Sentences that name the input or the result of a task: `task.NAME.FIELD`."""


def title(name: str) -> str:
    """`day-to-night` -> `Day to night`."""
    return name.replace("-", " ").replace("_", " ").capitalize()


def _task_words() -> dict[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    for task in TASKS.values():
        own = (title(task.name), task.summary, task.input_label, task.output_label)
        needs = task.data_hint.replace(" (--layout side-by-side)", "")  # the page has a list for it
        english = (*own, f"the {task.input_label.lower()}", f"the {task.output_label.lower()}", needs)
        names = ("name", "summary", "input", "output", "the_input", "the_output", "needs")
        pairs = zip(english, _GERMAN_TASKS[task.name], strict=True)
        both: dict[str, tuple[str, str]] = dict(zip(names, pairs, strict=True))
        the, das = both["the_output"]
        both["The_output"] = (the[0].upper() + the[1:], das[0].upper() + das[1:])
        for field, texts in both.items():
            found[f"task.{task.name}.{field}"] = texts
        for field, texts in _OF_TASKS.items():
            filled = [text.format(**{name: both[name][place] for name in both}) for place, text in enumerate(texts)]
            found[f"task.{task.name}.{field}"] = (filled[0], filled[1])
    return found


WORDS: Mapping[str, tuple[str, str]] = {**words_pictures.WORDS, **words_work.WORDS, **_task_words()}
"""Key: (English, German)."""

TABLE = {language: {key: texts[place] for key, texts in WORDS.items()} for place, language in enumerate(LANGUAGES)}

translations = gr.I18n(**TABLE)

_SCRIPT = """
const table = TABLE, language = navigator.language.split("-")[0];
const words = table[language] ?? table.en;
window.word = (key, facts = {}) => {
  if (!(key in words)) throw new Error(`no word for ${key}`);
  const text = (facts.n === 1 && words[`${key}_one`]) || words[key];
  return text.replace(/\\{(\\w+)\\}/g, (_, name) => facts[name]);
};
window.worded = (name) => words[name] ?? name;
window.escaped = (text) => String(text).replace(/[&<>"'`]/g, (sign) => `&#${sign.charCodeAt()};`);
"""


HEAD = f"<script>(() => {{{_SCRIPT.replace('TABLE', json.dumps(TABLE, ensure_ascii=False), 1)}}})();</script>"
"""The script for the head of the page.

`word(key, facts)`, `worded(name)` for a name that may be a key, and `escaped(text)` for what is put into HTML.
"""


def word(key: str) -> I18nData:
    """The text of `key`, for a component; translated in the browser.

    Raises:
        KeyError: no such text.
    """
    if key not in WORDS:
        raise KeyError(key)
    return translations(key)


def text(key: str, request: gr.Request | Request | None = None, **facts: object) -> str:
    """The text of `key` in the language that the browser of a request prefers.

    Args:
        key: the key in `WORDS`.
        request: whose `Accept-Language` decides; None is English.
        facts: what is filled in.

    Raises:
        KeyError: no such text, or a fact is missing.
    """
    return TABLE[language_of(request)][key].format(**facts)


def language_of(request: gr.Request | Request | None) -> str:
    """The first language of `Accept-Language`, which browsers sort; English if the page does not speak it."""
    accepted = "" if request is None else request.headers.get("accept-language", "")
    first = accepted.split(",")[0].split(";")[0].split("-")[0].strip().lower()
    return first if first in LANGUAGES else LANGUAGES[0]
