"""One task of the page: input, choices, before and after, and what happens on a click."""

import html
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from translate.engine import Engine
from translate.errors import TranslateError
from translate.images import READABLE, Picture, flatten, read_picture
from translate.tasks import Task
from ui import actions, widgets

# Every engine takes all cores, so two at once would only wait for each other: one line for all tabs.
_ONE_AT_A_TIME: dict[str, Any] = {"concurrency_id": "engine", "concurrency_limit": 1}
# The command line and the library are the interface for programs; these events expect the page's own values.
_EVENT: dict[str, Any] = {"api_visibility": "private", "preprocess": False, **_ONE_AT_A_TIME}


@dataclass(frozen=True)
class Model:
    """A model on the page and pictures to try it on."""

    engine: Engine
    samples: Sequence[Path]


class Choices(NamedTuple):
    """What is set beside the picture: raw values of the browser, or the widgets they come from."""

    model: Any
    """Place in the list of models."""
    label: Any
    look: Any
    detail: Any


class TaskTab:
    """The widgets of a task and their events.

    Args:
        task: what the tab does; with `draws_input` there is a sheet to draw on, else a place to drop a picture.
        models: those that do it, at least one. Choices that the chosen model does not have are hidden.
        heading: whether the tab needs a title of its own.
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
                        # The canvas has an upload of its own, but it hides behind two clicks and says nothing about
                        # bad files.
                        self.upload = gr.UploadButton(
                            f"Upload a {task.input_label.lower()}", file_types=sorted(READABLE), min_width=120
                        )
                    self.button = gr.Button(f"Make the {task.output_label.lower()}", variant="primary", min_width=120)
                self.samples = widgets.gallery(models[0].samples)
            with gr.Column(min_width=widgets.COLUMN):
                self.result = widgets.before_and_after(task)
                with gr.Row(visible=bool(spec.style_size), elem_classes="looks") as self.looks:
                    look = widgets.look_number()
                    self.another = gr.Button("Another look", min_width=120)
                    self.plain = gr.Button("Plain (0)", min_width=72)
                detail = widgets.detail(visible=spec.detail)
                self.download = widgets.download(task)
        self.about = gr.Markdown(widgets.about(spec, task), elem_classes="about")
        self.choices = Choices(model, label, look, detail)
        self.cache = Path(self.source.GRADIO_CACHE)
        self._connect()

    def _connect(self) -> None:
        model, label, look, detail = self.choices
        given, shown = [self.source, *self.choices], [self.result, self.download]
        seen: dict[str, Any] = {"show_progress_on": self.result, **_EVENT}
        self.button.click(self._make, given, shown, **seen)
        if self.task.draws_input:
            inputs = [self.upload, *self.choices]
            self.upload.upload(self._take_upload, inputs, [self.source, *shown], **seen)
        self.samples.select(self._try_sample, [*self.choices], [self.source, label, *shown], **seen)
        self.another.click(self._another_look, given, [look, *shown], **seen)
        self.plain.click(self._plain_look, given, [look, *shown], **seen)
        for turned in (label.input, look.submit, detail.release):
            turned(self._again, given, shown, trigger_mode="always_last", **seen)
        if len(self.models) > 1:
            offered = [label, self.looks, look, detail, self.samples, self.about]
            model.input(self._offer, model, offered, show_progress="hidden", **_EVENT).then(
                self._again, given, shown, **seen
            )

    # --- what the events call: raw values in, values of the outputs back

    def _make(self, value: Any, *raw: Any) -> list[Any]:
        with _explained():
            return self._of_input(value, Choices(*raw), self._missing)

    def _again(self, value: Any, *raw: Any) -> list[Any]:
        """After a choice was changed; where there is no picture yet, nothing is missing."""
        with _explained():
            return self._of_input(value, Choices(*raw), lambda: None)

    def _another_look(self, value: Any, *raw: Any) -> list[Any]:
        with _explained():
            look = actions.random_look()
            return [look, *self._of_input(value, Choices(*raw)._replace(look=look), self._missing)]

    def _plain_look(self, value: Any, *raw: Any) -> list[Any]:
        with _explained():
            return [0, *self._of_input(value, Choices(*raw)._replace(look=0), lambda: None)]

    def _take_upload(self, value: Any, *raw: Any) -> list[Any]:
        choices = Choices(*raw)
        with _explained():
            picture = actions.uploaded_picture(value, self._model(choices).engine, self.cache)
            return [self._lay_down(picture), *self._show(picture, choices)]

    def _try_sample(self, event: gr.SelectData, *raw: Any) -> list[Any]:
        choices = Choices(*raw)
        model = self._model(choices)
        with _explained():
            path = model.samples[event.index]
            label = model.engine.spec.label_of(path.name) or choices.label
            picture = read_picture(path)
            shown = self._show(picture, choices._replace(label=label))
            return [self._lay_down(picture), label, *shown]

    def _offer(self, place: Any) -> list[Any]:
        """Show the choices of another model."""
        model = self.models[place]
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

    # --- what they share

    def _of_input(self, value: Any, choices: Choices, missing: Callable[[], None]) -> list[Any]:
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

    def _missing(self) -> None:
        if self.task.draws_input:
            gr.Warning(f"The {self.task.input_label.lower()} is empty: draw something or upload a picture first.")
        else:
            gr.Warning("There is no picture yet: upload one first.")

    def _show(self, picture: Picture, choices: Choices) -> list[Any]:
        """Before and after, and the file to download."""
        engine = self._model(choices).engine
        if self.task.draws_input:
            picture = Picture(flatten(picture))  # whatever is transparent is paper, and paper is white
        knobs = actions.knobs(engine.spec, choices.label, choices.look, choices.detail)
        before, after = actions.translate(engine, picture, self.cache, self.task.input_label, knobs)
        return [(str(before), str(after)), gr.DownloadButton(value=after, interactive=True)]

    def _lay_down(self, picture: Picture) -> Any:
        """The picture as a value of the input."""
        path = str(actions.save(picture, self.cache, self.task.input_label))
        return {"background": path, "layers": [], "composite": path} if self.task.draws_input else path

    def _model(self, choices: Choices) -> Model:
        return self.models[choices.model or 0]

    def _names(self) -> list[tuple[str, int]]:
        """What the models are called, and their places."""
        names = [model.engine.spec.name for model in self.models]
        return [
            (widgets.title(name) if names.count(name) == 1 else f"{widgets.title(name)} ({place + 1})", place)
            for place, name in enumerate(names)
        ]


def _labels(labels: Sequence[str]) -> list[tuple[str, str]]:
    return [(widgets.title(label), label) for label in labels]


@contextmanager
def _explained() -> Generator[None]:
    """Show the one line of a `TranslateError` on the page; anything else is a bug and keeps its traceback."""
    try:
        yield
    except TranslateError as error:
        # Gradio shows messages as HTML, and file names are the visitor's.
        raise gr.Error(html.escape(str(error)), title="That did not work", print_exception=False) from None
