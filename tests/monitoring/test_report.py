"""`translate report`: what is read from a log, and what the page says and looks like."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import sync_playwright
from safetensors.numpy import save_file

from translate.cli.main import main
from translate.monitoring.log import read_log
from translate.monitoring.report import _measured, _thin, write_report

START = {"event": "start", "images": 0, "pictures": {"train": 40, "held_out": 8}, "machine": {"device": "CPU <1>"}}


def progress(images: int, **changes: Any) -> dict[str, Any]:
    return {
        "event": "progress",
        "images": images,
        "seconds": images / 8,
        "share": images / 1000,
        "lr_factor": 1.0,
        "images_per_second": 8.0,
        "bad_steps": 0,
        "losses": {"generator.l1": 50 / (images + 50), "discriminator.game": 1.4},
        "gradients": {"generator": 0.5, "discriminator": 0.7},
        **changes,
    }


def validation(images: int, **metrics: float) -> dict[str, Any]:
    line = {"event": "validation", "images": images, "seconds": images / 8, "share": images / 1000}
    return {**line, "metrics": metrics, "best": False}


def write_log(folder: Path, *lines: dict[str, Any], rest: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "log.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + rest)
    return path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run with everything a run can have, and a name and a file that are no HTML."""
    folder = tmp_path / "a <b> & c"
    write_log(
        folder,
        START,
        validation(0, psnr=8.0, swd=0.3),
        *(progress(images, bad_steps=images // 400) for images in range(50, 1001, 50)),
        {"event": "rejected", "file": "<script>alert(1)</script>.jpg: damaged picture"},
        validation(500, psnr=15.0, swd=0.1),
        validation(1000, psnr=14.0, swd=0.15),
    )
    config = {"max_images": 1000, "image_size": 32, "generator_lr": 2e-4, "discriminator_lr": 4e-4, "best_by": "swd"}
    (folder / "config.json").write_text(json.dumps({**config, "l1_weight": 10.0, "generator_widths": [8, 16]}))
    (folder / "parity.json").write_text(
        json.dumps([{"batch": 1, "height": 64, "width": 96, "largest": 1, "share": 0.0012}])
    )
    (folder / "metrics.json").write_text('{"psnr_db": 18.25}')
    header = {"format": 2, "task": "pix2pix", "trainer": "translate.trainers.pix2pix:Pix2Pix", "data": "/pictures"}
    save_file({"x": np.zeros(1)}, folder / "snapshot.safetensors", {"translate.run": json.dumps(header)})
    (folder / "samples").mkdir()
    for number in range(1, 11):
        noise_HWC = np.random.default_rng(number).integers(0, 256, (8 * 36 + 4, 3 * 36 + 4, 3), np.uint8)
        Image.fromarray(noise_HWC).save(folder / "samples" / f"{100 * number:09d}.png")
    return folder


def page(run: Path) -> str:
    write_report(run, run / "report.html")
    return (run / "report.html").read_text()


class Checker(HTMLParser):
    """Every element is closed, and what is asked of the network."""

    VOID = ("meta", "img", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_what_a_killed_process_did_in_vain_is_dropped(tmp_path: Path) -> None:
    path = write_log(
        tmp_path,
        START,
        validation(0, swd=0.4),
        progress(5),
        START,  # killed before its first snapshot
        validation(0, swd=0.3),
        progress(100, bad_steps=2),
        validation(100, swd=0.2),
        progress(200, bad_steps=3),
        validation(200, swd=0.05),
        {"event": "rejected", "file": "a"},
        {**START, "images": 100},
        {"event": "rejected", "file": "a"},
        progress(150, bad_steps=1),
        {"event": "of the future"},
        rest='7\nnull\n{"event": "progress", "images": 3',
    )
    log = read_log(path)
    assert log.start["images"] == 100
    assert [line["images"] for line in log.progress] == [100, 150]
    assert [line["metrics"]["swd"] for line in log.validation] == [0.3, 0.2]
    assert log.rejected == ["a"]
    assert (log.bad_steps, log.last["images"]) == (3, 150)


def test_better_and_worse() -> None:
    lines = [
        validation(0, psnr=10.0, swd=0.2, fid=5.0, kid=float("nan")),
        validation(10, psnr=9.0, swd=0.1, fid=5.0),
        validation(20, psnr=8.0, swd=0.3, fid=6.0, ssim=0.5),
    ]
    found = {row["name"]: (row["best"], row["images"], row["verdict"]) for row in _measured(lines)}
    assert found == {
        "psnr": (9.0, 10, "worse"),
        "swd": (0.1, 10, "better"),
        "fid": (5.0, 10, "equal"),
        "ssim": (0.5, 20, "the start"),
    }


def test_long_curves_are_thinned() -> None:
    points = _thin([(float(number), 2.0 * number) for number in range(1000)])
    assert len(points) == 250
    assert points[0] == (1.5, 3.0)


def test_the_page(run: Path) -> None:
    text = page(run)
    checker = Checker()
    checker.feed(text)
    assert checker.open == []
    assert all(address.startswith(("data:image/jpeg;base64,", "#")) for address in checker.addresses)
    assert len([address for address in checker.addresses if address.startswith("data:")]) == 3 + 8
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "<h1>a &lt;b&gt; &amp; c</h1>" in text
    for words in (
        "The run has used its whole budget of 1,000 images",
        "better than the start",
        "went from 0.3 to 0.1; lower is better",
        "2 steps were skipped",
        "Weight of the L1 loss between output and target",
        "<code>8 16</code>",
        "0.1200 %",
        "18.25",
        "CPU &lt;1&gt;",
    ):
        assert words in text
    assert text.count("<svg") == 2 + 2 + 3
    assert page(run) == text


def test_large_noise_stays_small(run: Path) -> None:
    noise_HWC = np.random.default_rng(0).integers(0, 256, (1400, 1400, 3), np.uint8)
    for path in (run / "samples").iterdir():
        Image.fromarray(noise_HWC).save(path, compress_level=0)
    assert len(page(run)) < 5_000_000


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "Nothing has been logged yet"),
        ([START, validation(0, swd=0.3)], "So far only the untrained networks"),
        ([START, progress(430)], "used 43 % of its budget; it is still running or was stopped early"),
    ],
)
def test_a_run_that_has_just_begun(tmp_path: Path, lines: list[dict[str, Any]], words: str) -> None:
    write_log(tmp_path, *lines)
    (tmp_path / "parity.json").write_text("[{")
    (tmp_path / "snapshot.safetensors").write_bytes(b"damaged")
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "000000010.png").write_bytes(b"cut off")
    assert words in page(tmp_path)


