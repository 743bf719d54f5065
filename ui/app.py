"""The page: one tab per model, widgets around `Engine`.

What cannot be limited here: Gradio keeps what the browser sends of a canvas in memory before we see it, however
many bytes that is, and a pasted picture is decoded by the browser. One more reason to listen on this machine only
unless told otherwise. Uploaded files are limited in bytes by Gradio (`MAX_UPLOAD`), in pixels by the Engine.
"""

import html
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.themes import Base, Default

from translate.engine import Engine
from translate.errors import ModelError, TranslateError, nearest
from translate.images import READABLE, Picture, flatten, read_picture, resize
from translate.tasks import TASKS, Task
from ui import actions

CANVAS_SIDE = 512
"""Width and height of an empty canvas in pixels."""
BRUSH_RADIUS = 2
"""Of the pen, in pixels of the canvas: lines as thin as those the models learned from."""
ERASER_RADIUS = 12
MAX_UPLOAD = "50mb"
MAX_WAITING = 20
"""Requests in the queue; the next one is told to come back later."""
KEEP_SECONDS = 24 * 3600
"""Uploads and results older than this are deleted, so that a page left open for weeks does not fill the disk."""

# Every engine takes all cores, so two at once would only wait for each other: one line for all tabs.
_ONE_AT_A_TIME: dict[str, Any] = {"concurrency_id": "engine", "concurrency_limit": 1}
# The command line and the library are the interface for programs; these events expect the page's own values.
_EVENT: dict[str, Any] = {"api_visibility": "private", "preprocess": False, **_ONE_AT_A_TIME}

