"""`--target web`: a page in a folder, on any file host, that makes in the browser what the Engine makes."""

import dataclasses
import functools
import json
import re
import shutil
import tarfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsing import COLOURS, LARGE, NIGHT, visited
from nodes import package
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, Page, expect
from test_engine import save_sum
from web_server import listening

from export.targets.web import CPU_FILES, GPU_FILES, RUNTIME, served_name
from translate.cli.main import main
from translate.inference.engine import Engine
from translate.pictures.operations import read_picture

SHOES = dataclasses.replace(
    COLOURS, working_size=64, content_share=0.9, licence="CC0 & <free>", training_data="my own pictures"
)
TILED = dataclasses.replace(LARGE, receptive_field=9, bytes_per_pixel=80_000)
"""Windows of 100 pixels."""
UNBOUNDED = dataclasses.replace(LARGE, name="unbounded", bytes_per_pixel=80_000)
STREETS = dataclasses.replace(NIGHT, name="streets", style_size=0, scene_size=40)
SAMPLES = {
    SHOES.name: {"handbag-1": 40, "shoe #2": 41},
    STREETS.name: {"alley": 42, "square-1": 43, "street-1": 44},
}
"""The files beside a model, and the side of what they show."""
PATIENCE_MS = 60_000
"""Browsers compile the runtime first, without a graphics card or a second thread."""
AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")


class Quiet(SimpleHTTPRequestHandler):
    """Files, and a note of what was asked for."""

    asked: set[str] = set()  # noqa: RUF012 - shared on purpose

    def log_message(self, *_: Any) -> None:
        self.asked.add(self.path)


@contextmanager
def hosted(folder: Path) -> Generator[str]:
    """A plain file host; its address."""
    with listening(functools.partial(Quiet, directory=str(folder))) as address:
        yield f"{address}/"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[str, Path]]:
    """Pages of four tiny models, below a path of one host; its address and its folder."""
    runtime = package("onnxruntime-web")
    folder = tmp_path_factory.mktemp("host")
    for spec in (SHOES, TILED, UNBOUNDED, STREETS):
        model = folder / "models" / spec.name / "model.onnx"
        (model.parent / "samples").mkdir(parents=True)
        save_sum(model, spec)
        for name, side in SAMPLES.get(spec.name, {}).items():
            drawing(side).save(model.parent / "samples" / f"{name}.png")
        options = [] if spec is SHOES else ["--without-webgpu"]
        output = ["-o", str(folder / "below" / spec.name), "--onnxruntime-web", str(runtime)]
        assert main(["export", str(model), "--target", "web", *output, *options]) == 0
    with hosted(folder) as address:
        yield f"{address}below/", folder


def drawing(side: int) -> Image.Image:
    """A small shape on a large grey sheet: values to which the model can add."""
    sheet = Image.new("RGB", (180, 140), (180, 180, 180))
    ImageDraw.Draw(sheet).ellipse((60, 50, 60 + side, 50 + side), (90, 100, 120), (20, 30, 40), 3)
    return sheet


def made(page: Page, act: Callable[[], Any]) -> np.ndarray:
    """Do something; what the page has made when it has caught up, as it is downloaded, uint8 (H, W, 4)."""
    count = page.locator("main").get_attribute("data-made") or ""
    act()
    expect(page.locator("main")).not_to_have_attribute("data-made", count, timeout=PATIENCE_MS)
    expect(page.locator(".result")).to_have_attribute("aria-busy", "false", timeout=PATIENCE_MS)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the result").click()
    return np.asarray(Image.open(download.value.path()))


def apart(made_HWC: np.ndarray, wanted_HWC: np.ndarray) -> int:
    assert (made_HWC[..., 3] == 255).all()
    assert made_HWC.shape[:2] == wanted_HWC.shape[:2]
    return int(np.abs(made_HWC[..., :3].astype(int) - wanted_HWC).max())


@pytest.mark.browser
def test_a_drawing_becomes_what_the_engine_makes(host: tuple[str, Path], browser: Browser, tmp_path: Path) -> None:
    address, folder = host
    drawing(30).save(tmp_path / "mine.png")
    engine = Engine(folder / "models" / "colours" / "model.onnx", device="cpu")
    picture = read_picture(tmp_path / "mine.png")
    with visited(browser, f"{address}colours/") as page:
        expect(page.locator("main")).to_have_attribute("data-made", "1", timeout=PATIENCE_MS)  # an example, at once
        expect(page.get_by_role("radio", name="shoe")).to_be_checked()  # as its name says
        expect(page.get_by_text("Licence of the model: CC0 & <free>.")).to_be_visible()
        found_HWC = made(page, lambda: page.locator(".file").set_input_files(tmp_path / "mine.png"))
        assert apart(found_HWC, engine.apply(picture, label="shoe").rgb_HWC) <= 1
        found_HWC = made(page, page.get_by_text("handbag", exact=True).click)
        assert apart(found_HWC, engine.apply(picture, label="handbag").rgb_HWC) <= 1
        page.get_by_role("slider", name="Brightness").focus()
        found_HWC = made(page, lambda: page.keyboard.press("End"))
        style = (2.5, *SHOES.default_style[1:])
        assert apart(found_HWC, engine.apply(picture, label="handbag", style=style).rgb_HWC) <= 1

        page.get_by_role("button", name="Clear").click()
        expect(page.get_by_role("button", name="Download the result")).to_be_disabled()
        page.locator("canvas.input").focus()
        page.keyboard.press("Space")
        drawn_HWC = made(page, lambda: page.keyboard.press("ArrowRight"))
        assert drawn_HWC.shape[0] >= 140
        assert not any(
            served_name(name) in path for path in Quiet.asked for name in GPU_FILES
        )  # there is no graphics card
        assert f"/below/colours/ort/{CPU_FILES[1]}" in Quiet.asked


