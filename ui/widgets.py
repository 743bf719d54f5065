"""The components of a tab, one function each; no events."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr
from gradio.i18n import I18nData

from translate.inference.placement import content_share_of
from translate.pictures.operations import READABLE
from translate.spec import ModelSpec
from translate.tasks import Task
from ui import files
from ui.actions import Shown
from ui.model import Model
from ui.words import WORDS, title, word

MAX_BUTTONS = 6
"""Maximum number of choices shown as buttons; more are shown as a drop-down list."""

COLUMN = 320
"""Minimum column width in CSS pixels: two columns side by side on a tablet, stacked on a phone."""
_FOLDER = Path(__file__).parent


def names(models: Sequence[Model]) -> list[str]:
    """Names of the models for people, or keys of them in `ui.words`; those that share one are numbered."""
    found = [title(model.engine.spec.name) for model in models]
    numbered = [name if found.count(name) == 1 else f"{name} ({number})" for number, name in enumerate(found, 1)]
    keys = [f"model.{model.engine.spec.name}" for model in models]
    alone = [key in WORDS and keys.count(key) == 1 for key in keys]
    return [key if known else name for key, name, known in zip(keys, numbered, alone, strict=True)]


def worded(names: Sequence[tuple[str, Any]]) -> list[tuple[Any, Any]]:
    """Choices whose names may be keys of `ui.words`."""
    return [(word(name) if name in WORDS else name, value) for name, value in names]


def spoken(path: Path) -> str:
    """The name of a sample picture for people: `shoe-pen_1.png` -> `shoe pen 1`."""
    return path.stem.replace("-", " ").replace("_", " ")


def source() -> gr.UploadButton:
    """An upload of one picture; it stays the file that it was. `compare.js` gives it what is dropped or pasted."""
    return gr.UploadButton(str(word("choice.open")), file_types=sorted(READABLE), elem_classes="source")


def drop_hint() -> gr.HTML:
    """How else a picture gets in."""
    return gr.HTML(None, html_template='${word("tab.drop")}', apply_default_css=False, elem_classes="drop")


def output_format() -> gr.Dropdown:
    """The format of the file to download."""
    return gr.Dropdown(worded(files.OUTPUT_FORMATS), value="same", label=word("choice.format"), elem_classes="format")


def credentials(*, visible: bool) -> gr.Checkbox:
    """Whether the file to download holds content credentials."""
    return gr.Checkbox(
        True,
        label=word("choice.credentials"),
        info=word("choice.credentials_info"),
        visible=visible,
        min_width=240,
        elem_classes="credentials",
    )


def intro(task: Task, *, heading: bool) -> gr.HTML:
    """What the task does, below its name as a heading if there is no tab that says it."""
    headline = f'<h1>${{word("task.{task.name}.name")}}</h1>' if heading else ""
    return gr.HTML(
        None,
        html_template=f'{headline}<p>${{word("task.{task.name}.summary")}}.</p>',
        apply_default_css=False,
        elem_classes="intro",
    )


def template(file: Path, task: Task) -> str:
    """An HTML template; its words are looked up in the browser, `@task` stands for the task in their keys."""
    return file.read_text(encoding="utf-8").replace("@task", task.name)


def before_and_after(task: Task) -> gr.HTML:
    """Input and result to compare, and the strength of the result; see `compared` for its value."""
    return gr.HTML(
        None,
        html_template=template(_FOLDER / "compare.html", task),
        js_on_load=(_FOLDER / "compare.js").read_text(encoding="utf-8"),
        apply_default_css=False,
        elem_classes="result",
    )


def compared(shown: Shown, *, model: int, enlarges: bool, suggestion: tuple[str, int] | None) -> dict[str, Any]:
    """The value of `before_and_after`.

    Args:
        shown: files of the cache, and facts.
        model: index of the model that made it.
        enlarges: whether the model does; otherwise its result may be mixed with the input.
        suggestion: why another model suits better, a key of `ui.words`, and which.
    """
    facts: list[tuple[str, dict[str, object]]] = [("compare.size", {"width": shown.width, "height": shown.height})]
    if enlarges:
        speed = shown.width * shown.height / 1e6 / shown.seconds
        facts.append(("compare.speed", {"seconds": f"{shown.seconds:.1f}", "megapixels": f"{speed:.2g}"}))
    return {
        "model": model,
        "before": _address(shown.before),
        "after": _address(shown.after),
        "bicubic": shown.bicubic and _address(shown.bicubic),
        "width": shown.width,
        "height": shown.height,
        "mixes": not enlarges,
        "strength": 1.0,
        "facts": facts,
        "suggestion": suggestion and {"key": suggestion[0], "model": suggestion[1]},
    }


def _address(path: Path) -> str:
    return f"gradio_api/file={quote(path.as_posix())}"


def download(task: Task) -> gr.DownloadButton:
    """The download button, disabled until there is a result."""
    return gr.DownloadButton(str(word(f"task.{task.name}.download")), variant="primary", interactive=False)


def shortcuts() -> gr.HTML:
    """A button for the list of keyboard shortcuts, which "?" opens too."""
    return gr.HTML(
        None,
        html_template=(_FOLDER / "shortcuts.html").read_text(encoding="utf-8"),
        js_on_load=(_FOLDER / "shortcuts.js").read_text(encoding="utf-8"),
        apply_default_css=False,
        elem_classes="keys",
    )


def choice(
    label: I18nData, choices: Sequence[tuple[str, Any]], most: int, *, visible: bool, name: str
) -> gr.Radio | gr.Dropdown:
    """A single choice: buttons, or a drop-down list if there may be many (`most`); the first is selected."""
    kind = gr.Radio if most <= MAX_BUTTONS else gr.Dropdown
    value = choices[0][1] if choices else None
    return kind(worded(choices), value=value, label=label, visible=visible, elem_classes=name)


def style_number() -> gr.Number:
    """The style, as a number that can be used again."""
    return gr.Number(0, label=word("tab.style"), precision=0, minimum=0, min_width=72)


def detail(*, visible: bool) -> gr.Slider:
    """Sharpness, from most faithful to sharpest."""
    return gr.Slider(
        0,
        1,
        0,
        step=0.05,
        label=word("tab.detail"),
        info=word("tab.detail_info"),
        visible=visible,
        elem_classes="detail",
    )


def gallery(samples: Sequence[Path]) -> gr.Gallery:
    """Thumbnails of sample pictures to click on; hidden if there are none."""
    return gr.Gallery(
        thumbnails(samples),
        label=word("choice.examples"),
        interactive=False,
        allow_preview=False,
        object_fit="cover",
        buttons=[],
        visible=bool(samples),
        elem_classes="samples",
    )


def thumbnails(samples: Sequence[Path]) -> list[tuple[str, str]]:
    """The items of a gallery: files, with their names for screen readers."""
    return [(str(path), spoken(path)) for path in samples]


def about(spec: ModelSpec) -> list[tuple[str, dict[str, object]]]:
    """What is worth knowing about a model: keys of `ui.words` and their facts."""
    found: list[tuple[str, dict[str, object]]]
    if spec.working_size is not None:
        found = [("about.working_size", {"pixels": spec.working_size})]
        if content_share_of(spec):
            found.append(("about.cropped", {}))
    elif spec.scale == 1:
        found = [("about.same_size", {})]
    else:
        found = [("about.scale", {"scale": spec.scale})]
    if spec.training_data != "unknown":
        found.append(("about.data", {"data": spec.training_data}))
    return [*found, ("about.private", {"licence": spec.licence})]


def about_box(spec: ModelSpec) -> gr.HTML:
    """`about` as small print."""
    return gr.HTML(
        about(spec),
        html_template='${value.map(([key, facts]) => "<p>" + escaped(word(key, facts)) + "</p>").join("")}',
        apply_default_css=False,
        elem_classes="about",
    )
