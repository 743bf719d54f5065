"""The web page: one tab per task, with widgets around `Engine` and `Worker`.

Uploads are limited in bytes (`ui.guard`, and each file of several by Gradio) and in pixels (`ui.files.check_pixels`).
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.themes import Base, Default

from translate.errors import ModelError, nearest
from translate.inference.engine import Engine
from translate.tasks import TASKS, Task
from ui import batch, files, widgets
from ui.model import Model
from ui.site import Limits, Site
from ui.studio import studio
from ui.tab import TaskTab
from ui.words import HEAD, text, translations, word

_CSS = [Path(__file__).with_name(f"{name}.css") for name in ("page", "controls", "studio", "compare", "batch")]


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
    key = f"task.{found[0][0].name}.name" if len(found) == 1 else "page.title"
    with gr.Blocks(
        title=text(key), analytics_enabled=False, delete_cache=(3600, files.KEEP_SECONDS), fill_width=True
    ) as page:
        if len(found) == 1 and site.jobs is None:
            _tab(*found[0], site.limits, heading=True, shown=page.load)
        else:
            with gr.Tabs(overflow_behavior="wrap"):
                for task, models in found:
                    with gr.Tab(word(f"task.{task.name}.name")) as tab:
                        first = task is found[0][0]  # the one that is selected already
                        shown = page.load if first else tab.select
                        _tab(task, models, site.limits, heading=len(found) == 1, shown=shown)
                batch.batch_tab(site)
        widgets.shortcuts()
    limits = site.limits
    return page.queue(max_size=limits.waiting, default_concurrency_limit=limits.at_once, api_open=False)


def looks() -> dict[str, Any]:
    """How the page looks and what it says, for the server that shows it."""
    return {"theme": _theme(), "css_paths": _CSS, "head": HEAD, "i18n": translations}


def _tab(task: Task, models: Sequence[Model], limits: Limits, *, heading: bool, shown: Callable[..., Any]) -> None:
    """The widgets of a task; `shown` is the event of the first look at them, which should find something finished."""
    if task.draws_input:
        studio(task, models, heading=heading, limits=limits)
    else:
        TaskTab(task, models, heading=heading, limits=limits).begin_with_example(shown)


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


def _task_name(engine: Engine) -> str:
    name = engine.spec.task
    if name not in TASKS:
        raise ModelError(f"{engine.path}: made for the unknown task '{name}'; {nearest(name, TASKS)}")
    return name