_COLUMN = 320
"""Narrowest column in CSS pixels: two columns beside each other on a tablet, one below the other on a phone."""
_HEIGHT = "min(560px, 100vw)"
"""Of the canvas and the result: a square beside its tools, and never more than a phone's screen."""
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
        engines: models, each with a folder of pictures to try it on, which need not exist. One model fills the
            page, several get a tab each.

    Raises:
        ModelError: a model is made for a task this version does not know.
    """
    tasks = [_task(engine) for engine, _ in engines]
    title = _title(engines[0][0]) if len(engines) == 1 else "Translate pictures"
    with gr.Blocks(title=title, analytics_enabled=False, delete_cache=(3600, KEEP_SECONDS), fill_width=True) as page:
        if len(engines) == 1:
            _model_tab(engines[0][0], tasks[0], engines[0][1])
        else:
            with gr.Tabs():
                for (engine, samples), task in zip(engines, tasks, strict=True):
                    with gr.Tab(_title(engine)):
                        _model_tab(engine, task, samples)
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


def _task(engine: Engine) -> Task:
    name = engine.spec.task
    if name not in TASKS:
        raise ModelError(f"{engine.path}: made for the task '{name}'; {nearest(name, TASKS)}")
    return TASKS[name]


def _title(engine: Engine) -> str:
    return engine.spec.name.replace("-", " ").capitalize()


def _model_tab(engine: Engine, task: Task, samples: Path) -> None:
    gr.Markdown(f"# {_title(engine)}\n{task.summary}.", elem_classes="intro")
    (_drawing_tab if task.draws_input else _picture_tab)(engine, task, actions.picture_files(samples))
    gr.Markdown(_about(engine, task), elem_classes="about")


def _drawing_tab(engine: Engine, task: Task, samples: list[Path]) -> None:
    """A canvas, and the result beside it."""
    with gr.Row():
        with gr.Column(min_width=_COLUMN):
            canvas = _canvas(task)
            with gr.Row():
                # The canvas has an upload of its own, but it hides behind two clicks and says nothing about bad files.
                upload = gr.UploadButton(
                    f"Upload a {task.input_label.lower()}", file_types=sorted(READABLE), min_width=120
                )
                button = gr.Button(_button_text(task), variant="primary", min_width=120)
        with gr.Column(min_width=_COLUMN):
            result = _result(task)
            download = _download_button(task)
    cache = Path(canvas.GRADIO_CACHE)

    def shown(picture: Picture) -> list[Any]:
        # Whatever is transparent is paper, and paper is white.
        path = actions.translate(engine, Picture(flatten(picture)), cache)
        return [str(path), gr.DownloadButton(value=path, interactive=True)]

    def make(value: dict[str, Any] | None) -> list[Any]:
        with _explained():
            picture = actions.drawn_picture(value, canvas.blob_storage, engine, cache)
            if picture is None or actions.is_blank(picture):
                gr.Warning(f"The {task.input_label.lower()} is empty: draw something or upload a picture first.")
                return [gr.skip(), gr.skip()]
            return shown(picture)

    def lay_down(picture: Picture) -> list[Any]:
        drawing = str(actions.save(picture, cache, task.input_label))
        return [{"background": drawing, "layers": [], "composite": drawing}, *shown(picture)]

    def take_upload(value: dict[str, Any]) -> list[Any]:
        with _explained():
            return lay_down(actions.uploaded_picture(value, engine, cache))

    def try_sample(event: gr.SelectData) -> list[Any]:
        with _explained():
            return lay_down(read_picture(samples[event.index]))

    button.click(make, canvas, [result, download], show_progress_on=result, **_EVENT)
    upload.upload(take_upload, upload, [canvas, result, download], show_progress_on=result, **_EVENT)
    if samples:
        _gallery(samples).select(try_sample, None, [canvas, result, download], show_progress_on=result, **_EVENT)


def _picture_tab(engine: Engine, task: Task, samples: list[Path]) -> None:
    """An upload, and before and after under a slider beside it."""
    with gr.Row():
        with gr.Column(min_width=_COLUMN):
            source = gr.Image(
                label=task.input_label,
                sources=["upload", "clipboard"],
                format="png",
                buttons=[],
                height=_HEIGHT,
                elem_classes="source",
            )
            button = gr.Button(_button_text(task), variant="primary")
        with gr.Column(min_width=_COLUMN):
            slider = gr.ImageSlider(
                label=f"{task.input_label} and {task.output_label.lower()}",
                format="png",
                interactive=False,
                buttons=["fullscreen"],
                height=_HEIGHT,
                max_height=560,
                elem_classes="result",
            )
            download = _download_button(task)
    cache = Path(source.GRADIO_CACHE)

    def compare(picture: Picture) -> list[Any]:
        scale = engine.spec.scale
        before = Picture(resize(flatten(picture), picture.height * scale, picture.width * scale))
        path = actions.translate(engine, picture, cache)
        pair = (str(actions.save(before, cache, task.input_label)), str(path))
        return [pair, gr.DownloadButton(value=path, interactive=True)]

    def make(value: dict[str, Any] | None) -> list[Any]:
        with _explained():
            if value is None:
                gr.Warning("There is no picture yet: upload one first.")
                return [gr.skip(), gr.skip()]
            return compare(actions.uploaded_picture(value, engine, cache))

    def try_sample(event: gr.SelectData) -> list[Any]:
        with _explained():
            picture = read_picture(samples[event.index])
            return [str(actions.save(picture, cache, task.input_label)), *compare(picture)]

    button.click(make, source, [slider, download], show_progress_on=slider, **_EVENT)
    if samples:
        _gallery(samples).select(try_sample, None, [source, slider, download], show_progress_on=slider, **_EVENT)


def _canvas(task: Task) -> gr.ImageEditor:
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


def _result(task: Task) -> gr.Image:
    return gr.Image(
        label=task.output_label,
        format="png",
        interactive=False,
        buttons=["fullscreen"],
        height=_HEIGHT,
        alt_text=task.output_label,
        elem_classes="result",
    )


def _button_text(task: Task) -> str:
    return f"Make the {task.output_label.lower()}"


def _download_button(task: Task) -> gr.DownloadButton:
    return gr.DownloadButton(f"Download the {task.output_label.lower()} (PNG)", interactive=False)


def _gallery(samples: list[Path]) -> gr.Gallery:
    """Thumbnails to click on."""
    return gr.Gallery(
        [(str(path), path.stem.replace("-", " ").replace("_", " ")) for path in samples],
        label="Or try one of these",
        interactive=False,
        allow_preview=False,
        object_fit="contain",
        buttons=[],
        elem_classes="samples",
    )


def _about(engine: Engine, task: Task) -> str:
    """Plain words about sizes and terms."""
    spec = engine.spec
    given, made = task.input_label.lower(), task.output_label.lower()
    if spec.working_size is not None:
        size = (
            f"The model looks at the {given} at {spec.working_size} pixels on its longer side, so finer detail is "
            f"lost; the {made} comes back as large as the {given}."
        )
    elif spec.scale == 1:
        size = f"The {made} is as large as the {given}."
    else:
        size = f"The {made} is {spec.scale} times as wide and high as the {given}."
    known = "" if spec.training_data == "unknown" else f"It learnt from {spec.training_data}.\n\n"
    return f"{size}\n\n{known}Pictures stay on the computer that runs this page. Licence of the model: {spec.licence}."


@contextmanager
def _explained() -> Generator[None]:
    """Show the one line of a `TranslateError` on the page; anything else is a bug and keeps its traceback."""
    try:
        yield
    except TranslateError as error:
        # Gradio shows messages as HTML, and file names are the visitor's.
        raise gr.Error(html.escape(str(error)), title="That did not work", print_exception=False) from None