def test_command(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(run)]) == 0
    assert capsys.readouterr().out.startswith(f"wrote {run / 'report.html'} (")
    assert main(["report", str(run), "-o", str(tmp_path / "x.html"), "--no-open"]) == 0
    assert (tmp_path / "x.html").read_bytes() == (run / "report.html").read_bytes()


@pytest.mark.parametrize(
    ("option", "terminal", "shown"), [([], True, 1), (["--open"], False, 0), (["--no-open"], True, 0)]
)
def test_open(run: Path, option: list[str], terminal: bool, shown: int, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    assert main(["report", str(run), *option]) == 0
    assert opened == [(run / "report.html").resolve().as_uri()] * shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("nowhere", "nowhere does not exist; give the folder that was used as --out"),
        ("file", "file is a file; give the folder that was used as --out"),
        ("empty", "empty has no log.jsonl; give the --out folder"),
        ("run -o nowhere/x.html", "cannot write nowhere/x.html: No such file"),
        ("run --open maybe", "maybe"),
    ],
)
def test_usage(
    arguments: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    write_log(tmp_path / "run", START)
    assert main(["report", *arguments.split()]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


@pytest.mark.browser
@pytest.mark.parametrize("width", [400, 1200])
def test_nothing_is_wider_than_the_screen(run: Path, width: int, chromium: str) -> None:
    page(run)
    asked: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        shown = browser.new_page(viewport={"width": width, "height": 800})
        shown.on("request", lambda request: asked.append(request.url[:5]))
        shown.goto((run / "report.html").as_uri())
        shown.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
        assert shown.evaluate("document.documentElement.scrollWidth") == width
        browser.close()
    assert set(asked) <= {"file:", "data:"}
