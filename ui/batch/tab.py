"""The tab "Batch": many pictures at once, by a part of our own that talks to `ui.batch.routes`."""

from pathlib import Path
from typing import Any

import gradio as gr

from translate.conversion.naming import VIDEO_INPUTS
from translate.credentials.identity import OFF
from translate.pictures.operations import READABLE
from translate.tasks import TASKS
from ui import files, widgets
from ui.batch import uploads
from ui.batch.jobs import JobStore
from ui.batch.routes import SHOWN
from ui.model import Model
from ui.site import Site
from ui.words import word

_FOLDER = Path(__file__).parent
_SCRIPTS = ("batch.js", "batch_upload.js")


def batch_tab(site: Site) -> gr.Tab | None:
    """The tab; None if the page has no batches."""
    if site.jobs is None:
        return None
    with gr.Tab(word("batch.tab")) as tab:  # pyright: ignore[reportArgumentType] - Gradio translates it
        gr.HTML(
            settings(site, site.jobs),
            html_template=(_FOLDER / "batch.html").read_text(encoding="utf-8"),
            js_on_load="\n".join((_FOLDER / name).read_text(encoding="utf-8") for name in _SCRIPTS),
            apply_default_css=False,
            elem_classes="many",
        )
    return tab


def settings(site: Site, store: JobStore) -> dict[str, Any]:
    """What the tab has to know."""
    films = sorted(VIDEO_INPUTS) if uploads.reads_films() else []
    names = widgets.names(site.models)
    groups = [
        {"task": name, "models": found}
        for name in TASKS
        if (
            found := [
                _model(model, title)
                for model, title in zip(site.models, names, strict=True)
                if model.engine.spec.task == name
            ]
        )
    ]
    return {
        "groups": groups,
        "formats": files.OUTPUT_FORMATS,
        "credentials": site.credentials != OFF,
        "readable": [*sorted(READABLE), *films, ".zip"],
        "films": bool(films),
        "most_bytes": uploads.MOST_BYTES,
        "shown": SHOWN,
        "days": round(store.keep_seconds / 86400, 1),
    }


def _model(model: Model, title: str) -> dict[str, Any]:
    spec = model.engine.spec
    return {
        "index": model.index,
        "title": title,
        "labels": [{"name": label, "title": widgets.title(label)} for label in spec.labels],
        "style": bool(spec.style_size),
        "detail": spec.detail,
        "strength": spec.scale == 1,
    }
