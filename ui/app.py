"""The page: one tab per task, widgets around `Engine`.

What cannot be limited here: Gradio keeps what the browser sends of a canvas in memory before we see it, however
many bytes that is, and a pasted picture is decoded by the browser. One more reason to listen on this machine only
unless told otherwise. Uploaded files are limited in bytes by Gradio (`MAX_UPLOAD`), in pixels by the Engine.
"""

from collections.abc import Sequence
from pathlib import Path

import gradio as gr
from gradio.themes import Base, Default

from translate.engine import Engine
from translate.errors import ModelError, nearest
from translate.tasks import TASKS
from ui import actions, widgets
from ui.tab import Model, TaskTab

MAX_UPLOAD = "50mb"
MAX_WAITING = 20
"""Requests in the queue; the next one is told to come back later."""
KEEP_SECONDS = 24 * 3600
"""Uploads and results older than this are deleted, so that a page left open for weeks does not fill the disk."""

# The editor starts with its image tool and asks to choose another one; a sheet of paper does not.
_TAKE_UP_THE_PEN = """() => new MutationObserver(() =>
    document.querySelectorAll('.canvas button[aria-label="Brush"]:not([data-seen])').forEach(pen => {
        pen.dataset.seen = true;
        pen.click();
    })
).observe(document.body, {childList: true, subtree: true})"""
_CSS = Path(__file__).with_name("page.css")


def build_page(engines: Sequence[tuple[Engine, Path]]) -> gr.Blocks:
    """Lay out the page; nothing is started.

    Args:
        engines: models, each with a folder of pictures to try it on, which need not exist. Models of one task share
            a tab, the tabs come in the order of `TASKS`; one task alone fills the page.

    Raises:
        ModelError: a model is made for a task this version does not know.
    """
    by_task: dict[str, list[Model]] = {}
    for engine, samples in engines:
        by_task.setdefault(_task_name(engine), []).append(Model(engine, actions.picture_files(samples)))
    found = [(TASKS[name], by_task[name]) for name in TASKS if name in by_task]
    title = widgets.title(found[0][0].name) if len(found) == 1 else "Translate pictures"
    with gr.Blocks(title=title, analytics_enabled=False, delete_cache=(3600, KEEP_SECONDS), fill_width=True) as page:
        if len(found) == 1:
            TaskTab(*found[0], heading=True)
        else:
            with gr.Tabs(overflow_behavior="wrap"):
                for task, models in found:
                    with gr.Tab(widgets.title(task.name)):
                        TaskTab(task, models, heading=False)
    return page.queue(max_size=MAX_WAITING, api_open=False)


def serve(page: gr.Blocks, host: str, port: int, *, open_browser: bool = False) -> str:
    """Serve the page in the background and return its address; `page.close()` ends it."""
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
        theme=_theme(),
        css_paths=_CSS,
        js=_TAKE_UP_THE_PEN,
    )
    return address


def _theme() -> Base:
    """Gradio's default look with the fonts of the system, so that no host is asked for any file."""
    fonts = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica", "Arial", "sans-serif")
    theme = Default(primary_hue="teal", neutral_hue="stone", font=fonts, font_mono=("monospace",))
    # Dark enough for white letters (5:1); the theme's own is not.
    return theme.set(
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_800",
    )


def _task_name(engine: Engine) -> str:
    name = engine.spec.task
    if name not in TASKS:
        raise ModelError(f"{engine.path}: made for the task '{name}'; {nearest(name, TASKS)}")
    return name
