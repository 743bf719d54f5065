"""The tab of a task: its input, controls and result, and the events that connect them."""

import html
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from translate.errors import TranslateError
from translate.inference.engine import Engine
from translate.pictures.operations import READABLE, Picture, flatten, read_picture
from translate.tasks import Task
from ui import actions, widgets

# Every engine uses all cores, so two at once would only slow each other down: one queue for all tabs.
_ONE_AT_A_TIME: dict[str, Any] = {"concurrency_id": "engine", "concurrency_limit": 1}
# Programs should use the command line or the library; these events expect raw values from the page.
_EVENT: dict[str, Any] = {"api_visibility": "private", "preprocess": False, **_ONE_AT_A_TIME}


@dataclass(frozen=True)
class Model:
    """A model on the page, with its sample pictures."""

    engine: Engine
    samples: Sequence[Path]


class Choices(NamedTuple):
    """The controls next to the picture: their raw values from the browser, or the widgets themselves."""

    model: Any
    """Index in the list of models."""
    label: Any
    style: Any
    detail: Any


class TaskTab:
    """The widgets of a task and their events.

    Args:
        task: the task; with `draws_input` the input is a canvas, otherwise an image upload.
        models: at least one model for the task. Controls that the selected model does not have are hidden.
        heading: whether to show the name of the task as a heading.
    """

    def __init__(self, task: Task, models: Sequence[Model], *, heading: bool) -> None:
        self.task, self.models = task, models
        spec = models[0].engine.spec
        headline = f"# {widgets.title(task.name)}\n" if heading else ""
        gr.Markdown(f"{headline}{task.summary}.", elem_classes="intro")
        model = widgets.choice("Model", self._names(), len(models), visible=len(models) > 1, name="models")
        with gr.Row():
            with gr.Column(min_width=widgets.COLUMN):
                self.source = widgets.canvas(task) if task.draws_input else widgets.picture(task)
                most = max(len(each.engine.spec.labels) for each in models)
                label = widgets.choice(
                    "What is it?", _labels(spec.labels), most, visible=bool(spec.labels), name="labels"
                )
                with gr.Row():
                    if task.draws_input:
                        # The canvas has its own upload, but that takes two clicks and does not report unusable files.
                        self.upload = gr.UploadButton(
                            f"Upload a {task.input_label.lower()}", file_types=sorted(READABLE), min_width=120
                        )
                    self.button = gr.Button(f"Make the {task.output_label.lower()}", variant="primary", min_width=120)
                self.samples = widgets.gallery(models[0].samples)
            with gr.Column(min_width=widgets.COLUMN):
                self.result = widgets.before_and_after(task)
                with gr.Row(visible=bool(spec.style_size), elem_classes="styles") as self.styles:
                    style = widgets.style_number()
                    self.random = gr.Button("Random style", min_width=120)
                    self.default = gr.Button("Default (0)", min_width=72)
                detail = widgets.detail(visible=spec.detail)
                self.download = widgets.download(task)
        self.about = gr.Markdown(widgets.about(spec, task), elem_classes="about")
        self.choices = Choices(model, label, style, detail)
        self.cache = Path(self.source.GRADIO_CACHE)
        self._connect()

    def _connect(self) -> None:
        model, label, style, detail = self.choices
        inputs, outputs = [self.source, *self.choices], [self.result, self.download]
        event: dict[str, Any] = {"show_progress_on": self.result, **_EVENT}
        self.button.click(self._on_run, inputs, outputs, **event)
        if self.task.draws_input:
            self.upload.upload(self._on_upload, [self.upload, *self.choices], [self.source, *outputs], **event)
        self.samples.select(self._on_sample, [*self.choices], [self.source, label, *outputs], **event)
        self.random.click(self._on_random_style, inputs, [style, *outputs], **event)
        self.default.click(self._on_default_style, inputs, [style, *outputs], **event)
        for changed in (label.input, style.submit, detail.release):
            changed(self._on_change, inputs, outputs, trigger_mode="always_last", **event)
        if len(self.models) > 1:
            controls = [label, self.styles, style, detail, self.samples, self.about]
            model.input(self._on_model, model, controls, show_progress="hidden", **_EVENT).then(
                self._on_change, inputs, outputs, **event
            )

    # --- event handlers: raw values in, values for the output components back

    def _on_run(self, value: Any, *raw: Any) -> list[Any]:
        with _user_errors():
            return self._run(value, Choices(*raw), self._warn_missing)

    def _on_change(self, value: Any, *raw: Any) -> list[Any]:
        """A control was changed; if there is no picture yet, do nothing."""
        with _user_errors():
            return self._run(value, Choices(*raw), lambda: None)

    def _on_random_style(self, value: Any, *raw: Any) -> list[Any]:
        with _user_errors():
            style = actions.random_style()
            return [style, *self._run(value, Choices(*raw)._replace(style=style), self._warn_missing)]

    def _on_default_style(self, value: Any, *raw: Any) -> list[Any]:
        with _user_errors():
            return [0, *self._run(value, Choices(*raw)._replace(style=0), lambda: None)]

    def _on_upload(self, value: Any, *raw: Any) -> list[Any]:
        choices = Choices(*raw)
        with _user_errors():
            picture = actions.uploaded_picture(value, self._model(choices).engine, self.cache)
            return [self._input_value(picture), *self._show(picture, choices)]

    def _on_sample(self, event: gr.SelectData, *raw: Any) -> list[Any]:
        choices = Choices(*raw)
        model = self._model(choices)
        with _user_errors():
            path = model.samples[event.index]
            label = model.engine.spec.label_of(path.name) or choices.label
            picture = read_picture(path)
            shown = self._show(picture, choices._replace(label=label))
            return [self._input_value(picture), label, *shown]

    def _on_model(self, index: Any) -> list[Any]:
        """Show the controls of another model."""
        model = self.models[index]
        spec = model.engine.spec
        labels = _labels(spec.labels)
        return [
            gr.update(choices=labels, value=labels[0][1] if labels else None, visible=bool(labels)),
            gr.update(visible=bool(spec.style_size)),
            0,
            gr.update(value=0, visible=spec.detail),
            gr.update(value=widgets.thumbnails(model.samples), visible=bool(model.samples)),
            widgets.about(spec, self.task),
        ]

    # --- helpers of the event handlers

    def _run(self, value: Any, choices: Choices, missing: Callable[[], None]) -> list[Any]:
        engine = self._model(choices).engine
        if isinstance(self.source, gr.ImageEditor):
            picture = actions.drawn_picture(value, self.source.blob_storage, engine, self.cache)
            if picture is not None and actions.is_blank(picture):
                picture = None
        else:
            picture = actions.uploaded_picture(value, engine, self.cache) if value else None
        if picture is None:
            missing()
            return [gr.skip(), gr.skip()]
        return self._show(picture, choices)

    def _warn_missing(self) -> None:
        if self.task.draws_input:
            gr.Warning(f"The {self.task.input_label.lower()} is empty: draw something or upload a picture first.")
        else:
            gr.Warning("There is no picture yet: upload one first.")

    def _show(self, picture: Picture, choices: Choices) -> list[Any]:
        """Before and after, and the file to download."""
        engine = self._model(choices).engine
        if self.task.draws_input:
            picture = Picture(flatten(picture))  # transparent areas are white paper
        controls = actions.controls(engine.spec, choices.label, choices.style, choices.detail)
        before, after = actions.translate(engine, picture, self.cache, self.task.input_label, controls)
        return [(str(before), str(after)), gr.DownloadButton(value=after, interactive=True)]

    def _input_value(self, picture: Picture) -> Any:
        """The picture as a value of the input component."""
        path = str(actions.save(picture, self.cache, self.task.input_label))
        return {"background": path, "layers": [], "composite": path} if self.task.draws_input else path

    def _model(self, choices: Choices) -> Model:
        return self.models[choices.model or 0]

    def _names(self) -> list[tuple[str, int]]:
        """Names of the models, with their indices."""
        names = [model.engine.spec.name for model in self.models]
        return [
            (widgets.title(name) if names.count(name) == 1 else f"{widgets.title(name)} ({index + 1})", index)
            for index, name in enumerate(names)
        ]


def _labels(labels: Sequence[str]) -> list[tuple[str, str]]:
    return [(widgets.title(label), label) for label in labels]


@contextmanager
def _user_errors() -> Generator[None]:
    """Show the message of a `TranslateError` on the page; any other exception is a bug and keeps its traceback."""
    try:
        yield
    except TranslateError as error:
        # Gradio shows messages as HTML, and file names come from the user.
        raise gr.Error(html.escape(str(error)), title="Conversion failed", print_exception=False) from None
