"""The components of a tab, one function each; no events."""

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr

from translate.inference.placement import content_share_of
from translate.pictures.operations import READABLE
from translate.spec import ModelSpec
from translate.tasks import Task
from ui import files
from ui.model import Model

MAX_BUTTONS = 6
"""Maximum number of choices shown as buttons; more are shown as a drop-down list."""

COLUMN = 320
"""Minimum column width in CSS pixels: two columns side by side on a tablet, stacked on a phone."""
_FOLDER = Path(__file__).parent


def title(name: str) -> str:
    """`day-to-night` -> `Day to night`."""
    return name.replace("-", " ").replace("_", " ").capitalize()


def names(models: Sequence[Model]) -> list[str]:
    """Names of the models for people; those that share one are numbered."""
    found = [title(model.engine.spec.name) for model in models]
    return [name if found.count(name) == 1 else f"{name} ({number})" for number, name in enumerate(found, 1)]


def spoken(path: Path) -> str:
    """The name of a sample picture for people: `shoe-pen_1.png` -> `shoe pen 1`."""
    return path.stem.replace("-", " ").replace("_", " ")


def file(task: Task) -> gr.File:
    """An upload of one picture; it stays the file that it was."""
    return gr.File(label=task.input_label, file_types=sorted(READABLE), height=140, elem_classes="source")


def output_format() -> gr.Dropdown:
    """The format of the file to download."""
    return gr.Dropdown(list(files.OUTPUT_FORMATS), value="same", label="Format", elem_classes="format")


def labelled(file: Path, task: Task) -> str:
    """An HTML template with the task's names of input and result."""
    template = file.read_text(encoding="utf-8")
    for token, text in (("@Input", task.input_label), ("@Output", task.output_label)):
        template = template.replace(token, html.escape(text)).replace(token.lower(), html.escape(text.lower()))
    return template


def before_and_after(task: Task) -> gr.HTML:
    """Input and result on top of each other, with a line between them to drag, and the strength; see `compared`."""
    return gr.HTML(
        None,
        html_template=labelled(_FOLDER / "compare.html", task),
        js_on_load=(_FOLDER / "compare.js").read_text(encoding="utf-8"),
        apply_default_css=False,
        elem_classes="result",
    )


def compared(before: Path, after: Path, *, mixes: bool) -> dict[str, Any]:
    """The value of `before_and_after`: two files of the cache, and whether the result may be mixed with the input."""
    addresses = [f"gradio_api/file={quote(path.as_posix())}" for path in (before, after)]
    return {"before": addresses[0], "after": addresses[1], "mixes": mixes, "strength": 1.0}


def download(task: Task) -> gr.DownloadButton:
    """The download button, disabled until there is a result."""
    return gr.DownloadButton(f"Download the {task.output_label.lower()}", interactive=False)


def choice(
    label: str, choices: Sequence[tuple[str, Any]], most: int, *, visible: bool, name: str
) -> gr.Radio | gr.Dropdown:
    """A single choice: buttons, or a drop-down list if there may be many (`most`); the first is selected."""
    kind = gr.Radio if most <= MAX_BUTTONS else gr.Dropdown
    value = choices[0][1] if choices else None
    return kind(list(choices), value=value, label=label, visible=visible, elem_classes=name)


def style_number() -> gr.Number:
    """The style, as a number that can be used again."""
    return gr.Number(0, label="Style", precision=0, minimum=0, min_width=72)


def detail(*, visible: bool) -> gr.Slider:
    """Sharpness, from most faithful to sharpest."""
    return gr.Slider(
        0,
        1,
        0,
        step=0.05,
        label="Fine detail",
        info="Sharper results contain more invented detail: plausible, but not necessarily true.",
        visible=visible,
        elem_classes="detail",
    )


def gallery(samples: Sequence[Path]) -> gr.Gallery:
    """Thumbnails of sample pictures to click on; hidden if there are none."""
    return gr.Gallery(
        thumbnails(samples),
        label="Or try an example",
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


def about(spec: ModelSpec, task: Task) -> str:
    """A short text about sizes, training data and licence."""
    given, result = task.input_label.lower(), task.output_label.lower()
    if spec.working_size is not None:
        size = (
            f"The model works at {spec.working_size} pixels on the longer side, so finer detail in the {given} is "
            f"lost; the {result} has the size of the {given}."
        )
        if content_share_of(spec):
            size += f" A {given} that is small on its sheet is cropped first."
    elif spec.scale == 1:
        size = f"The {result} has the size of the {given}."
    else:
        size = f"The {result} is {spec.scale} times as wide and high as the {given}."
    known = "" if spec.training_data == "unknown" else f"The model was trained on {spec.training_data}.\n\n"
    return f"{size}\n\n{known}Pictures stay on the computer that runs this page. Model licence: {spec.licence}."
