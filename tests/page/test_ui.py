"""The page without a browser: what the buttons do, and how the command ends when it cannot begin."""

import dataclasses
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from conftest import BUILDS_PAGES, DOUBLE, INVERT, save_model
from PIL import Image
from test_engine import ALL, save_sum

from translate.conversion.worker import Conversion
from translate.errors import ConfigError, ImageError, ModelError, TranslateError
from translate.inference import models
from translate.inference.engine import Engine
from translate.spec import ModelSpec
from translate.tasks import TASKS
from ui import actions
from ui.app import build_page
from ui.command import UiOptions, check_free, load, main
from ui.model import models_of, picture_files
from ui.site import Limits, Site
from ui.sketch.studio import settings
from ui.tab import TaskTab
from ui.words import WORDS, title, word

pytestmark = BUILDS_PAGES


@pytest.fixture
def engine(invert_model: Path) -> Engine:
    return Engine(invert_model, threads=1)


def page_of(engines: list[tuple[Engine, Path]]) -> gr.Blocks:
    return build_page(Site(models_of(engines), Path("unused")))


WITHOUT_TORCH = """
import inspect, sys, threading
sys.modules.update(torch=None, onnx=None)
import ui.command
getfile = inspect.getfile
ui.command.import_gradio()
assert (inspect.getfile, {"mcp", "jsonschema"} & {*sys.modules}) == (getfile, set())
import ui.app
assert threading.active_count() == 1
"""


def test_without_torch_and_what_else_gradio_would_import() -> None:
    subprocess.run([sys.executable, "-c", WITHOUT_TORCH], check=True, timeout=120)


def test_help_without_gradio() -> None:
    code = "import sys; sys.modules.update(gradio=None); import ui.command; ui.command.main(['--help'])"
    shown = subprocess.run([sys.executable, "-c", code], check=True, timeout=120, capture_output=True, text=True)
    assert "--port" in shown.stdout


def test_only_uploads_are_read(tmp_path: Path) -> None:
    private = tmp_path / "private.png"
    Image.new("RGB", (32, 32)).save(private)
    for path in (private, tmp_path / "cache" / ".." / "private.png", tmp_path / "cache" / "none.png"):
        with pytest.raises(ImageError, match=r"^mine\.png: not an uploaded file; upload it again$"):
            actions.uploaded_file({"path": str(path), "orig_name": "mine.png"}, tmp_path / "cache")


def test_uploads_get_their_names_back_and_lie_apart(tmp_path: Path) -> None:
    (tmp_path / "0a1b").mkdir()
    stored = tmp_path / "0a1b" / "mypicture.png"
    stored.write_bytes(b"1")
    value = {"path": str(stored), "orig_name": "my: picture.png"}
    found = [actions.uploaded_file(value, tmp_path) for _ in range(2)]
    assert [path.name for path in found] == ["my- picture.png"] * 2
    assert found[0].parent != found[1].parent
    assert found[0].read_bytes() == b"1"


def test_only_choices_that_the_model_has_are_taken() -> None:
    spec = dataclasses.replace(ALL, style_size=3)
    plain = Conversion(name="{stem}-{model}")
    assert actions.conversion(INVERT, "x", 3, 0.5, "same") == plain
    found = actions.conversion(spec, "dusk", 3, 0.5, "webp", 0.25)
    chosen = {"label": "dusk", "style": 3, "detail": 0.5, "strength": 0.25}
    assert found == dataclasses.replace(plain, **chosen, output_format="webp")
    assert actions.conversion(DOUBLE, None, None, None, "same", 0.25) == plain  # it enlarges
    assert actions.conversion(spec, None, None, None, "same") == dataclasses.replace(plain, style=0)
    with pytest.raises(ConfigError, match=r"^the format exe is unknown"):
        actions.conversion(INVERT, None, None, None, "exe")
    assert all(1 <= actions.random_style() <= 9999 for _ in range(100))


@pytest.mark.parametrize("style", [-1, 0.5, float("nan"), float("inf"), 1 << 32])
def test_invalid_styles(style: float) -> None:
    with pytest.raises(
        ConfigError, match=r"^the style is .*; give a whole number from 0 \(the default\) to 4294967295$"
    ):
        actions.conversion(ALL, None, style, None, "same")


def test_samples(tmp_path: Path, image_HWC: np.ndarray) -> None:
    assert picture_files(tmp_path / "none") == []
    for name in ("b.png", "a.JPG", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in picture_files(tmp_path)] == ["a.JPG", "b.png"]