@pytest.mark.browser
def test_pictures_detail_and_windows(host: tuple[str, Path], browser: Browser, tmp_path: Path) -> None:
    address, folder = host
    pixels_HWC = np.random.default_rng(0).integers(0, 120, (130, 210, 3), np.uint8)
    Image.fromarray(pixels_HWC).save(tmp_path / "in.png")
    engine = Engine(folder / "models" / "large" / "model.onnx", device="cpu")
    picture = read_picture(tmp_path / "in.png")
    with visited(browser, f"{address}large/") as page:
        expect(page.locator("main")).to_have_attribute("data-runs", "wasm", timeout=PATIENCE_MS)
        found_HWC = made(page, lambda: page.locator(".file").set_input_files(tmp_path / "in.png"))
        assert apart(found_HWC, engine.apply(picture).rgb_HWC) == 0
        page.get_by_role("slider", name="Fine detail").focus()
        found_HWC = made(page, lambda: page.keyboard.press("End"))
        assert apart(found_HWC, engine.apply(picture, detail=1.0).rgb_HWC) == 0
        expect(page.get_by_text("420 x 260 pixels")).to_be_visible()
        Image.new("RGBA", (20, 10), (10, 20, 30, 128)).save(tmp_path / "glass.png")
        found_HWC = made(page, lambda: page.locator(".file").set_input_files(tmp_path / "glass.png"))
        assert found_HWC.shape == (20, 40, 4)
        assert (found_HWC[..., 3] == 128).all()


@pytest.mark.browser
def test_a_scene_gets_its_light_and_the_label_that_was_chosen(
    host: tuple[str, Path], browser: Browser, tmp_path: Path
) -> None:
    address, folder = host
    pixels_HWC = np.random.default_rng(0).integers(0, 120, (130, 210, 3), np.uint8)
    Image.fromarray(pixels_HWC).save(tmp_path / "in.png")
    engine = Engine(folder / "models" / "streets" / "model.onnx", device="cpu")
    picture = read_picture(tmp_path / "in.png")
    with visited(browser, f"{address}streets/") as page:
        street, square = (page.get_by_role("radio", name=name) for name in STREETS.labels)
        expect(page.locator("main")).to_have_attribute("data-made", "1", timeout=PATIENCE_MS)
        expect(street).to_be_checked()  # as nothing says otherwise
        expect(page.get_by_text("at 40 pixels of the shorter side")).to_be_visible()
        made(page, page.get_by_title("square 1").click)
        expect(square).to_be_checked()  # as its name says
        made(page, page.get_by_title("alley").click)
        expect(street).to_be_checked()  # the last example's label is none of this one
        made(page, page.get_by_text("square", exact=True).click)
        made(page, page.get_by_title("street 1").click)
        expect(street).to_be_checked()
        found_HWC = made(page, lambda: page.locator(".file").set_input_files(tmp_path / "in.png"))
        expect(square).to_be_checked()  # what was chosen counts for a picture of one's own
        assert apart(found_HWC, engine.apply(picture, label="square").rgb_HWC) <= 1
        made(page, page.get_by_title("alley").click)
        expect(square).to_be_checked()

        # Chosen before the first example is there, it counts for that too.
        page.route("**/samples/**", lambda _: None)
        page.reload()
        page.get_by_text("square", exact=True).click()
        page.unroute("**/samples/**")  # lets go what was held
        expect(page.locator("main")).to_have_attribute("data-made", "1", timeout=PATIENCE_MS)
        expect(square).to_be_checked()


