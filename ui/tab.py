"""The tab of a task whose input is a file: its input, controls and result, and the events that connect them."""

import html
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from translate.credentials.identity import OFF
from translate.errors import TranslateError
from translate.inference.engine import Engine
from translate.inference.kept import KeepingEngine
from translate.spec import ModelSpec
from translate.tasks import Task
from ui import actions, widgets
from ui.model import Model
from ui.site import Site
from ui.words import text, title, word

# An engine uses all cores, so two at once mostly slow each other down: one queue for all tabs, see `Limits.at_once`.
# Programs have functions of their own (`ui.serving.programs`); these events expect raw values from the page.
_EVENT: dict[str, Any] = {"api_visibility": "private", "preprocess": False, "concurrency_id": "engine"}
# What fills in controls does not wait for an engine: until it is there, what users choose would be written over.
_QUICK: dict[str, Any] = {
    "api_visibility": "private",
    "preprocess": False,
    "show_progress": "hidden",
    "concurrency_id": "controls",
    "concurrency_limit": 1,
}


class Choices(NamedTuple):
    """The controls next to the picture: their raw values from the browser, or the widgets themselves."""

    model: Any
    """Index in the list of models."""
    label: Any
    style: Any
    detail: Any
    output_format: Any
    credentials: Any
    """Whether the file to download is to hold them."""
    compared: Any
    """What is compared, a mapping with `strength`, or None before there is a result."""


