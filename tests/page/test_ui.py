"""The page without a browser: what the buttons do, and how the command ends when it cannot begin."""

import dataclasses
import gc
import socket
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
from conftest import DOUBLE, INVERT, save_model
from PIL import Image
from test_engine import ALL, save_sum

from translate.errors import ConfigError, ImageError, ModelError, TranslateError
from translate.inference import models
from translate.inference.controls import numbered_style
from translate.inference.engine import Engine
from translate.pictures.operations import Picture, read_picture
from translate.spec import ModelSpec
from translate.tasks import TASKS
from ui import actions
from ui.app import build_page
from ui.command import UiOptions, check_free, load, main

# Gradio leaves the event loops of every page it builds to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed event loop:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


@pytest.fixture(autouse=True)
def collected() -> Generator[None]:
    """Collect the garbage here, where it is excused, and not in some later test."""
    yield
    gc.collect()


@pytest.fixture
def engine(invert_model: Path) -> Engine:
    return Engine(invert_model, threads=1)


def stored(path: Path) -> SimpleNamespace:
    return SimpleNamespace(composite=path.read_bytes())


def test_without_torch() -> None:
    code = "import sys; sys.modules.update(torch=None, onnx=None); import ui.command, ui.app, threading; "
    code += "assert threading.active_count() == 1"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_help_without_gradio() -> None:
    code = "import sys; sys.modules.update(gradio=None); import ui.command; ui.command.main(['--help'])"
    shown = subprocess.run([sys.executable, "-c", code], check=True, timeout=120, capture_output=True, text=True)
    assert "--port" in shown.stdout


def test_drawing_is_read_once_and_leaves_no_file(engine: Engine, tmp_path: Path, image_HWC: np.ndarray) -> None:
    Image.fromarray(image_HWC).save(tmp_path / "in.png")
    blobs = {"one": stored(tmp_path / "in.png")}
    value = {"background": None, "layers": [], "composite": None, "id": "one"}
    picture = actions.drawn_picture(value, blobs, engine, tmp_path / "cache")
    assert picture is not None
    np.testing.assert_array_equal(picture.rgb_HWC, image_HWC)
    assert blobs == {}
    assert list((tmp_path / "cache").iterdir()) == []


def test_drawing_as_a_file(engine: Engine, tmp_path: Path, image_HWC: np.ndarray) -> None:
    Image.fromarray(image_HWC).save(tmp_path / "in.png")
    value = {"background": None, "layers": [], "composite": {"path": str(tmp_path / "in.png")}, "id": None}
    picture = actions.drawn_picture(value, {}, engine, tmp_path)
    assert picture is not None
    np.testing.assert_array_equal(picture.rgb_HWC, image_HWC)


@pytest.mark.parametrize("value", [None, {"composite": None, "id": None}, {"composite": None, "id": "gone"}])
def test_no_drawing(value: dict[str, object] | None, engine: Engine, tmp_path: Path) -> None:
    assert actions.drawn_picture(value, {}, engine, tmp_path) is None


def test_bad_uploads_are_refused_without_the_servers_paths(engine: Engine, tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"GIF89a")
    with pytest.raises(ImageError, match=r"^bad\.png: damaged picture"):
        actions.uploaded_picture({"path": str(bad)}, engine, bad.parent)
    Image.new("L", (300, 300)).save(bad)
    engine.memory_bytes = 1
    with pytest.raises(ImageError, match=r"^bad\.png: 300 x 300 pixels is too large"):
        actions.uploaded_picture({"path": str(bad)}, engine, bad.parent)


def test_only_uploads_are_read(engine: Engine, tmp_path: Path) -> None:
    private = tmp_path / "private.png"
    Image.new("RGB", (32, 32)).save(private)
    with pytest.raises(ImageError, match=r"^private\.png: not an uploaded file; upload it again$"):
        actions.uploaded_picture({"path": str(private)}, engine, tmp_path / "cache")


