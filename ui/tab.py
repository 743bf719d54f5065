"""The tab of a task whose input is a file: its input, controls and result, and the events that connect them."""

import html
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from translate.errors import TranslateError
from translate.spec import ModelSpec
from translate.tasks import Task
from ui import actions, widgets
from ui.model import Model

# Every engine uses all cores, so two at once would only slow each other down: one queue for all tabs.
_ONE_AT_A_TIME: dict[str, Any] = {"concurrency_id": "engine", "concurrency_limit": 1}
# Programs should use the command line or the library; these events expect raw values from the page.
_EVENT: dict[str, Any] = {"api_visibility": "private", "preprocess": False, **_ONE_AT_A_TIME}


class Choices(NamedTuple):
    """The controls next to the picture: their raw values from the browser, or the widgets themselves."""

    model: Any
    """Index in the list of models."""
    label: Any
    style: Any
    detail: Any
    output_format: Any
    compared: Any
    """What is compared, a mapping with `strength`, or None before there is a result."""


class TaskTab:
    """The widgets of a task and their events.

    Args:
        task: the task.
        models: the models for the task; more may be added later, see `refreshed`. Controls that the selected model does
            not have are hidden.
        heading: whether to show the name of the task as a heading.
    """

    def __init__(self, task: Task, models: Sequence[Model], *, heading: bool) -> None:
        self.task, self.models = task, models
        # Without a model yet, the tab is hidden until there is one.
        spec = models[0].engine.spec if models else ModelSpec(name=task.name, task=task.name, architecture="")
        headline = f"# {widgets.title(task.name)}\n" if heading else ""
        gr.Markdown(f"{headline}{task.summary}.", elem_classes="intro")
        names = [(name, index) for index, name in enumerate(widgets.names(models))]
        self.model = model = widgets.choice("Model", names, len(models), visible=len(models) > 1, name="models")
        with gr.Row():
            with gr.Column(min_width=widgets.COLUMN):
                self.source = widgets.file(task)
                most = max((len(each.engine.spec.labels) for each in models), default=0)
                label = widgets.choice(
                    "What is it?", _labels(spec.labels), most, visible=bool(spec.labels), name="labels"
                )
                with gr.Row(visible=bool(spec.style_size), elem_classes="styles") as self.styles:
                    style = widgets.style_number()
                    self.random = gr.Button("Random style", min_width=120)
                    self.default = gr.Button("Default (0)", min_width=72)
                detail = widgets.detail(visible=spec.detail)
                output_format = widgets.output_format()
                self.button = gr.Button(f"Make the {task.output_label.lower()}", variant="primary")
                self.samples = widgets.gallery(models[0].samples if models else [])
            with gr.Column(min_width=widgets.COLUMN):
                self.result = widgets.before_and_after(task)
                self.notes = gr.HTML(visible=False, elem_classes="notes", apply_default_css=False)
                self.download = widgets.download(task)
        self.about = gr.Markdown(widgets.about(spec, task), elem_classes="about")
        self.choices = Choices(model, label, style, detail, output_format, self.result)
        self.controls = [label, self.styles, style, detail, self.samples, self.about]
        self.cache = Path(self.source.GRADIO_CACHE)
        self._connect()

    def _connect(self) -> None:
        model, label, style, detail, output_format, _ = self.choices
        inputs, outputs = [self.source, *self.choices], [self.result, self.notes, self.download]
        event: dict[str, Any] = {"show_progress_on": self.result, **_EVENT}
        self.button.click(self._on_run, inputs, outputs, **event)
        self.source.upload(self._on_run, inputs, outputs, **event)
        self.samples.select(self._on_sample, [*self.choices], [self.source, label, *outputs], **event)
        self.random.click(self._on_random_style, inputs, [style, *outputs], **event)
        self.default.click(self._on_default_style, inputs, [style, *outputs], **event)
        for changed in (label.input, style.submit, detail.release):
            changed(self._on_change, inputs, outputs, trigger_mode="always_last", **event)
        # What is shown stays, and is mixed already; only the file to download is made again.
        quiet = {**event, "show_progress_on": self.download, "trigger_mode": "always_last"}
        for changed in (output_format.input, self.result.release):
            changed(self._on_file, inputs, [self.notes, self.download], **quiet)
        model.input(self._on_model, model, self.controls, show_progress="hidden", **_EVENT).then(
            self._on_change, inputs, outputs, **event
        )

    def begin_with_example(self, when: Callable[..., Any]) -> None:
        """Show the first sample with its result `when` an event happens, if nothing is shown yet."""
        outputs = [self.source, self.choices.label, self.result, self.notes, self.download]
        when(self._on_first, [self.source, *self.choices], outputs, show_progress_on=self.result, **_EVENT)

    def refreshed(self, selected: int | None) -> list[Any]:
        """Values for the choice of models and `controls`: the models of now, and `selected`, or what was selected."""
        names = [(name, index) for index, name in enumerate(widgets.names(self.models))]
        shown = len(names) > 1
        if selected is None or not names:
            return [gr.update(choices=names, visible=shown), *[gr.skip()] * len(self.controls)]
        return [gr.update(choices=names, value=selected, visible=shown), *self._on_model(selected)]

    # --- event handlers: raw values in, values for the output components back

    def _on_run(self, value: Any, *raw: Any) -> list[Any]:
        with _user_errors():
            return self._run(value, Choices(*raw), _warn_missing)

    def _on_change(self, value: Any, *raw: Any) -> list[Any]:
        """A control was changed; if there is no picture yet, do nothing."""
        with _user_errors():
            return self._run(value, Choices(*raw), lambda: None)

    def _on_file(self, value: Any, *raw: Any) -> list[Any]:
        """Make only the file to download, in another format or strength."""
        choices = Choices(*raw)
        with _user_errors():
            if not value or not choices.compared:
                return [gr.skip(), gr.skip()]
            source = actions.uploaded_file(value, self.cache)
            return self._made(source, choices, choices.compared.get("strength", 1.0), shown=False)[1:]

    def _on_random_style(self, value: Any, *raw: Any) -> list[Any]:
        with _user_errors():
            style = actions.random_style()
            return [style, *self._run(value, Choices(*raw)._replace(style=style), _warn_missing)]

    def _on_default_style(self, value: Any, *raw: Any) -> list[Any]:
        with _user_errors():
            return [0, *self._run(value, Choices(*raw)._replace(style=0), lambda: None)]

    def _on_first(self, value: Any, *raw: Any) -> list[Any]:
        choices = Choices(*raw)
        if value or choices.compared or not self._model(choices).samples:
            return [gr.skip()] * 5
        return self._example(0, choices)

    def _on_sample(self, event: gr.SelectData, *raw: Any) -> list[Any]:
        return self._example(event.index, Choices(*raw))

    def _example(self, number: int, choices: Choices) -> list[Any]:
        model = self._model(choices)
        with _user_errors():
            sample = model.samples[number]
            label = model.engine.spec.label_of(sample.name) or choices.label
            source = actions.linked(sample, self.cache, sample.name)
            return [str(source), label, *self._show(source, choices._replace(label=label))]

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
        if not value:
            missing()
            return [gr.skip(), gr.skip(), gr.skip()]
        return self._show(actions.uploaded_file(value, self.cache), choices)

    def _show(self, source: Path, choices: Choices) -> list[Any]:
        """Before and after, notes, and the file to download; a new result begins with its full strength."""
        return self._made(source, choices, 1.0, shown=True)

    def _made(self, source: Path, choices: Choices, strength: Any, *, shown: bool) -> list[Any]:
        engine = self._model(choices).engine
        how = actions.conversion(engine.spec, *choices[1:5], strength)
        made = actions.make(engine, source, self.cache, how, shown=shown)
        compared = made.previews and widgets.compared(*made.previews, mixes=engine.spec.scale == 1)
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in made.notes)
        download = gr.DownloadButton(f"Download {made.result.name}", value=made.result, interactive=True)
        return [compared, gr.update(value=notes, visible=bool(notes)), download]

    def _model(self, choices: Choices) -> Model:
        return self.models[choices.model or 0]


def _warn_missing() -> None:
    gr.Warning("There is no picture yet: upload one first.")


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