@pytest.mark.browser
def test_what_cannot_be_converted_is_said(host: tuple[str, Path], browser: Browser, tmp_path: Path) -> None:
    address, _ = host
    (tmp_path / "text.png").write_text("no picture")
    Image.new("L", (8200, 2)).save(tmp_path / "wide.png")
    Image.new("L", (200, 200), 7).save(tmp_path / "large.png")
    Image.new("L", (50, 50), 7).save(tmp_path / "small.png")
    with visited(browser, f"{address}unbounded/") as page:
        expect(page.locator("main")).to_have_attribute("data-runs", "wasm", timeout=PATIENCE_MS)
        for name, message in (
            ("text.png", "text.png is not a picture that this browser can read"),
            (
                "wide.png",
                "A picture of 8200 x 2 pixels is too large for this page: up to 16 megapixels and 8192 pixels",
            ),
            ("large.png", "There is not enough memory for a picture of 200 x 200 pixels; choose a smaller one."),
        ):
            page.locator(".file").set_input_files(tmp_path / name)
            expect(page.get_by_role("status")).to_contain_text(message, timeout=PATIENCE_MS)
        found_HWC = made(page, lambda: page.locator(".file").set_input_files(tmp_path / "small.png"))  # works again
        assert found_HWC.shape == (100, 100, 4)


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(host: tuple[str, Path], browser: Browser, scheme: str) -> None:
    for name in ("colours", "large"):
        # The page lets no other script in, not even axe.
        with visited(browser, f"{host[0]}{name}/", color_scheme=scheme, bypass_csp=True) as page:
            expect(page.get_by_role("button", name="Open a picture")).to_be_visible()
            expect(page.locator(".hint")).not_to_be_empty()
            page.add_script_tag(content=AXE)
            found = page.evaluate("async () => (await axe.run()).violations.map((one) => [one.id, one.nodes[0].html])")
            assert found == []


def test_only_what_is_needed_is_copied(host: tuple[str, Path]) -> None:
    _, folder = host
    page = folder / "below" / "large"
    assert {path.name for path in (page / "ort").iterdir()} == {"LICENSE.txt", *map(served_name, CPU_FILES)}
    assert {path.name for path in (folder / "below" / "colours" / "ort").iterdir()} >= {*map(served_name, GPU_FILES)}
    assert {path.name for path in page.iterdir()} == {
        "index.html", "controls.css", "studio.css", "page.css", "sheet.js", "look.js", "page.js", "worker.js",
        "engine.js", "pixels.js", "model.json", "model.onnx", "ort",
    }  # fmt: skip
    text = "".join(path.read_text() for path in page.glob("*.[jhc]*"))
    assert not re.search(r"https?://", text)  # it needs no other host
    facts = json.loads((folder / "below" / "colours" / "model.json").read_text())
    assert [sample["label"] for sample in facts["samples"]] == [1, 0]
    assert facts["defaults"] == {"label": 0, "style": list(SHOES.default_style)}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save_sum(tmp_path / "large.onnx", LARGE)


def unpacked(folder: Path, version: str = RUNTIME) -> Path:
    """Something that looks like the npm package."""
    (folder / "dist").mkdir(parents=True)
    (folder / "package.json").write_text(json.dumps({"name": "onnxruntime-web", "version": version}))
    for name in (*CPU_FILES, *GPU_FILES):
        (folder / "dist" / name).write_bytes(b"")
    return folder


def test_npm_fetches_the_runtime(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a program of that name."""
    unpacked(tmp_path / "registry" / "package")
    with tarfile.open(tmp_path / "registry" / "runtime.tgz", "w:gz") as archive:
        archive.add(tmp_path / "registry" / "package", "package")
    script = (
        f'#!/bin/sh\n[ "$*" = "pack onnxruntime-web@{RUNTIME} --silent" ] && cp {tmp_path}/registry/runtime.tgz .\n'
    )
    (tmp_path / "npm").write_text(script)
    (tmp_path / "npm").chmod(0o755)
    monkeypatch.setattr(shutil, "which", {"npm": str(tmp_path / "npm")}.get)
    assert main(["export", str(model), "--target", "web", "-o", str(tmp_path / "page")]) == 0
    assert (tmp_path / "page" / "ort" / GPU_FILES[1]).is_file()


@pytest.mark.parametrize(
    ("npm", "message"),
    [
        (None, "npm is not installed"),
        ('echo "npm error network" >&2; exit 1', "(npm error network); connect to the network"),
    ],
)
def test_without_npm_or_network(
    model: Path, tmp_path: Path, npm: str | None, message: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    if npm:
        (tmp_path / "npm").write_text(f"#!/bin/sh\n{npm}\n")
        (tmp_path / "npm").chmod(0o755)
    monkeypatch.setattr(shutil, "which", {"npm": npm and str(tmp_path / "npm")}.get)
    assert main(["export", str(model), "--target", "web", "-o", str(tmp_path / "page")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert f"--onnxruntime-web FOLDER (npm pack onnxruntime-web@{RUNTIME})" in line
    assert not (tmp_path / "page").exists()


def test_wrong_packages(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    (unpacked(tmp_path / "part") / "dist" / CPU_FILES[0]).unlink()
    for folder, message in (
        (tmp_path / "empty", "is not an unpacked npm package"),
        (unpacked(tmp_path / "old", "1.2.3"), "is onnxruntime-web@1.2.3; give an unpacked onnxruntime-web@"),
        (tmp_path / "part", f"lacks dist/{CPU_FILES[0]}"),
    ):
        output = ["-o", str(tmp_path / "page"), "--onnxruntime-web", str(folder)]
        assert main(["export", str(model), "--target", "web", *output]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line
    assert not [path for path in tmp_path.iterdir() if "page" in path.name or path.name.startswith(".")]
