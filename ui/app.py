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
from ui import files, models_tab, train, widgets
from ui.refresh import Part, Refresh
from ui.site import Site
from ui.studio import STYLES, studio
from ui.tab import TaskTab
from ui.words import translations, word

MAX_UPLOAD = "50mb"
MAX_WAITING = 20
"""Maximum number of requests in the queue; further ones are rejected until there is room."""
_CSS = [Path(__file__).with_name("page.css"), STYLES, models_tab.STYLES, train.STYLES]


def build_page(site: Site) -> gr.Blocks:
    """Build the page without starting a server.

    Args:
        site: what is on it. Models for the same task share a tab, and tabs are in the order of `TASKS`; a single model
            is shown without tabs.

    Raises:
        ModelError: a model is for a task that this version does not know.
    """
    for model in site.models:
        _refuse_unknown(model.engine)
    # Where more models may come, every task has its tab, hidden until there is a model for it.
    tasks = [task for name, task in TASKS.items() if site.registry or site.of_task(name)]
    alone = len(tasks) == 1 and len(site.models) == 1
    title = widgets.title(tasks[0].name) if len(tasks) == 1 else "Translate pictures"
    with gr.Blocks(
        title=title, analytics_enabled=False, delete_cache=(3600, files.KEEP_SECONDS), fill_width=True
    ) as page:
        if alone:
            _begin_with_example(_content(tasks[0], site, heading=True), page.load)
        else:
            _tabs(site, tasks, page)
    return page.queue(max_size=MAX_WAITING, api_open=False)


def _tabs(site: Site, tasks: Sequence[Task], page: gr.Blocks) -> None:
    """A tab for each task, one for the models, and one for training where that is allowed."""
    first = next((task for task in tasks if site.of_task(task.name)), None)
    with gr.Tabs(overflow_behavior="wrap", selected=first.name if first else "models") as tabs:
        parts: list[Part] = []
        for task in tasks:
            with gr.Tab(widgets.title(task.name), id=task.name, visible=bool(site.of_task(task.name))) as tab:
                parts.append(Part(task, tab, _content(task, site, heading=False)))
        with gr.Tab(word("models_tab"), id="models"):
            cards = models_tab.models_tab(site)
        training = None
        if site.runs:
            with gr.Tab(word("train_tab"), id="train"):
                training = train.train_tab()
    refresh = Refresh(site, tabs, parts, cards)
    loaded = refresh.on_load(page)
    refresh.on_use(cards)
    if training:
        refresh.on_more(training.change)
        refresh.on_use(training)
    for part in parts:
        _begin_with_example(part.content, loaded if part.task is first else part.tab.select)


def more_routes(site: Site) -> list[BaseRoute]:
    """What the tabs of models and of training ask for."""
    return [*models_tab.routes(site), *(train.Training(site.runs, site.cache).routes() if site.runs else [])]


def _content(task: Task, site: Site, *, heading: bool) -> TaskTab | gr.HTML:
    """The widgets of a task."""
    models = site.of_task(task.name)
    return studio(task, models, heading=heading) if task.draws_input else TaskTab(task, models, heading=heading)


def _begin_with_example(content: TaskTab | gr.HTML, shown: Callable[..., Any]) -> None:
    """`shown` is the event of the first look at the widgets, which should find something finished."""
    if isinstance(content, TaskTab):  # a canvas does so by itself
        content.begin_with_example(shown)


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


def _refuse_unknown(engine: Engine) -> None:
    name = engine.spec.task
    if name not in TASKS:
        raise ModelError(f"{engine.path}: made for the unknown task '{name}'; {nearest(name, TASKS)}")
