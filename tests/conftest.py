"""Tiny ONNX models and pictures, made in the test's own folder."""

import asyncio
import atexit
import functools
import gc
import os
import shutil
import sys
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Before torch is imported. On tiny tensors threads only wait for each other; and a forked process would use another
# number than this one, so that its sums, and with them its weights, would differ in the last bits.
os.environ["OMP_NUM_THREADS"] = "1"
# No test sees the models that whoever runs it has added; those that add some choose a folder.
os.environ["TRANSLATE_MODELS"] = str(Path(__file__).with_name("no-models"))

import numpy as np
import onnx
import pytest
from evaluated import SAME, model, picture, save
from onnx import TensorProto, helper
from PIL import Image

from translate.machine import cores
from translate.spec import METADATA_KEY, ModelSpec
from ui.command import import_gradio

if TYPE_CHECKING:
    from browsing import Served
    from playwright.sync_api import Browser, Page

INVERT = ModelSpec(name="invert", task="sketch-to-photo", architecture="255 - x")
DOUBLE = ModelSpec(name="double", task="super-resolution", architecture="nearest", scale=2)


def save_model(path: Path, spec: ModelSpec | None, *, external: bool = False) -> Path:
    """Write a model of uint8 (N, H, W, C): `scale` 1 inverts the colours, `scale` 2 repeats every pixel."""
    scale, channels = (spec.scale, spec.input_channels) if spec else (1, 3)
    nodes = [helper.make_node("Sub", ["white", "image"], ["output"])]
    constants = [helper.make_tensor("white", TensorProto.UINT8, [1], [255])]
    if scale != 1:
        nodes = [
            helper.make_node(
                "Resize",
                ["image", "", "scales"],
                ["output"],
                mode="nearest",
                coordinate_transformation_mode="asymmetric",
                nearest_mode="floor",
            )
        ]
        constants = [helper.make_tensor("scales", TensorProto.FLOAT, [4], [1.0, scale, scale, 1.0])]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", "H", "W", channels])],
        [helper.make_tensor_value_info("output", TensorProto.UINT8, ["N", "H2", "W2", channels])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    if spec is not None:
        helper.set_model_props(model, {METADATA_KEY: spec.to_json()})
    if external:
        for tensor in model.graph.initializer:
            tensor.raw_data = bytes(tensor.int32_data)
            del tensor.int32_data[:]
        onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    else:
        onnx.save(model, path)
    return path


BROWSER = (
    "test_ui_train_browser.py", "test_ui_sketch.py", "test_ui_access.py", "test_ui_batch_browser.py",
    "test_ui_browser.py", "test_ui_late_browser.py", "test_ui_models_browser.py", "test_ui_behind_proxy.py",
    "test_target_web.py", "test_page.py",
)  # fmt: skip
EXPORT = (
    "test_export.py", "test_import.py", "test_export_command.py", "test_precision.py", "test_engine_windows.py",
    "test_compatibility.py", "test_enlargers.py", "test_fine_tune.py", "test_trace.py",
)  # fmt: skip
TOGETHER = {**dict.fromkeys(BROWSER, "browser"), **dict.fromkeys(EXPORT, "export")}
"""Files for one worker: a browser with the page takes 5 seconds of CPU to start, and PyTorch's exporter 4."""
FIRST = (
    *TOGETHER, "test_ray.py", "test_resume.py", "test_ui.py", "test_game_theory.py", "test_distributed.py",
    "test_ui_runs.py", "test_remedy_runs.py", "test_warnings.py", "test_evaluate.py", "test_convert_faults.py",
    "test_pix2pix.py", "test_ui_server.py", "test_chaos.py", "test_train_disturbed.py",
)  # fmt: skip
"""Files with long tests: begun last, one of them would keep one core busy while the others wait."""


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return TOGETHER.get(file.rpartition("/")[2], file)

    return Scheduling(config, log)


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: many tests wait for a browser, a server or a training of their own."""
    return cores() + 1


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """The garbage collector is kept from the modules and tests, a million objects: it would look through them all, for
    a second of CPU, again and again, and has nothing to find there."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()
        atexit.register(gc.unfreeze)  # some libraries complain of what is left at the end


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        import_gradio()  # before a test module does, which takes half as long again
        atexit.register(os._exit, 0)  # its results are sent; freeing its modules takes 5 seconds of CPU


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {name: number for number, name in enumerate(FIRST)}
    items.sort(key=lambda item: order.get(item.path.name, len(FIRST)))  # the others stay as they are
    if not Path("/dev/nvidia0").exists():
        for item in items:
            if "gpu" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="no NVIDIA GPU here"))


