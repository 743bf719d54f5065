"""Models that come while the page runs, their cards, and what the browser remembers."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from conftest import BUILDS_PAGES, DOUBLE, INVERT, save_model
from starlette.applications import Starlette
from starlette.testclient import TestClient
from test_engine import save_sum

from translate.errors import ConfigError
from translate.inference.engine import Engine
from translate.inference.models import checked_folder, shipped
from translate.spec import ModelSpec
from translate.tasks import TASKS
from ui.app import build_page
from ui.model import models_of
from ui.models import tab as models_tab
from ui.models.refresh import Refresh
from ui.models.registry import Registry
from ui.site import Site

pytestmark = BUILDS_PAGES
NIGHT = ModelSpec(name="night", task="day-to-night", architecture="", labels=("street", "square"))

NOTHING = [None] * sum(not task.draws_input for task in TASKS.values())
"""No model is selected in any tab."""


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    (tmp_path / "shelf").mkdir()
    return tmp_path / "shelf"


@pytest.fixture
def site(invert_model: Path, shelf: Path, tmp_path: Path) -> Site:
    """A page of one model, with a folder for more."""
    models = models_of([(Engine(invert_model), tmp_path / "samples")])
    return Site(models, tmp_path / "cache", registry=Registry(models, [shelf], "cpu"))


def look(site: Site) -> list[str]:
    assert site.registry
    return site.registry.look()


def test_models_come_while_the_page_runs(site: Site, shelf: Path) -> None:
    of_task = site.of_task("super-resolution")
    assert (look(site), len(of_task)) == ([], 0)
    save_model(shelf / "b.onnx", DOUBLE)
    assert (look(site), len(of_task), of_task[0].index) == ([], 1, 1)
    save_model(shelf / "a.onnx", dataclasses.replace(DOUBLE, name="more"))
    assert look(site) == look(site) == []
    assert [(model.engine.spec.name, model.index) for model in site.models] == [
        ("invert", 0),
        ("double", 1),
        ("more", 2),
    ]
    assert [model.command for model in of_task] == ["b.onnx", "a.onnx"]


def test_files_of_one_name(site: Site, shelf: Path, tmp_path: Path) -> None:
    """Each can be used: those that come later are named with their folders."""
    save_model(shelf / "invert.onnx", DOUBLE)
    look(site)
    assert [model.command for model in site.models] == ["invert.onnx", "shelf/invert.onnx"]
    (tmp_path / "more" / "other").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    names = ["m.onnx", "other/m.onnx", "more/other/m.onnx"]
    paths = [save_model(tmp_path / name, INVERT) for name in names]
    commands = [model.command for model in models_of([(Engine(path), tmp_path) for path in paths])]
    assert commands == names


def test_a_file_that_is_written_again_keeps_its_place(site: Site, shelf: Path) -> None:
    save_model(shelf / "a.onnx", DOUBLE)
    look(site)
    before = site.models[1].engine
    save_model(shelf / "a.onnx", dataclasses.replace(DOUBLE, name="a better one"))
    look(site)
    assert [model.engine.spec.name for model in site.models] == ["invert", "a better one"]
    assert before.spec.name == "double"  # whoever is using it goes on


def test_what_is_no_model_of_ours_is_said_once(site: Site, shelf: Path) -> None:
    save_model(shelf / "foreign.onnx", None)
    save_model(shelf / "future.onnx", dataclasses.replace(INVERT, task="dog-to-cat"))
    (shelf / "text.onnx").write_text("no model")
    (shelf / ".hidden.onnx").write_text("no model")
    lines = look(site)
    assert [line.split(":")[0] for line in lines] == [
        "skipped foreign.onnx", "skipped future.onnx", "skipped text.onnx",
    ]  # fmt: skip
    assert "unknown task 'dog-to-cat'" in lines[1]
    assert (look(site), len(site.models)) == ([], 1)
    with pytest.raises(ConfigError, match=r"^--models-dir .*none does not exist"):
        checked_folder(shelf / "none")


def test_new_models_borrow_pictures_to_try(invert_model: Path, shelf: Path, tmp_path: Path) -> None:
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "one.png").touch()
    models = models_of([(Engine(invert_model), tmp_path / "samples")])
    save_model(shelf / "a.onnx", INVERT)
    save_model(shelf / "b.onnx", DOUBLE)
    Registry(models, [shelf], "cpu").look()
    assert [[path.name for path in model.samples] for model in models] == [["one.png"], ["one.png"], []]


def tabs_of(page: gr.Blocks) -> dict[str, bool]:
    return {block.id: block.visible for block in page.blocks.values() if isinstance(block, gr.Tab)}


def test_tabs_wait_for_their_models(site: Site) -> None:
    visible = {name for name, shown in tabs_of(build_page(site)).items() if shown}
    assert visible == {"sketch-to-photo", "models"}
    assert tabs_of(build_page(site)).keys() == {*TASKS, "models"}


class Page:
    """The refreshing events of a page, and what they answer for a tab."""

    def __init__(self, site: Site) -> None:
        self.blocks = build_page(site)
        (event,) = [fn for fn in self.blocks.fns.values() if getattr(fn.fn, "__name__", "") == "_loaded"]
        self.outputs = event.outputs
        self.refresh: Refresh = event.fn.__self__

    def tab(self, task: str, values: list[Any]) -> list[Any]:
        """Visibility of a tab, and the values of what is in it."""
        (place,) = [n for n, block in enumerate(self.outputs) if isinstance(block, gr.Tab) and block.id == task]
        after = [n for n, block in enumerate(self.outputs) if isinstance(block, gr.Tab) and n > place]
        return values[place : after[0] if after else None]


def test_a_tab_appears_with_its_model(site: Site, shelf: Path) -> None:
    page = Page(site)
    save_sum(shelf / "night.onnx", NIGHT)
    values = page.refresh._loaded("{}")
    shown, model, label, *_ = page.tab("day-to-night", values)
    assert (shown["visible"], model["value"], model["visible"], label["value"]) == (True, 0, False, "street")
    assert page.tab("cut", values)[0]["visible"] is False
    assert [card["title"] for card in values[0]["models"]] == ["Invert", "Night"]
    drawn = page.tab("sketch-to-photo", values)[1]
    assert [one["command"] for one in drawn["models"]] == ["invert.onnx"]


def test_the_browser_remembers_a_model(site: Site, shelf: Path) -> None:
    for name in ("a", "b"):
        save_model(shelf / f"{name}.onnx", dataclasses.replace(DOUBLE, name=name))
    page = Page(site)
    for remembered, place in (({"super-resolution": "b.onnx"}, 1), ({"super-resolution": "gone.onnx"}, 0), ([], 0)):
        model = page.tab("super-resolution", page.refresh._loaded(json.dumps(remembered)))[1]
        assert (model["value"], model["visible"], len(model["choices"])) == (place, True, 2)
    assert page.tab("super-resolution", page.refresh._loaded("{broken"))[1]["value"] == 0
    places = [1 if part.content.task.name == "super-resolution" else None for part in page.refresh._parts[1:]]
    later = page.tab("super-resolution", page.refresh._more(*places))[1]
    assert "value" not in later  # what is selected stays so
    assert page.tab("super-resolution", page.refresh._more(*NOTHING))[1]["value"] == 0


def test_using_a_model_goes_to_its_tab(site: Site, shelf: Path) -> None:
    save_model(shelf / "a.onnx", DOUBLE)
    page = Page(site)
    page.refresh._loaded("{}")
    tabs, *values = page.refresh._used(gr.EventData(None, {"command": "a.onnx"}), *NOTHING)
    assert tabs.selected == "super-resolution"
    assert page.tab("super-resolution", values)[1]["value"] == 0
    tabs, *_ = page.refresh._used(gr.EventData(None, {"command": "none.onnx"}), *NOTHING)
    assert tabs == gr.skip()


def test_cards(site: Site, shelf: Path) -> None:
    spec = dataclasses.replace(
        DOUBLE,
        licence="MIT",
        training_data="six photographs",
        parameters=1_234_567,
        metrics={"own": 3.0, "ssim": 0.51234},
    )
    save_model(shelf / "a.onnx", spec)
    look(site)
    plain, card = models_tab.cards(site)["models"]
    assert (card["file"], card["licence"], card["data"], card["parameters"]) == (
        "a.onnx",
        "MIT",
        "six photographs",
        "1.2",
    )
    assert [(one["title"], one["value"]) for one in card["headlines"]] == [("SSIM", "0.5123"), ("own", "3")]
    assert (plain["licence"], plain["data"], plain["picture"], plain["headlines"]) == ("", "", "", [])


def test_pictures_on_cards(tmp_path: Path, shelf: Path, invert_model: Path) -> None:
    first = shipped()[0]
    models = models_of([(Engine(first.file), first.samples), (Engine(invert_model), tmp_path / "none")])
    site = Site(models, tmp_path)
    shutil.copy(first.file.parent / "contact_sheet.jpg", invert_model.with_suffix(".jpg"))
    with TestClient(Starlette(routes=models_tab.routes(site))) as client:
        sheet = (first.file.parent / "contact_sheet.jpg").read_bytes()
        assert [client.get(f"/models/picture/{index}").content for index in (0, 1)] == [sheet, sheet]
        invert_model.with_suffix(".jpg").unlink()
        assert [client.get(f"/models/picture/{index}").status_code for index in (1, 2, -1)] == [404, 404, 404]
