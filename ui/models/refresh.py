"""Keeps the tabs of a page up to date with the models of the site, and with the choice that the browser remembers."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from translate.tasks import Task
from ui.models.tab import cards
from ui.site import Site
from ui.sketch.studio import settings
from ui.tab import TaskTab

_EVENT: dict[str, Any] = {
    "api_visibility": "private",
    "preprocess": False,
    "show_progress": "hidden",
    "concurrency_id": "models",
    "concurrency_limit": 1,
}
_REMEMBERED = "(_) => localStorage.getItem('translate.models') ?? '{}'"


@dataclass(frozen=True)
class Part:
    """The tab of a task."""

    task: Task
    tab: gr.Tab
    content: TaskTab | gr.HTML
    """Its widgets, or a canvas."""


class Refresh:
    """The events that bring models to the tabs of tasks.

    Args:
        page: what all this is on.
        site: with the models of now.
        tabs: all tabs; those of tasks have the name of the task as their id.
        parts: the tabs of tasks.
        shown: the cards of models, see `models_tab`.
    """

    def __init__(self, page: gr.Blocks, site: Site, tabs: gr.Tabs, parts: Sequence[Part], shown: gr.HTML) -> None:
        self._page, self._site, self._parts, self._tabs = page, site, parts, tabs
        self._remembered = gr.Textbox("", visible=False)
        self._selected = [content.model for content in self._contents()]
        self._first = [0 if content.models else None for content in self._contents()]
        self._outputs: list[Any] = [shown]
        for part in parts:
            self._outputs.append(part.tab)
            content = part.content
            self._outputs += [content.model, *content.controls] if isinstance(content, TaskTab) else [content]

    def on_load(self) -> Callable[..., Any]:
        """Look for new models when the page is loaded, and select those that were used last; returns what is next."""
        return self._page.load(self._loaded, self._remembered, self._outputs, js=_REMEMBERED, **_EVENT).then

    def on_use(self, component: gr.HTML) -> None:
        """Go to the tab of a model when `component` says so: its `select` has the `command` of the model."""
        used = component.select(self._used, self._selected, [self._tabs, *self._outputs], **_EVENT)
        for content in self._contents():
            content.follow(used.then)

    def on_more(self, event: Callable[..., Any]) -> None:
        """Look for new models at an event; what is selected stays so."""
        event(self._more, self._selected, self._outputs, **_EVENT)

    def _loaded(self, remembered: Any) -> list[Any]:
        try:
            found = json.loads(remembered or "{}")
        except (ValueError, TypeError, RecursionError):
            found = {}
        return self._now(found if isinstance(found, dict) else {}, self._first)

    def _used(self, event: gr.EventData, *selected: Any) -> list[Any]:
        command = event.command  # pyright: ignore[reportAttributeAccessIssue] - what the script has sent
        task = next((model.engine.spec.task for model in self._site.models if model.command == command), None)
        if task is None:
            return [gr.skip()] * (1 + len(self._outputs))
        return [gr.Tabs(selected=task), *self._now({task: command}, selected)]

    def _more(self, *selected: Any) -> list[Any]:
        return self._now({}, selected)

    def _now(self, chosen: dict[str, Any], selected: Sequence[Any]) -> list[Any]:
        """Values of the outputs.

        Args:
            chosen: commands by task, of the models to select.
            selected: places of the models that are selected, in the order of `_selected`; other tabs keep theirs, or
                begin with the first model if they had none.
        """
        if self._site.registry:
            self._site.registry.look()
            self._page.allowed_paths = self._site.sample_files()  # Gradio shows those of new models too
        values: list[Any] = [cards(self._site)]
        kept = iter(selected)
        for part in self._parts:
            models = self._site.of_task(part.task.name)
            values.append(gr.update(visible=bool(models)))
            if not isinstance(part.content, TaskTab):
                values.append(settings(part.task, models, self._site))
                continue
            known, wanted, now = [model.command for model in models], chosen.get(part.task.name), next(kept)
            place = known.index(wanted) if wanted in known else now or 0
            values += part.content.refreshed(None if place == now else place)
        return values

    def _contents(self) -> list[TaskTab]:
        return [part.content for part in self._parts if isinstance(part.content, TaskTab)]