class TaskTab:
    """The widgets of a task and their events.

    Args:
        task: the task.
        models: the models for the task; more may be added later, see `refreshed`. Controls that the selected model does
            not have are hidden.
        heading: whether to show the name of the task as a heading.
        site: says how large uploads may be, and what signs results.
    """

    def __init__(self, task: Task, models: Sequence[Model], *, heading: bool, site: Site) -> None:
        self.task, self.models, self.site = task, models, site
        # Without a model yet, the tab is hidden until there is one.
        spec = models[0].engine.spec if models else ModelSpec(name=task.name, task=task.name, architecture="")
        widgets.intro(task, heading=heading)
        names = [(name, index) for index, name in enumerate(widgets.names(models))]
        with gr.Row(elem_classes="work"):
            with gr.Column(min_width=widgets.COLUMN):
                self.source = widgets.source()
                widgets.drop_hint()
                model = widgets.choice(word("choice.model"), names, len(models), visible=len(models) > 1, name="models")
                self.model = model
                most = max((len(each.engine.spec.labels) for each in models), default=0)
                label = widgets.choice(
                    word("choice.label"), _labels(spec.labels), most, visible=bool(spec.labels), name="labels"
                )
                with gr.Row(visible=bool(spec.style_size), elem_classes="styles") as self.styles:
                    style = widgets.style_number()
                    self.random = gr.Button(word("tab.random_style"), min_width=120)
                    self.default = gr.Button(word("tab.default_style"), min_width=72)
                detail = widgets.detail(visible=spec.detail)
                self.samples = widgets.gallery(models[0].samples if models else [])
            with gr.Column(min_width=widgets.COLUMN, scale=2):
                self.result = widgets.before_and_after(task)
                self.notes = gr.HTML(visible=False, elem_classes="notes", apply_default_css=False)
                with gr.Row(elem_classes="save"):
                    output_format = widgets.output_format()
                    credentials = widgets.credentials(visible=site.credentials != OFF)
                    self.download = widgets.download(task)
        self.about = widgets.about_box(spec)
        self.newest = gr.State()  # where the newest result is; what is shown in the browser may still be an older one
        self.choices = Choices(model, label, style, detail, output_format, credentials, self.result)
        self.inputs = [self.source, *self.choices]
        self.outputs = [self.result, self.notes, self.download, self.newest]
        self.controls = [label, self.styles, style, detail, self.samples, self.about]
        self.cache = Path(self.source.GRADIO_CACHE)
        self._engines: dict[Engine, Engine] = {}
        self._connect()

    def _connect(self) -> None:
        model, label, style, detail, output_format, credentials, _ = self.choices
        inputs, outputs = self.inputs, self.outputs
        # What is asked for while a result is made is made next, as the controls are then.
        last: dict[str, Any] = {"trigger_mode": "always_last"}
        event: dict[str, Any] = {"show_progress_on": self.result, **last, **_EVENT}
        for changed in (label.input, style.submit, detail.release):
            changed(self._on_run, inputs, outputs, **event)
        # With "always_last", a picture that comes while a broken one is read would be forgotten.
        self.source.upload(self._on_run, inputs, outputs, **{**event, "trigger_mode": "multiple"})
        filled = [
            # With "always_last", the second of two would be the first once more.
            self.samples.select(
                self._on_sample, [*self.choices], [self.source, label], trigger_mode="multiple", **_QUICK
            ),
            self.random.click(actions.random_style, None, style, **last, **_QUICK),
            self.default.click(lambda: 0, None, style, **last, **_QUICK),
        ]
        suggested = self.result.select(_on_suggested, self.result, model, **_QUICK)
        for chosen in (model.input, suggested.then):
            filled.append(chosen(self._on_model, model, self.controls, **last, **_QUICK))
        for known in filled:
            known.then(self._on_run, inputs, outputs, **event)
        # What is shown stays, and is mixed already; only the file to download is made again.
        quiet = {**event, "show_progress_on": self.download}
        for changed in (output_format.input, credentials.input, self.result.release):
            changed(self._on_file, [*inputs, self.newest], [self.notes, self.download], **quiet)

    def begin_with_example(self, when: Callable[..., Any]) -> None:
        """Show the first sample with its result `when` an event happens, if nothing is shown yet."""
        known = when(self._on_first, self.inputs, [self.source, self.choices.label], **_QUICK)
        known.then(self._on_first_run, self.inputs, self.outputs, show_progress_on=self.result, **_EVENT)

    def follow(self, event: Callable[..., Any]) -> None:
        """Make what is shown again after an `event` that may have selected another model."""
        event(self._on_other_model, self.inputs, self.outputs, show_progress_on=self.result, **_EVENT)

    def refreshed(self, selected: int | None) -> list[Any]:
        """Values for the choice of models and `controls`: the models of now, and `selected`, or what was selected."""
        names = widgets.worded([(name, index) for index, name in enumerate(widgets.names(self.models))])
        shown = len(names) > 1
        if selected is None or not names:
            return [gr.update(choices=names, visible=shown), *[gr.skip()] * len(self.controls)]
        return [gr.update(choices=names, value=selected, visible=shown), *self._on_model(selected)]

    # --- event handlers: raw values in, values for the output components back

    def _on_run(self, request: gr.Request, value: Any, *raw: Any) -> list[Any]:
        """There is another picture, or a control was changed; if there is no picture yet, do nothing."""
        with _user_errors(request):
            return self._run(request, value, Choices(*raw))

    def _on_file(self, request: gr.Request, value: Any, *raw: Any) -> list[Any]:
        """Make only the file to download, in another format or strength, or with or without credentials."""
        *chosen, newest = raw
        choices = Choices(*chosen)
        with _user_errors(request):
            if not value or not choices.compared:
                return [gr.skip(), gr.skip()]
            source = actions.uploaded_file(value, self.cache)
            # The strength of a result that was replaced meanwhile is not that of the new one.
            mixed = newest in (None, choices.compared.get("after"))
            strength = choices.compared.get("strength", 1.0) if mixed else 1.0
            return self._made(request, source, choices, strength, shown=False)[1:]

    def _on_first(self, request: gr.Request, value: Any, *raw: Any) -> list[Any]:
        choices = Choices(*raw)
        if value or choices.compared or not self._model(choices).samples:
            return [gr.skip(), gr.skip()]
        return self._example(request, 0, choices)

    def _on_first_run(self, request: gr.Request, value: Any, *raw: Any) -> list[Any]:
        if Choices(*raw).compared:
            return [gr.skip()] * 4
        return self._on_run(request, value, *raw)

    def _on_other_model(self, request: gr.Request, value: Any, *raw: Any) -> list[Any]:
        choices = Choices(*raw)
        if not choices.compared or choices.compared.get("model") == choices.model:
            return [gr.skip()] * 4
        return self._on_run(request, value, *raw)

    def _on_sample(self, request: gr.Request, event: gr.SelectData, *raw: Any) -> list[Any]:
        return self._example(request, event.index, Choices(*raw))

    def _example(self, request: gr.Request, number: int, choices: Choices) -> list[Any]:
        """A sample picture, and its label."""
        model = self._model(choices)
        with _user_errors(request):
            sample = model.samples[number]
            label = model.engine.spec.label_of(sample.name)
            return [str(actions.linked(sample, self.cache, sample.name)), label or gr.skip()]

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
            widgets.about(spec),
        ]

    # --- helpers of the event handlers

    def _run(self, request: gr.Request, value: Any, choices: Choices) -> list[Any]:
        if not value:
            return [gr.skip()] * 4
        return self._show(request, actions.uploaded_file(value, self.cache), choices)

    def _show(self, request: gr.Request, source: Path, choices: Choices) -> list[Any]:
        """Before and after, notes, the file to download, and the newest result, which begins with its full strength."""
        compared, *others = self._made(request, source, choices, 1.0, shown=True)
        return [compared, *others, compared and compared["after"]]

    def _made(self, request: gr.Request, source: Path, choices: Choices, strength: Any, *, shown: bool) -> list[Any]:
        engine = self._engine(choices)
        signed = self.site.signed(bool(choices.credentials))
        how = actions.conversion(engine.spec, *choices[1:5], strength, signed)
        most = self.site.limits.pixels
        made = actions.make(engine, source, self.cache, how, shown=shown, most_pixels=most, request=request)
        compared = None
        if made.shown:
            suggestion = self._suggestion(self._model(choices), made.shown.traces)
            model, enlarges = choices.model or 0, engine.spec.scale > 1
            compared = widgets.compared(made.shown, model=model, enlarges=enlarges, suggestion=suggestion)
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in made.notes)
        download = gr.DownloadButton(
            text("tab.download", request, name=made.result.name), value=made.result, interactive=True
        )
        return [compared, gr.update(value=notes, visible=bool(notes)), download]

    def _suggestion(self, model: Model, traces: bool) -> tuple[str, int] | None:
        """A model for enlarging that suits a picture with or without traces of compression better: why, and its index;
        None if there is none or this one suits."""
        specs = [other.engine.spec for other in self.models]
        suited = [index for index, spec in enumerate(specs) if spec.scale > 1 and spec.restores == traces]
        spec = model.engine.spec
        if spec.scale == 1 or spec.restores == traces or not suited:
            return None
        return "compare.traces" if traces else "compare.no_traces", suited[0]

    def _model(self, choices: Choices) -> Model:
        return self.models[choices.model or 0]

    def _engine(self, choices: Choices) -> Engine:
        """Of the chosen model; results that can be mixed are kept: another strength does not run the model again."""
        engine = self._model(choices).engine
        if engine.spec.scale > 1:
            return engine
        return self._engines.setdefault(engine, KeepingEngine(engine, self.cache / "kept"))


def _on_suggested(compared: Any) -> Any:
    return compared["suggestion"]["model"]


def _labels(labels: Sequence[str]) -> list[tuple[str, str]]:
    return [(title(label), label) for label in labels]


@contextmanager
def _user_errors(request: gr.Request) -> Generator[None]:
    """Show the message of a `TranslateError` on the page; any other exception is a bug and keeps its traceback."""
    try:
        yield
    except TranslateError as error:
        # Gradio shows messages as HTML, and file names come from the user.
        raise gr.Error(html.escape(str(error)), title=text("page.failed", request), print_exception=False) from None
