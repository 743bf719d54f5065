"""The web page: one tab per task, with widgets around `Engine` and `Worker`.

Uploaded files are limited in bytes by Gradio (`MAX_UPLOAD`) or `ui.routes`, and in pixels by the Engine.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.themes import Base, Default
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from translate.errors import ModelError, nearest
from translate.inference.engine import Engine
from translate.tasks import TASKS, Task
from ui import batch, files, widgets
from ui.model import Model
from ui.site import Site
from ui.studio import STYLES, studio
from ui.tab import TaskTab
from ui.words import translations

MAX_UPLOAD = "50mb"
MAX_WAITING = 20
"""Maximum number of requests in the queue; further ones are rejected until there is room."""
_CSS = [Path(__file__).with_name("page.css"), STYLES, batch.STYLES]


def build_page(site: Site) -> gr.Blocks:
    """Build the page without starting a server.

    Args:
        site: what is on it. Models for the same task share a tab, and tabs are in the order of `TASKS`; a single task
            is shown without tabs, unless there are batches.

    Raises:
        ModelError: a model is for a task that this version does not know.
    """
    by_task: dict[str, list[Model]] = {}
    for model in site.models:
        by_task.setdefault(_task_name(model.engine), []).append(model)
    found = [(TASKS[name], by_task[name]) for name in TASKS if name in by_task]
    title = widgets.title(found[0][0].name) if len(found) == 1 else "Translate pictures"
    with gr.Blocks(
        title=title, analytics_enabled=False, delete_cache=(3600, files.KEEP_SECONDS), fill_width=True
    ) as page:
        if len(found) == 1 and site.jobs is None:
            _tab(*found[0], heading=True, shown=page.load)
        else:
            with gr.Tabs(overflow_behavior="wrap"):
                for task, models in found:
                    with gr.Tab(widgets.title(task.name)) as tab:
                        first = task is found[0][0]  # the one that is selected already
                        _tab(task, models, heading=len(found) == 1, shown=page.load if first else tab.select)
                batch.batch_tab(site)
    return page.queue(max_size=MAX_WAITING, api_open=False)


def _tab(task: Task, models: Sequence[Model], *, heading: bool, shown: Callable[..., Any]) -> None:
    """The widgets of a task; `shown` is the event of the first look at them, which should find something finished."""
    if task.draws_input:
        studio(task, models, heading=heading)
    else:
        TaskTab(task, models, heading=heading).begin_with_example(shown)


def serve(page: gr.Blocks, routes: Sequence[BaseRoute], host: str, port: int, *, open_browser: bool = False) -> str:
    """Serve the page in the background and return its address; `page.close()` stops it.

    `routes`: answered before those of Gradio.
    """
    _, address, _ = page.launch(
        server_name=f"[{host}]" if ":" in host else host,
        server_port=port,
        inbrowser=open_browser,
        share=False,
        quiet=True,
        prevent_thread_lock=True,
        max_file_size=MAX_UPLOAD,
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        mcp_server=False,
        pwa=False,
        ssr_mode=False,
        app_kwargs={"exception_handlers": {ClientDisconnect: _nothing}, "routes": list(routes)},
        theme=_theme(),
        css_paths=_CSS,
        i18n=translations,
    )
    return address


def _nothing(_: Request, __: Exception) -> Response:
    """A browser that leaves in the middle of an upload is no error: no traceback in the terminal."""
    return Response(status_code=499)


def _theme() -> Base:
    """Gradio's default theme with system fonts, so that no fonts are requested from other hosts."""
    fonts = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica", "Arial", "sans-serif")
    theme = Default(primary_hue="teal", neutral_hue="stone", font=fonts, font_mono=("monospace",))
    # Dark enough for white text (contrast 5:1); the theme's default is not.
    return theme.set(
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_800",
    )


def _task_name(engine: Engine) -> str:
    name = engine.spec.task
    if name not in TASKS:
        raise ModelError(f"{engine.path}: made for the unknown task '{name}'; {nearest(name, TASKS)}")
    return name
