"""The page and the contact sheet that `translate evaluate` writes."""

import dataclasses
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from conftest import DOUBLE, save_model
from evaluated import evaluate, model, picture, save, spec_of
from PIL import Image

from translate.cli.main import main
from translate.evaluation import run as survey
from translate.metrics.table import METRICS, as_markdown, metric, ordered

pytestmark = pytest.mark.usefixtures("small_squares")


def test_the_contact_sheet_shows_the_middle_pixel_by_pixel(tmp_path: Path) -> None:
    truth_HWC = picture(0, 400, 300)
    save(tmp_path / "large" / "a.png", truth_HWC)
    double = save_model(tmp_path / "double.onnx", DOUBLE)
    evaluate(tmp_path / "out", double, "--data", tmp_path / "large")
    with Image.open(tmp_path / "out" / "contact_sheet.png") as sheet:
        sheet_HWC = np.asarray(sheet)
    top_HWC, bottom_HWC = sheet_HWC[12:172, 12:172], sheet_HWC[174:334, 12:172]
    small_HWC = np.asarray(Image.fromarray(truth_HWC).resize((150, 200), Image.Resampling.BICUBIC))
    wanted_HWC = small_HWC.repeat(2, 0).repeat(2, 1)[120:280, 70:230]
    assert np.array_equal(top_HWC, wanted_HWC)
    assert np.array_equal(bottom_HWC, wanted_HWC)  # the model repeats every pixel


def test_the_contact_sheet_keeps_the_aspect(tmp_path: Path, same: Path) -> None:
    wide_HWC = np.zeros((60, 180, 3), np.uint8)
    wide_HWC[:, 60:120] = 255
    for side in ("source", "target"):
        save(tmp_path / "data" / side / "a.png", wide_HWC)
    evaluate(tmp_path / "out", same, "--data", tmp_path / "data")
    with Image.open(tmp_path / "out" / "contact_sheet.png") as sheet:
        assert np.asarray(sheet)[20:160, 20:160].min() == 255


def greens(page: str, metric: str) -> list[bool]:
    """Which cells of a metric's row are green."""
    row = next(line for line in page.splitlines() if f">{metric}</code>" in line)
    return ["good" in cell for cell in re.findall(r'<td class="(n[^"]*)"', row)]


def test_green_is_strictly_better_than_every_other_column(tmp_path: Path, same: Path, pairs_folder: Path) -> None:
    evaluate(tmp_path / "out", same, "--data", pairs_folder)
    assert not any(greens((tmp_path / "out" / "index.html").read_text(), "psnr_db"))  # as good as unchanged
    for number in range(3):
        save(tmp_path / "large" / f"{number}.png", picture(number, 64, 64))
    sharp = model(tmp_path / "sharp.onnx", dataclasses.replace(DOUBLE, detail=True), "detail")
    evaluate(tmp_path / "out", sharp, "--data", tmp_path / "large", "--detail", "1")
    page = (tmp_path / "out" / "index.html").read_text()
    # The model is detail 1, too bright; others are better.
    assert not greens(page, "psnr_db")[0]
    bright = model(tmp_path / "kinds.onnx", spec_of("pix2pix", labels=("plain", "bright")), "label")
    evaluate(tmp_path / "out", bright, "--data", pairs_folder, "--label", "bright", "--against", same)
    assert greens((tmp_path / "out" / "index.html").read_text(), "psnr_db") == [True, False, False]


def test_metrics_of_each_picture_have_charts_with_both_models(tmp_path: Path, same: Path, pairs_folder: Path) -> None:
    bright = model(tmp_path / "kinds.onnx", spec_of("pix2pix", labels=("plain", "bright")), "label")
    evaluate(tmp_path / "out", bright, "--data", pairs_folder, "--label", "bright", "--against", same)
    page = (tmp_path / "out" / "index.html").read_text()
    charts = re.findall(r"<figcaption>([^<]*)</figcaption>(<svg.*?</svg>)", page, re.DOTALL)
    assert [title for title, _ in charts] == ["PSNR, dB", "SSIM"]
    for _, svg in charts:
        assert {"pictures", "same", "same (same)"} <= set(re.findall(r"<text[^>]*>(.*?)</text>", svg))
        assert {"var(--series-1)", "var(--series-2)"} <= set(re.findall(r"stroke: (var[^;]*);", svg))


def test_pictures_of_the_page_are_made_again_where_they_were_not_kept(
    tmp_path: Path, same: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(8):
        save(tmp_path / "data" / "source" / f"{number}.png", picture(number))
        save(tmp_path / "data" / "target" / f"{number}.png", picture(number) + number)
    evaluate(tmp_path / "all", same, "--data", tmp_path / "data")
    monkeypatch.setattr(survey, "SHOWN", 2)
    evaluate(tmp_path / "few", same, "--data", tmp_path / "data")
    pages = [(tmp_path / name / "index.html").read_text() for name in ("all", "few")]
    worst = [page[page.index("<h2>The worst") :] for page in pages]
    assert worst[0] == worst[1]


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_page_names_every_metric_and_escapes_names(tmp_path: Path, same: Path) -> None:
    hostile = "<script>alert(1)<"
    for side in ("source", "target"):
        for number in range(3):
            save(tmp_path / "data" / side / f"{hostile}{number}.png", picture(number))
    (tmp_path / "data" / "source" / "<i>.png").write_text("no picture")
    save(tmp_path / "data" / "target" / "<i>.png", picture(0))
    arguments = ["evaluate", str(same), "--data", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
    assert main(arguments) == 1
    page = (tmp_path / "out" / "index.html").read_text()
    parsed = Tags()
    parsed.feed(page)
    assert "script" not in parsed.tags
    assert "i" not in parsed.tags
    assert "b" not in parsed.tags  # of the licence
    assert all(source.startswith("data:image/jpeg;base64,") for source in parsed.sources)
    assert "&lt;script&gt;" in page
    for name in json.loads((tmp_path / "out" / "summary.json").read_text()):
        assert name in page
        assert metric(name).text.split(";")[0] in page


def test_every_number_has_words() -> None:
    names = {"psnr_db", "ssim", "swd_256px_milli", "swd_64px_milli", "swd_mean_milli", "target_share", "new"}
    assert ordered(names)[:2] == ["psnr_db", "ssim"]
    assert ordered(names)[-4:] == ["swd_mean_milli", "swd_256px_milli", "swd_64px_milli", "new"]
    assert "64 pixels" in metric("swd_64px_milli").text
    assert metric("new").title == "new"


def test_the_document_has_the_table() -> None:
    document = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"
    assert as_markdown() in document.read_text(encoding="utf-8")


def test_every_metric_of_training_is_described() -> None:
    from translate.trainers.config import Metric

    assert {one.training_name for one in METRICS.values()} - {""} == set(get_args(Metric))
