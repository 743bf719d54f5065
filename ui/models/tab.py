"""The tab of models: a card for each, with what it makes, what it has learnt from, and what may be done with it."""

from pathlib import Path
from typing import Any

import gradio as gr
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Route

from translate.metrics.table import METRICS, metric, ordered
from ui import widgets
from ui.model import Model
from ui.requests import checked
from ui.site import Site
from ui.words import word

_FOLDER = Path(__file__).parent
HEADLINES = 3
"""Number of measurements shown at once; the others are folded away."""


def models_tab(site: Site) -> gr.HTML:
    """The cards; `select` is triggered, with the `command` of a model, when one is to be used."""
    gr.Markdown(word("models.about"), elem_classes="intro")
    return gr.HTML(
        cards(site),
        html_template='<div class="cards"></div>',
        js_on_load=(_FOLDER / "models.js").read_text(encoding="utf-8"),
        apply_default_css=False,
        elem_classes="models-tab",
    )


def cards(site: Site) -> dict[str, Any]:
    """What the cards show."""
    return {"models": [_card(model) for model in site.models]}


def routes(site: Site) -> list[BaseRoute]:
    """The pictures on the cards."""

    async def picture(request: Request) -> Response:
        index = request.path_params["index"]
        path = site.models[index].picture if index < len(site.models) else None
        if path is None:
            raise HTTPException(404)
        return FileResponse(path, headers={"Cache-Control": "no-cache"})

    return [Route("/models/picture/{index:number}", checked(picture, 0), methods=["GET"])]


def _card(model: Model) -> dict[str, Any]:
    spec, entry = model.engine.spec, model.shipped
    names = sorted(ordered(set(spec.metrics)), key=lambda name: name not in METRICS)
    measured = [
        {"title": metric(name).title, "text": metric(name).text, "value": f"{spec.metrics[name]:.4g}"} for name in names
    ]
    return {
        "index": model.index,
        "command": model.command,
        "file": "" if entry else model.engine.path.name,
        "task": spec.task,
        "title": widgets.title(spec.name),
        "summary": entry.summary if entry else "",
        "picture": f"models/picture/{model.index}" if model.picture else "",
        "licence": "" if spec.licence == "unknown" else spec.licence,
        "data": "" if spec.training_data == "unknown" else spec.training_data,
        "headlines": measured[:HEADLINES],
        "measured": measured[HEADLINES:],
        "megabytes": f"{model.bytes / 1e6:.1f}",
        "parameters": f"{spec.parameters / 1e6:.1f}" if spec.parameters else "",
    }