def words(page: gr.Blocks) -> str:
    """What is in the page, in English; as the browser puts it together."""
    names = ("value", "label", "html_template")
    parts = (str(getattr(block, name, "")) for block in page.blocks.values() for name in names)
    looked_up = r'\$\{word\("(.*?)"\)\}|__i18n__\{.*?"key": "(.*?)"\}'
    return re.sub(looked_up, lambda found: WORDS[found[1] or found[2]][0], "\n".join(parts))


def test_page_of_one_model_says_what_it_is(tmp_path: Path) -> None:
    spec = ModelSpec(name="sketch-to-photo", task="sketch-to-photo", architecture="", working_size=256, licence="CC0")
    page = page_of([(Engine(save_model(tmp_path / "m.onnx", spec)), tmp_path)])
    text = words(page)
    assert page.title == "Sketch to photo"
    assert not any(isinstance(block, gr.Tab) for block in page.blocks.values())
    assert "<h1>Sketch to photo</h1>" in text
    assert "Turn a line drawing into a photograph." in text
    assert "Download the photo" in text
    assert "['about.working_size', {'pixels': 256}]" in text
    assert "CC0" in text


def test_page_has_a_tab_per_task_in_the_order_of_tasks(engine: Engine, double_model: Path, tmp_path: Path) -> None:
    night = Engine(save_model(tmp_path / "n.onnx", ModelSpec(name="n", task="night-to-day", architecture="")))
    page = page_of([(Engine(double_model), tmp_path), (night, tmp_path), (engine, tmp_path), (engine, tmp_path)])
    tabs = [block.id for block in page.blocks.values() if isinstance(block, gr.Tab)]
    assert tabs == ["sketch-to-photo", "night-to-day", "super-resolution", "models"]
    assert page.title == "Translate pictures"
    assert sum("result" in (block.elem_classes or []) for block in page.blocks.values()) == 2
    text = words(page)
    assert "['about.scale', {'scale': 2}]" in text
    assert "'about.same_size'" in text
    choices = [block for block in page.blocks.values() if "models" in (block.elem_classes or [])]
    assert [(block.visible, [name for name, _ in block.choices]) for block in choices] == [
        (False, ["N"]),
        (False, ["Double"]),
    ]
    (drawn,) = [block.value for block in page.blocks.values() if "sketch" in (block.elem_classes or [])]
    assert [(model["title"], model["index"]) for model in drawn["models"]] == [("Invert (1)", 2), ("Invert (2)", 3)]


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_a_page(task: str, tmp_path: Path) -> None:
    spec = ModelSpec(name="m", task=task, architecture="")
    text = words(page_of([(Engine(save_model(tmp_path / "m.onnx", spec)), tmp_path)]))
    assert TASKS[task].summary in text
    assert f"Download the {TASKS[task].output_label.lower()}" in text
    assert "Open a picture" in text
    assert "@" not in "".join(line for line in text.splitlines() if "<" in line)  # every token has become a word


def choices_shown(page: gr.Blocks) -> dict[str, bool]:
    """The choices of a page of one task, and which of them are shown."""
    rows = [block for block in page.blocks.values() if getattr(block, "elem_classes", None) == ["styles"]]
    names = {"Model": "choice.model", "What is it?": "choice.label", "Fine detail": "tab.detail"}
    labelled = {str(getattr(block, "label", None)): block for block in page.blocks.values()}
    return {"Style": rows[0].visible, **{name: labelled[str(word(key))].visible for name, key in names.items()}}


def scene(spec: ModelSpec, **changes: Any) -> ModelSpec:
    return dataclasses.replace(spec, task="day-to-night", **changes)


@pytest.mark.parametrize(
    ("specs", "shown"),
    [
        ([scene(INVERT)], set()),
        ([scene(INVERT), scene(ALL)], {"Model"}),
        ([scene(ALL, labels=())], {"Style", "Fine detail"}),
        ([scene(ALL, style_size=0, detail=False)], {"What is it?"}),
        ([scene(ALL), scene(INVERT)], {"Model", "What is it?", "Style", "Fine detail"}),
    ],
)
def test_choices_are_shown_only_where_the_model_has_them(
    specs: list[ModelSpec], shown: set[str], tmp_path: Path
) -> None:
    engines = [(Engine(save_sum(tmp_path / "m.onnx", spec)), tmp_path) for spec in specs]
    found = choices_shown(page_of(engines))
    assert {name for name, visible in found.items() if visible} == shown


def test_many_labels_are_a_list(tmp_path: Path) -> None:
    spec = scene(INVERT, labels=tuple(f"kind{number}" for number in range(7)))
    page = page_of([(Engine(save_sum(tmp_path / "m.onnx", spec)), tmp_path)])
    found, _ = [block for block in page.blocks.values() if isinstance(block, gr.Dropdown)]
    assert (found.elem_classes, found.value, len(found.choices)) == (["labels"], "kind0", 7)