@pytest.mark.parametrize(("ink", "blank"), [(255, True), (0, False)])
def test_blank(ink: int, blank: bool) -> None:
    rgb_HWC = np.full((9, 8, 3), 255, np.uint8)
    rgb_HWC[4, 4] = ink
    assert actions.is_blank(Picture(rgb_HWC)) == blank
    assert actions.is_blank(Picture(rgb_HWC, np.zeros((9, 8), np.uint8)))


def test_results_lie_apart_and_are_lossless(engine: Engine, tmp_path: Path, image_HWC: np.ndarray) -> None:
    pairs = [actions.translate(engine, Picture(image_HWC), tmp_path, "Sketch", {}) for _ in range(2)]
    assert len({path.parent for pair in pairs for path in pair}) == 4
    assert {tuple(path.name for path in pair) for pair in pairs} == {("Sketch.png", "invert.png")}
    np.testing.assert_array_equal(read_picture(pairs[0][0]).rgb_HWC, image_HWC)
    np.testing.assert_array_equal(read_picture(pairs[0][1]).rgb_HWC, 255 - image_HWC)
    assert actions.save(Picture(image_HWC), tmp_path, "../a b").name == "..-a-b.png"


def test_before_is_as_large_as_after_and_lies_on_white(double_model: Path, tmp_path: Path) -> None:
    clear = Picture(np.zeros((8, 12, 3), np.uint8), np.zeros((8, 12), np.uint8))
    before, after = (
        read_picture(path) for path in actions.translate(Engine(double_model), clear, tmp_path, "Small", {})
    )
    assert before.rgb_HWC.shape == after.rgb_HWC.shape == (16, 24, 3)
    assert before.alpha_HW is None
    assert (before.rgb_HWC == 255).all()
    assert after.alpha_HW is not None


def test_only_choices_that_the_model_has_are_taken() -> None:
    spec = dataclasses.replace(ALL, style_size=3)
    assert actions.controls(INVERT, "x", 3, 0.5) == {}
    found = actions.controls(spec, "dusk", 3, 0.5)
    np.testing.assert_array_equal(found.pop("style"), numbered_style(3, spec))
    assert found == {"label": "dusk", "detail": 0.5}
    assert actions.controls(spec, None, None, None)["style"].tolist() == [0, 0, 0]
    assert all(1 <= actions.random_style() <= 9999 for _ in range(100))


@pytest.mark.parametrize("style", [-1, 0.5, float("nan"), float("inf"), 1 << 32])
def test_invalid_styles(style: float) -> None:
    with pytest.raises(
        ConfigError, match=r"^the style is .*; give a whole number from 0 \(the default\) to 4294967295$"
    ):
        actions.controls(ALL, None, style, None)


def test_samples(tmp_path: Path, image_HWC: np.ndarray) -> None:
    assert actions.picture_files(tmp_path / "none") == []
    for name in ("b.png", "a.JPG", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in actions.picture_files(tmp_path)] == ["a.JPG", "b.png"]


def words(page: gr.Blocks) -> str:
    return "\n".join(str(getattr(block, "value", "")) for block in page.blocks.values())


def test_page_of_one_model_says_what_it_is(tmp_path: Path) -> None:
    spec = ModelSpec(name="sketch-to-photo", task="sketch-to-photo", architecture="", working_size=256, licence="CC0")
    page = build_page([(Engine(save_model(tmp_path / "m.onnx", spec)), tmp_path)])
    text = words(page)
    assert page.title == "Sketch to photo"
    assert not any(isinstance(block, gr.Tab) for block in page.blocks.values())
    assert "# Sketch to photo" in text
    assert "Turn a line drawing into a photograph." in text
    assert "Make the photo" in text
    assert "256 pixels" in text
    assert "CC0" in text


