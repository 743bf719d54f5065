"""The web page: one tab per task, with widgets around `Engine` and `Worker`.

Uploads are limited in bytes (`ui.serving.guard`, and each file of several by Gradio) and in pixels
(`ui.files.check_pixels`).
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.themes import Base, Default
from starlette.routing import BaseRoute

from translate.errors import ModelError, nearest
from translate.inference.engine import Engine
from translate.tasks import TASKS, Task
from ui import files, widgets
from ui.batch import tab as batch
from ui.models import tab as models_tab
from ui.models.refresh import Part, Refresh
from ui.site import Site
from ui.sketch.studio import studio
from ui.tab import TaskTab
from ui.training import tab as train
from ui.words import HEAD, text, translations, word

_SHEETS = ("page", "controls", "compare", "sketch/studio", "batch/batch", "models/models", "training/train")
_CSS = [Path(__file__).parent / f"{name}.css" for name in _SHEETS]


def build_page(site: Site) -> gr.Blocks:
    """Build the page without starting a server.

    Args:
        site: what is on it. Models for the same task share a tab, and tabs are in the order of `TASKS`; a single model
            is shown without tabs, unless there are batches.

    Raises:
        ModelError: a model is for a task that this version does not know.
    """
    for model in site.models:
        _refuse_unknown(model.engine)
    # Where more models may come, every task has its tab, hidden until there is a model for it.
    tasks = [task for name, task in TASKS.items() if site.registry or site.of_task(name)]
    alone = len(tasks) == 1 and len(site.models) == 1 and site.jobs is None
    key = f"task.{tasks[0].name}.name" if len(tasks) == 1 else "page.title"
    with gr.Blocks(
        title=text(key), analytics_enabled=False, delete_cache=(3600, files.KEEP_SECONDS), fill_width=True
    ) as page:
        if alone:
            _begin_with_example(_content(tasks[0], site, heading=True), page.load)
        else:
            _tabs(site, tasks, page)
        widgets.shortcuts()
    limits = site.limits
    return page.queue(max_size=limits.waiting, default_concurrency_limit=limits.at_once, api_open=False)


def looks() -> dict[str, Any]:
    """How the page looks and what it says, for the server that shows it."""
    return {"theme": _theme(), "css_paths": _CSS, "head": HEAD, "i18n": translations}


def _tabs(site: Site, tasks: Sequence[Task], page: gr.Blocks) -> None:
    """A tab for each task, one for batches, one for the models, and one for training where that is allowed."""
    first = next((task for task in tasks if site.of_task(task.name)), None)
    with gr.Tabs(overflow_behavior="wrap", selected=first.name if first else "models") as tabs:
        parts: list[Part] = []
        for task in tasks:
            name = word(f"task.{task.name}.name")
            with gr.Tab(name, id=task.name, visible=bool(site.of_task(task.name))) as tab:
                parts.append(Part(task, tab, _content(task, site, heading=len(tasks) == 1)))
        if site.jobs is not None:
            batch.batch_tab(site)
        with gr.Tab(word("models.tab"), id="models"):
            cards = models_tab.models_tab(site)
        training = None
        if site.runs:
            with gr.Tab(word("train.tab"), id="train"):
                training = train.train_tab()
    refresh = Refresh(page, site, tabs, parts, cards)
    loaded = refresh.on_load()
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
    tab = studio if task.draws_input else TaskTab
    return tab(task, models, heading=heading, site=site)


def _begin_with_example(content: TaskTab | gr.HTML, shown: Callable[..., Any]) -> None:
    """`shown` is the event of the first look at the widgets, which should find something finished."""
    if isinstance(content, TaskTab):  # a canvas does so by itself
        content.begin_with_example(shown)


def _theme() -> Base:
    """Gradio's default theme with system fonts, so that no fonts are requested from other hosts."""
    fonts = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica", "Arial", "sans-serif")
    theme = Default(primary_hue="teal", neutral_hue="stone", font=fonts, font_mono=("monospace",))
    # Text that is faint, but not too faint to read (contrast 4.8:1), and buttons dark enough for white text (5:1): the
    # theme's defaults are not.
    return theme.set(
        body_text_color_subdued="*neutral_500",
        block_info_text_color="*neutral_500",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_800",
    )


def _refuse_unknown(engine: Engine) -> None:
    name = engine.spec.task
    if name not in TASKS:
        raise ModelError(f"{engine.path}: made for the unknown task '{name}'; {nearest(name, TASKS)}")
