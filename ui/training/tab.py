"""The tab of training: choose pictures, look at them, train, watch, and make a model of it.

The tab is HTML of our own, which asks the routes below; the work is done by `ui.training.runs`.
"""

import asyncio
import base64
import json
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from translate.tasks import TASKS, Task
from ui import widgets
from ui.refused import Refused
from ui.requests import checked
from ui.training.plan import LAYOUTS, SIZES, Pictures, Plan, presets, starts
from ui.training.progress import Progress, sample_file, summary
from ui.training.runs import Runs

MAX_QUESTION_BYTES = 10_000
_FOLDER = Path(__file__).parent
Question = TypeVar("Question", bound=Pictures)
_SCRIPTS = ("../ask.js", "chart.js", "train.js")


def train_tab() -> gr.HTML:
    """The form and the runs; `change` is triggered when there is a new model, `select` when one is to be used."""
    return gr.HTML(
        {
            "tasks": [_task(task) for task in TASKS.values()],
            "layouts": list(LAYOUTS),
            "sizes": SIZES,
        },
        html_template=(_FOLDER / "train.html").read_text(encoding="utf-8"),
        js_on_load="\n".join((_FOLDER / name).read_text(encoding="utf-8") for name in _SCRIPTS),
        apply_default_css=False,
        elem_classes="train-tab",
    )


def _task(task: Task) -> dict[str, Any]:
    return {
        "name": task.name,
        "presets": presets(task),
        "starts": [
            {"name": name, "title": widgets.title(name), "presets": suited} for name, suited in starts(task).items()
        ],
        "pairs": task.paired and not task.makes_source,
        "labels": task.labels,
    }


class Training:
    """The requests of the tab.

    Args:
        runs: the trainings.
        cache: a folder for contact sheets.
    """

    def __init__(self, runs: Runs, cache: Path) -> None:
        self._runs, self._cache, self._progress = runs, cache, Progress()
        # Each takes all cores for a while: one after the other.
        self._checking, self._exporting = asyncio.Lock(), asyncio.Lock()

    def routes(self) -> list[BaseRoute]:
        """The routes, for the application that serves the page."""
        run = "/train/run/{name}"
        return [
            Route("/train/state", checked(self._state, 0), methods=["GET"]),
            Route("/train/check", checked(self._check, MAX_QUESTION_BYTES), methods=["POST"]),
            Route("/train/start", checked(self._start, MAX_QUESTION_BYTES), methods=["POST"]),
            Route(run, checked(self._run, 0), methods=["GET"]),
            Route(f"{run}/sample/{{number:number}}", checked(self._sample, 0), methods=["GET"]),
            Route(f"{run}/stop", checked(self._doing(self._runs.stop), 0), methods=["POST"]),
            Route(f"{run}/resume", checked(self._doing(self._runs.resume), 0), methods=["POST"]),
            Route(f"{run}/export", checked(self._export, 0), methods=["POST"]),
        ]

    async def _state(self, _: Request) -> Response:
        """The folders to choose from, and all runs."""

        def state() -> dict[str, Any]:
            root = self._runs.data_root
            folders = [
                {"name": one.name, "title": root.path.name if one.name == "." else one.name, "pictures": one.pictures}
                for one in root.folders()
            ]
            return {"folders": folders, "runs": [summary(run) for run in self._runs.all()]}

        return JSONResponse(await asyncio.to_thread(state))

    async def _check(self, request: Request) -> Response:
        """What is in a folder, what is wrong with it, and its contact sheet."""
        pictures = await _asked(request, Pictures)

        def check() -> dict[str, Any]:
            with tempfile.TemporaryDirectory(dir=self._cache) as folder:
                sheet = Path(folder) / "sheet.jpg"
                found = self._runs.check(pictures, sheet)
                data = sheet.read_bytes() if sheet.is_file() else b""
            return {**found, "sheet": f"data:image/jpeg;base64,{base64.b64encode(data).decode()}" if data else ""}

        async with self._checking:
            return JSONResponse(await asyncio.to_thread(check))

    async def _start(self, request: Request) -> Response:
        plan = await _asked(request, Plan)
        return JSONResponse(summary(await asyncio.to_thread(self._runs.start, plan)))

    async def _run(self, request: Request) -> Response:
        return JSONResponse(await asyncio.to_thread(self._shown, request.path_params["name"]))

    async def _sample(self, request: Request) -> Response:
        run = await asyncio.to_thread(self._runs.get, request.path_params["name"])
        return FileResponse(sample_file(run, request.path_params["number"]))

    async def _export(self, request: Request) -> Response:
        name = request.path_params["name"]
        async with self._exporting:
            await asyncio.to_thread(self._runs.export, name)
        return JSONResponse(await asyncio.to_thread(self._shown, name))

    def _doing(self, act: Callable[[str], object]) -> Callable[[Request], Awaitable[Response]]:
        async def done(request: Request) -> Response:
            name = request.path_params["name"]
            await asyncio.to_thread(act, name)
            return JSONResponse(await asyncio.to_thread(self._shown, name))

        return done

    def _shown(self, name: str) -> dict[str, Any]:
        return self._progress.of(self._runs.get(name), self._runs)


async def _asked(request: Request, kind: type[Question]) -> Question:
    """What the body of a request asks, as JSON: an object with fields of `kind`."""
    try:
        return kind(**json.loads(await request.body()))
    except (ValueError, TypeError, RecursionError):
        raise Refused("train.no_question") from None