def test_page_has_a_tab_per_task_in_the_order_of_tasks(engine: Engine, double_model: Path, tmp_path: Path) -> None:
    night = Engine(save_model(tmp_path / "n.onnx", ModelSpec(name="n", task="night-to-day", architecture="")))
    page = build_page([(Engine(double_model), tmp_path), (night, tmp_path), (engine, tmp_path), (engine, tmp_path)])
    tabs = [block.label for block in page.blocks.values() if isinstance(block, gr.Tab)]
    assert tabs == ["Sketch to photo", "Night to day", "Super resolution"]
    assert page.title == "Translate pictures"
    assert sum(isinstance(block, gr.ImageSlider) for block in page.blocks.values()) == 3
    text = words(page)
    assert "2 times as wide and high" in text
    assert "The day picture has the size of the night picture." in text
    choices = [block for block in page.blocks.values() if isinstance(block, gr.Radio) and block.label == "Model"]
    assert [(block.visible, [name for name, _ in block.choices]) for block in choices] == [
        (True, ["Invert (1)", "Invert (2)"]),
        (False, ["N"]),
        (False, ["Double"]),
    ]


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_a_page(task: str, tmp_path: Path) -> None:
    spec = ModelSpec(name="m", task=task, architecture="")
    text = words(build_page([(Engine(save_model(tmp_path / "m.onnx", spec)), tmp_path)]))
    assert TASKS[task].summary in text
    assert f"Make the {TASKS[task].output_label.lower()}" in text


def choices_shown(page: gr.Blocks) -> dict[str, bool]:
    """The choices of a page of one task, and which of them are shown."""
    rows = [block for block in page.blocks.values() if getattr(block, "elem_classes", None) == ["styles"]]
    names = ("Model", "What is it?", "Fine detail")
    labelled = {block.label: block for block in page.blocks.values() if getattr(block, "label", None) in names}
    return {"Style": rows[0].visible, **{name: labelled[name].visible for name in names}}


@pytest.mark.parametrize(
    ("specs", "shown"),
    [
        ([INVERT], set()),
        ([INVERT, ALL], {"Model"}),
        ([dataclasses.replace(ALL, labels=())], {"Style", "Fine detail"}),
        ([dataclasses.replace(ALL, style_size=0, detail=False)], {"What is it?"}),
        ([ALL, INVERT], {"Model", "What is it?", "Style", "Fine detail"}),
    ],
)
def test_choices_are_shown_only_where_the_model_has_them(
    specs: list[ModelSpec], shown: set[str], tmp_path: Path
) -> None:
    engines = [(Engine(save_sum(tmp_path / "m.onnx", spec)), tmp_path) for spec in specs]
    found = choices_shown(build_page(engines))
    assert {name for name, visible in found.items() if visible} == shown


def test_many_labels_are_a_list(tmp_path: Path) -> None:
    spec = dataclasses.replace(INVERT, labels=tuple(f"kind{number}" for number in range(7)))
    page = build_page([(Engine(save_sum(tmp_path / "m.onnx", spec)), tmp_path)])
    (found,) = [block for block in page.blocks.values() if isinstance(block, gr.Dropdown)]
    assert (found.label, found.value, len(found.choices)) == ("What is it?", "kind0", 7)


def test_events_are_private_and_take_turns(engine: Engine, tmp_path: Path) -> None:
    events = build_page([(engine, tmp_path), (engine, tmp_path)]).fns.values()
    assert {(event.api_visibility, event.concurrency_limit, event.preprocess) for event in events} == {
        ("private", 1, False)
    }
    assert len({event.concurrency_id for event in events}) == 1


def test_unknown_task(tmp_path: Path) -> None:
    spec = ModelSpec(name="x", task="scetch-to-photo", architecture="")
    with pytest.raises(ModelError, match=r"task 'scetch-to-photo'; did you mean sketch-to-photo\?"):
        build_page([(Engine(save_model(tmp_path / "x.onnx", spec)), tmp_path)])


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
