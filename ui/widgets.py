"""The components of a tab, one function each; no events."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from translate.inference.placement import content_share_of
from translate.spec import ModelSpec
from translate.tasks import Task

CANVAS_SIDE = 512
"""Width and height of an empty canvas in pixels."""
BRUSH_RADIUS = 2
"""Radius of the brush in canvas pixels: lines as thin as those in the training data."""
ERASER_RADIUS = 12
MAX_BUTTONS = 6
"""Maximum number of choices shown as buttons; more are shown as a drop-down list."""

COLUMN = 320
"""Minimum column width in CSS pixels: two columns side by side on a tablet, stacked on a phone."""
_HEIGHT = "min(560px, 100vw)"
"""Height of the input and the result: square next to the tools, and never larger than a phone's screen."""


def title(name: str) -> str:
    """`day-to-night` -> `Day to night`."""
    return name.replace("-", " ").replace("_", " ").capitalize()


def canvas(task: Task) -> gr.ImageEditor:
    """A white canvas with only a brush and an eraser."""
    return gr.ImageEditor(
        label=task.input_label,
        format="png",
        sources=("clipboard",),
        brush=gr.Brush(default_size=BRUSH_RADIUS, colors=["#000000", "#ffffff"], color_mode="fixed"),
        eraser=gr.Eraser(default_size=ERASER_RADIUS),
        transforms=(),
        layers=False,
        canvas_size=(CANVAS_SIDE, CANVAS_SIDE),
        buttons=[],
        height=_HEIGHT,
        elem_classes="canvas",
    )


def picture(task: Task) -> gr.Image:
    """An image upload."""
    return gr.Image(
        label=task.input_label,
        sources=["upload", "clipboard"],
        format="png",
        buttons=[],
        height=_HEIGHT,
        elem_classes="source",
    )


def before_and_after(task: Task) -> gr.ImageSlider:
    """Input and result on top of each other, with a slider between them."""
    return gr.ImageSlider(
        label=f"{task.input_label} | {task.output_label}",
        format="png",
        interactive=False,
        buttons=["fullscreen"],
        height=_HEIGHT,
        max_height=560,
        elem_classes="result",
    )


def download(task: Task) -> gr.DownloadButton:
    """The download button, disabled until there is a result."""
    return gr.DownloadButton(f"Download the {task.output_label.lower()} (PNG)", interactive=False)


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
        object_fit="contain",
        buttons=[],
        visible=bool(samples),
        elem_classes="samples",
    )


def thumbnails(samples: Sequence[Path]) -> list[tuple[str, str]]:
    """The items of a gallery: files, with their names for screen readers."""
    return [(str(path), path.stem.replace("-", " ").replace("_", " ")) for path in samples]


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