BUILDS_PAGES = [
    pytest.mark.usefixtures("collected"),
    pytest.mark.filterwarnings("ignore:unclosed event loop:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]
"""Of files with tests that build pages: Gradio leaves their event loops to the garbage collector."""


@pytest.fixture(scope="module")
def collected() -> Generator[None]:
    """Collect the garbage of a file's tests here, where it is excused, and not in some later one."""
    yield
    asyncio.set_event_loop(None)  # the last one is kept there
    gc.collect()


@pytest.fixture(scope="session", autouse=True)
def users_data(tmp_path_factory: pytest.TempPathFactory) -> Generator[Path]:
    """The user's data, such as the certificate that results are signed with, are not those of whoever runs the tests;
    programs that tests start inherit this."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("data")
        patch.setenv("XDG_DATA_HOME", str(folder))
        yield folder


@pytest.fixture(scope="session", autouse=True)
def sources_read_once() -> Generator[None]:
    """Torch's exporter parses the sources of 500 operators again at each export, and tyro those of each class of
    options at each command line; here they do once in a process."""
    with pytest.MonkeyPatch.context() as patch:
        if "torch" in sys.modules:
            from torch.onnx._internal.exporter import _registration

            if made := getattr(getattr(_registration, "ONNXRegistry", None), "from_torchlib", None):
                patch.setattr(_registration.ONNXRegistry, "from_torchlib", staticmethod(functools.cache(made)))
        if "tyro" in sys.modules:
            from tyro import _docstrings

            if found := getattr(_docstrings, "get_class_tokenization_with_field", None):
                patch.setattr(_docstrings, "get_class_tokenization_with_field", functools.cache(found))
        yield


@pytest.fixture
def invert_model(tmp_path: Path) -> Path:
    return save_model(tmp_path / "invert.onnx", INVERT)


@pytest.fixture
def double_model(tmp_path: Path) -> Path:
    return save_model(tmp_path / "double.onnx", DOUBLE)


@pytest.fixture
def image_HWC() -> np.ndarray:  # noqa: N802 - a fixture's name is its value's name
    """A 24 x 40 picture without symmetry and with every channel different."""
    return np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)


@pytest.fixture
def make_pictures(image_HWC: np.ndarray) -> Callable[[Path, Sequence[str]], Path]:
    """Return a function that fills a folder with pictures of the given relative names."""

    def make(folder: Path, names: Sequence[str]) -> Path:
        for name in names:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image_HWC).save(path)
        return folder

    return make


TINY = [
    "--image-size",
    "32",
    "--batch-size",
    "2",
    "--generator-widths",
    "8",
    "8",
    "--generator-blocks",
    "1",
    "--discriminator-width",
    "8",
    "--discriminator-layers",
    "2",
    "--discriminator-scales",
    "1",
    "--adaptive-augmentation",
    "0",
    "--workers",
    "0",
    "--precision",
    "32",
    "--device",
    "cpu",
]
"""Options of a training run that takes a few hundredths of a second a step."""


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with six photographs: striped boxes on white, of different shapes. Read only."""
    folder = tmp_path_factory.mktemp("photographs")
    random = np.random.default_rng(0)
    for number in range(6):
        photo_HWC = np.full((48, 40 + 2 * number, 3), 255, np.uint8)
        photo_HWC[10:38, 8:30] = random.integers(0, 200, 3)
        photo_HWC[15 + number : 20 + number, 8:30] = random.integers(0, 200, 3)
        Image.fromarray(photo_HWC).save(folder / f"{number}.png")
    return folder


def _boxes(number: int, colour: int, width: int = 40) -> np.ndarray:
    """A striped box on a ground of one colour, uint8 (48, width, 3)."""
    random = np.random.default_rng((colour, number))
    picture_HWC = np.full((48, width, 3), colour, np.uint8)
    picture_HWC[10:38, 8:30] = random.integers(0, 200, 3)
    picture_HWC[12 + number : 18 + number, 8:30] = random.integers(0, 200, 3)
    return picture_HWC


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ten files of two pictures side by side, the right one the left one's negative. Read only."""
    folder = tmp_path_factory.mktemp("pairs")
    for number in range(10):
        picture_HWC = _boxes(number, 230)
        Image.fromarray(np.concatenate([picture_HWC, 255 - picture_HWC], axis=1)).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="session")
def collections(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpaired: five pictures in `source` and `day`, seven in `target` and `night`. Read only."""
    folder = tmp_path_factory.mktemp("collections")
    for names, count, colour in ((("source", "day"), 5, 250), (("target", "night"), 7, 40)):
        for name in names:
            (folder / name).mkdir()
            for number in range(count):
                Image.fromarray(_boxes(number, colour, 40 + number)).save(folder / name / f"{name}{number}.png")
    return folder


@pytest.fixture(scope="session")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs of two kinds, in the sub-folders `bags` and `shoes`, three of each. Read only."""
    folder = tmp_path_factory.mktemp("kinds")
    for number in range(6):
        kind = folder / ("bags" if number % 2 else "shoes")
        kind.mkdir(exist_ok=True)
        Image.fromarray(_boxes(number, 255)).save(kind / f"{number}.png")
    return folder


@pytest.fixture(scope="session")
def data_of(photos: Path, pairs: Path, collections: Path) -> dict[str, Path]:
    """What every task can be trained on."""
    return {
        "sketch-to-photo": photos,
        "day-to-night": collections,
        "night-to-day": collections,
        "super-resolution": photos,
        "pix2pix": pairs,
        "cyclegan": collections,
        "cut": collections,
    }


@pytest.fixture
def same(tmp_path: Path) -> Path:
    return model(tmp_path / "same.onnx", SAME)


@pytest.fixture
def small_squares(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sets are compared by squares of 64 pixels instead of 256, which takes a sixteenth of the time."""
    monkeypatch.setattr("translate.evaluation.measure.FRAME", 64)
    monkeypatch.setattr("translate.evaluation.run.FRAME", 64)


@pytest.fixture
def no_watermarks(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are not looked for, which takes 0.15 seconds a picture; see `test_watermark.py`."""
    monkeypatch.setattr("translate.credentials.watermark.available", lambda: False)


@pytest.fixture
def pairs_folder(tmp_path: Path) -> Path:
    """Three pairs; targets are the sources, 10 levels brighter."""
    for number in range(3):
        save(tmp_path / "data" / "source" / f"{number}.png", picture(number))
        save(tmp_path / "data" / "target" / f"{number}.png", picture(number) + 10)
    return tmp_path / "data"


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a browser: the one without windows, if it is there, needs half the CPU time for a page."""
    names = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        # Where it matters that they run, a missing browser must not pass for a success.
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no browser found; install Chromium to run these tests")
    return path


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Generator["Served"]:
    """One page with tiny models of every kind, for all browser tests that change nothing that others see."""
    from browsing import served_tiny

    with served_tiny(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture(scope="session")
def started_browser(chromium: str) -> Generator[tuple["Browser", asyncio.AbstractEventLoop]]:
    """A browser for all tests of a process, since a start takes 3 seconds of CPU; with Playwright's event loop."""
    from browsing import launched
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, launched(playwright, chromium) as browser:
        loop = asyncio.get_running_loop()
        asyncio._set_running_loop(None)
        yield browser, loop
        asyncio._set_running_loop(loop)


@pytest.fixture(scope="module")
def browser(started_browser: tuple["Browser", asyncio.AbstractEventLoop]) -> Generator["Browser"]:
    """Between calls, Playwright leaves its event loop marked as running; elsewhere, tests run loops of their own."""
    browser, loop = started_browser
    asyncio._set_running_loop(loop)
    yield browser
    asyncio._set_running_loop(None)


@pytest.fixture
def page(browser: "Browser", site: "Served") -> Generator["Page"]:
    """The page, at a first visit."""
    from browsing import visited

    with visited(browser, site.address) as page:
        yield page
