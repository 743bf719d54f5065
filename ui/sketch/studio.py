"""The tab of a task whose input is drawn: a canvas of our own, which sends its drawings to `ui.sketch.routes`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from translate.credentials.identity import OFF
from translate.pictures.operations import READABLE
from translate.tasks import Task
from ui import files, widgets
from ui.model import Model
from ui.site import Site
from ui.words import title

_FOLDER = Path(__file__).parent
_SCRIPTS = ("../ask.js", "sheet.js", "live.js", "look.js", "studio.js")


def studio(task: Task, models: Sequence[Model], *, heading: bool, site: Site) -> gr.HTML:
    """The canvas, the controls and the result.

    Args:
        task: the task.
        models: the models for it; more may come later, as a new value.
        heading: whether to show the name of the task as a heading.
        site: says how large uploads may be, and whether results can be signed.
    """
    widgets.intro(task, heading=heading)
    return gr.HTML(
        settings(task, models, site),
        html_template=widgets.template(_FOLDER / "studio.html", task),
        js_on_load="\n".join((_FOLDER / name).read_text(encoding="utf-8") for name in _SCRIPTS),
        apply_default_css=False,
        elem_classes="sketch",
    )


def settings(task: Task, models: Sequence[Model], site: Site) -> dict[str, Any]:
    """What the canvas has to know."""
    return {
        "task": task.name,
        "input": task.input_label.lower().replace(" ", "-"),
        "formats": files.OUTPUT_FORMATS,
        "readable": ",".join(sorted(READABLE)),
        "most_bytes": site.limits.upload_bytes,
        "credentials": site.credentials != OFF,
        "most_buttons": widgets.MAX_BUTTONS,
        "models": [_model(model, name) for name, model in zip(widgets.names(models), models, strict=True)],
    }


def _model(model: Model, name: str) -> dict[str, Any]:
    spec = model.engine.spec
    kind = "colours" if spec.colour_style else "number" if spec.style_size else ""
    return {
        "index": model.index,
        "title": name,
        "command": model.command,
        "labels": [{"name": label, "title": title(label)} for label in spec.labels],
        "style": kind,
        "usual": list(spec.default_style or (0.0,) * spec.style_size),
        "samples": [
            {"name": path.name, "title": widgets.spoken(path), "label": spec.label_of(path.name)}
            for path in model.samples
        ],
        "about": widgets.about(spec),
    }