def test_events_are_private_and_take_turns(tmp_path: Path) -> None:
    engine = Engine(save_sum(tmp_path / "m.onnx", scene(INVERT)))
    page = build_page(Site(models_of([(engine, tmp_path), (engine, tmp_path)]), Path("unused"), Limits(at_once=3)))
    assert {event.api_visibility for event in page.fns.values()} == {"private"}
    quick = ("models", "controls")  # these make no pictures
    events = [event for event in page.fns.values() if event.concurrency_id not in quick]
    assert {(event.concurrency_id, event.preprocess) for event in events} == {("engine", False)}
    page._queue.create_event_queue_for_fn(events[0])
    assert page._queue.event_queue_per_concurrency_id["engine"].concurrency_limit == 3


def test_the_canvas_knows_what_each_model_takes(tmp_path: Path) -> None:
    colours = dataclasses.replace(ALL, task="sketch-to-photo", style_size=5, default_style=(0.5, 0.0, 1.0, -1.0, 0.25))
    specs = INVERT, colours, dataclasses.replace(colours, style_kind="learned")
    engines = [Engine(save_sum(tmp_path / f"{number}.onnx", spec)) for number, spec in enumerate(specs)]
    (tmp_path / "day-1.png").touch()
    found = models_of([(engine, tmp_path) for engine in engines])
    plain, five, numbered = settings(TASKS["sketch-to-photo"], found, Site(found, tmp_path))["models"]
    assert (plain["style"], five["style"], numbered["style"]) == ("", "colours", "number")
    assert five["usual"] == [0.5, 0.0, 1.0, -1.0, 0.25]
    assert five["command"] == "1.onnx"
    assert five["samples"] == [{"name": "day-1.png", "title": "day 1", "label": "day"}]
    assert [label["title"] for label in five["labels"]] == [title(label) for label in ALL.labels]
    assert [entry.command for entry in models_of(load([], "cpu"))] == [entry.name for entry in models.shipped()]


def enlarging(folder: Path, *names: str) -> TaskTab:
    models = [
        ModelSpec(name=name, task="super-resolution", architecture="", scale=2, restores=name == "restoring")
        for name in names
    ]
    engines = [(Engine(save_sum(folder / f"{spec.name}.onnx", spec)), folder) for spec in models]
    with gr.Blocks():
        site = Site(models_of(engines), folder)
        return TaskTab(TASKS["super-resolution"], site.models, heading=True, site=site)


def test_a_model_that_suits_better_is_suggested(tmp_path: Path) -> None:
    tab = enlarging(tmp_path, "plain", "restoring")
    plain, restoring = tab.models
    assert [tab._suggestion(plain, traces) for traces in (False, True)] == [None, ("compare.traces", 1)]
    assert [tab._suggestion(restoring, traces) for traces in (False, True)] == [("compare.no_traces", 0), None]


@pytest.mark.parametrize("name", ["plain", "restoring"])
def test_nothing_is_suggested_where_there_is_no_choice(name: str, tmp_path: Path) -> None:
    tab = enlarging(tmp_path, name)
    assert [tab._suggestion(tab.models[0], traces) for traces in (False, True)] == [None, None]


def test_unknown_task(tmp_path: Path) -> None:
    spec = ModelSpec(name="x", task="scetch-to-photo", architecture="")
    with pytest.raises(ModelError, match=r"task 'scetch-to-photo'; did you mean sketch-to-photo\?"):
        page_of([(Engine(save_model(tmp_path / "x.onnx", spec)), tmp_path)])


def test_load(invert_model: Path, double_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [(engine, samples)] = load([str(invert_model)], "cpu")
    assert engine.spec == INVERT != DOUBLE
    assert samples == invert_model.parent / "samples"
    assert [found.spec for found, _ in load([str(double_model), str(invert_model)], "cpu")] == [DOUBLE, INVERT]
    monkeypatch.setattr("ui.command.shipped", list[models.ShippedModel])
    with pytest.raises(ModelError, match=r"^no model is shipped .* --model FILE\.onnx$"):
        load([], "cpu")


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_port_out_of_range(port: int) -> None:
    with pytest.raises(ConfigError, match=r"give 1 to 65535"):
        UiOptions(port=port)


def test_port_in_use(invert_model: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(TranslateError, match=rf"^cannot listen on 127\.0\.0\.1 port {port} \(.*\); .* --port"):
            main(["--model", str(invert_model), "--port", str(port), "--no-open"])
    check_free("127.0.0.1", port)


def test_no_such_host() -> None:
    with pytest.raises(TranslateError, match=r"^cannot listen on 192\.0\.2\.1 port 7860 \(.*--host"):
        check_free("192.0.2.1", 7860)
