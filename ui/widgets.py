"""The parts of a tab, one function each; no events."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from translate.placement import content_share_of
from translate.spec import ModelSpec
from translate.tasks import Task

CANVAS_SIDE = 512
"""Width and height of an empty canvas in pixels."""
BRUSH_RADIUS = 2
"""Of the pen, in pixels of the canvas: lines as thin as those the models learned from."""
ERASER_RADIUS = 12
MOST_BUTTONS = 6
"""Choices shown beside each other; more of them go into a list."""

COLUMN = 320
"""Narrowest column in CSS pixels: two columns beside each other on a tablet, one below the other on a phone."""
_HEIGHT = "min(560px, 100vw)"
"""Of the input and the result: a square beside its tools, and never more than a phone's screen."""


def title(name: str) -> str:
    """`day-to-night` -> `Day to night`."""
    return name.replace("-", " ").replace("_", " ").capitalize()


def canvas(task: Task) -> gr.ImageEditor:
    """A white sheet with a pen, an eraser and nothing else."""
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
    """A place to drop a picture."""
    return gr.Image(
        label=task.input_label,
        sources=["upload", "clipboard"],
        format="png",
        buttons=[],
        height=_HEIGHT,
        elem_classes="source",
    )


def before_and_after(task: Task) -> gr.ImageSlider:
    """Input and result on top of each other, with a line to pull."""
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
    """Grey until there is something to download."""
    return gr.DownloadButton(f"Download the {task.output_label.lower()} (PNG)", interactive=False)


def choice(
    label: str, choices: Sequence[tuple[str, Any]], most: int, *, visible: bool, name: str
) -> gr.Radio | gr.Dropdown:
    """One of several: buttons, or a list where there may be many (`most`); the first is chosen."""
    kind = gr.Radio if most <= MOST_BUTTONS else gr.Dropdown
    value = choices[0][1] if choices else None
    return kind(list(choices), value=value, label=label, visible=visible, elem_classes=name)


def look_number() -> gr.Number:
    """Which of many results, as a number to come back to."""
    return gr.Number(0, label="Look", precision=0, minimum=0, min_width=72)


def detail(*, visible: bool) -> gr.Slider:
    """How sharp, from as faithful as can be to as sharp as can be."""
    return gr.Slider(
        0,
        1,
        0,
        step=0.05,
        label="Fine detail",
        info="The sharper, the more of it is made up: it looks likely, but need not be true.",
        visible=visible,
        elem_classes="detail",
    )


def gallery(samples: Sequence[Path]) -> gr.Gallery:
    """Thumbnails to click on; nothing where there are none."""
    return gr.Gallery(
        thumbnails(samples),
        label="Or try one of these",
        interactive=False,
        allow_preview=False,
        object_fit="contain",
        buttons=[],
        visible=bool(samples),
        elem_classes="samples",
    )


def thumbnails(samples: Sequence[Path]) -> list[tuple[str, str]]:
    """What a gallery shows: files and their names, for screen readers."""
    return [(str(path), path.stem.replace("-", " ").replace("_", " ")) for path in samples]


def about(spec: ModelSpec, task: Task) -> str:
    """Plain words about sizes and terms."""
    given, made = task.input_label.lower(), task.output_label.lower()
    if spec.working_size is not None:
        size = (
            f"The model looks at the {given} at {spec.working_size} pixels on its longer side, so finer detail is "
            f"lost; the {made} comes back as large as the {given}."
        )
        if content_share_of(spec):
            size += f" A {given} that is small on its sheet is looked at by itself."
    elif spec.scale == 1:
        size = f"The {made} is as large as the {given}."
    else:
        size = f"The {made} is {spec.scale} times as wide and high as the {given}."
    known = "" if spec.training_data == "unknown" else f"It learnt from {spec.training_data}.\n\n"
    return f"{size}\n\n{known}Pictures stay on the computer that runs this page. Licence of the model: {spec.licence}."
