"""`translate evaluate`: numbers of models whose results are known by hand, files and errors."""

import dataclasses
import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import DOUBLE, save_model
from evaluated import SAME, Array, evaluate, model, picture, save, spec_of
from PIL import Image

from translate.cli.main import main
from translate.evaluation import methods as columns
from translate.evaluation import run as survey
from translate.inference.controls import numbered_style

pytestmark = pytest.mark.usefixtures("small_squares")


@pytest.fixture(autouse=True)
def no_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages have their charts in `test_evaluation_page.py`; each takes 0.03 seconds."""
    monkeypatch.setattr("translate.evaluation.page._charts", lambda survey: [])


def test_pairs_are_compared_with_their_truth(
    tmp_path: Path, same: Path, pairs_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = evaluate(tmp_path / "out", same, "--data", pairs_folder)
    assert found["model"] == "same"
    assert found["pictures"] == 3
    # A difference of 10 of 255 everywhere.
    assert found["metrics"]["psnr_db"] == pytest.approx(20 * math.log10(255 / 10), rel=1e-5)
    assert 0.9 < found["metrics"]["ssim"] < 1.0
    assert found["baselines"]["source"] == found["metrics"]
    assert found["against"] is None
    assert found["skipped"]["count"] == 0
    assert [case["name"] for case in found["each"]] == ["0.png", "1.png", "2.png"]
    assert found["spec"]["licence"] == "CC0 <b>"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", found["date"])
    # What `translate export --metrics` reads.
    assert json.loads((tmp_path / "out" / "summary.json").read_text()) == found["metrics"]
    assert all(isinstance(value, float) and math.isfinite(value) for value in found["metrics"].values())
    assert re.search(r"^psnr_db +28\.131 +28\.131$", capsys.readouterr().out, re.MULTILINE)
    with Image.open(tmp_path / "out" / "contact_sheet.png") as sheet:
        assert sheet.size == (3 * (160 + 12) + 12, 160 + 2 + 160 + 2 * 12)


def test_small_pictures_have_no_ms_ssim_and_a_note_says_so(tmp_path: Path, same: Path, pairs_folder: Path) -> None:
    found = evaluate(tmp_path / "out", same, "--data", pairs_folder)
    assert "ms_ssim" not in found["metrics"]
    assert any("ms_ssim is measured on 0 of 3" in note for note in found["notes"])
    save(pairs_folder / "source" / "3.png", picture(3, 200, 180))
    save(pairs_folder / "target" / "3.png", picture(3, 200, 180))
    found = evaluate(tmp_path / "out", same, "--data", pairs_folder)
    assert found["metrics"]["ms_ssim"] == 1.0
    assert any("ms_ssim is measured on 1 of 4" in note for note in found["notes"])


def test_pairs_side_by_side_and_in_sub_folders(tmp_path: Path, same: Path) -> None:
    for number, name in enumerate(("a/x.png", "b/y.png", "b/z.png")):
        other = picture(number) + (10 if number else 0)
        save(tmp_path / "data" / name, np.concatenate([other, picture(number)], axis=1))
    found = evaluate(
        tmp_path / "out", same, "--data", tmp_path / "data", "--layout", "side-by-side", "--source-side", "right"
    )
    assert found["sets"]["a"]["pictures"] == 1
    assert found["sets"]["b"]["pictures"] == 2
    assert found["sets"]["a"]["model"]["psnr_db"] == 100.0
    assert found["sets"]["b"]["model"]["psnr_db"] == pytest.approx(28.1308, abs=1e-3)


@pytest.fixture
def large_pictures(tmp_path: Path) -> Path:
    """A folder with two sets of large pictures, one with an odd side."""
    save(tmp_path / "large" / "one" / "a.png", picture(0, 41, 48))
    save(tmp_path / "large" / "two" / "b.png", picture(1, 64, 48))
    return tmp_path / "large"


def luma_psnr(result_HWC: Array, truth_HWC: Array, border: int) -> float:
    weights = np.array([65.481, 128.553, 24.966]) / 255
    difference = ((result_HWC.astype(float) - truth_HWC) @ weights)[border:-border, border:-border]
    return 10 * math.log10(255**2 / (difference**2).mean())


def test_enlarging_is_compared_with_bicubic(tmp_path: Path, large_pictures: Path) -> None:
    found = evaluate(tmp_path / "out", save_model(tmp_path / "double.onnx", DOUBLE), "--data", large_pictures)
    for group, truth_HWC in (("one", picture(0, 41, 48)[:40]), ("two", picture(1, 64, 48))):
        height, width = truth_HWC.shape[:2]
        small = Image.fromarray(truth_HWC).resize((width // 2, height // 2), Image.Resampling.BICUBIC)
        stretched_HWC = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))
        repeated_HWC = np.asarray(small).repeat(2, 0).repeat(2, 1)
        numbers = found["sets"][group]
        assert numbers["bicubic"]["psnr_luma_db"] == pytest.approx(luma_psnr(stretched_HWC, truth_HWC, 2), abs=1e-3)
        assert numbers["model"]["psnr_luma_db"] == pytest.approx(luma_psnr(repeated_HWC, truth_HWC, 2), abs=1e-3)
    both = [found["sets"][group]["bicubic"]["psnr_luma_db"] for group in ("one", "two")]
    assert found["baselines"]["bicubic"]["psnr_luma_db"] == pytest.approx(sum(both) / 2, abs=1e-3)


def test_spoilt_pictures_are_worse_and_the_same_every_time(tmp_path: Path, large_pictures: Path) -> None:
    double = save_model(tmp_path / "double.onnx", DOUBLE)
    plain = evaluate(tmp_path / "out", double, "--data", large_pictures)
    first, second = (evaluate(tmp_path / "out", double, "--data", large_pictures, "--spoil") for _ in range(2))
    assert first == second
    assert first["baselines"]["bicubic"]["psnr_luma_db"] < plain["baselines"]["bicubic"]["psnr_luma_db"] - 1


def test_details_are_columns_and_a_choice(tmp_path: Path, large_pictures: Path) -> None:
    sharp = model(tmp_path / "sharp.onnx", dataclasses.replace(DOUBLE, detail=True), "detail")
    found = evaluate(tmp_path / "out", sharp, "--data", large_pictures, "--detail", "0.5")
    assert list(found["variants"]) == ["detail_0", "detail_0.5", "detail_1"]
    assert found["variants"]["detail_0.5"] == found["metrics"]
    # 10 levels too bright are about 28 dB.
    faithful, sharpest = (found["variants"][name]["psnr_db"] for name in ("detail_0", "detail_1"))
    assert sharpest < found["metrics"]["psnr_db"] < faithful
    page = (tmp_path / "out" / "index.html").read_text()
    assert "<small>detail 0.5</small>" in page


def test_one_small_picture_does_not_make_all_squares_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # squares as large as they are
    double = save_model(tmp_path / "double.onnx", DOUBLE)
    for number, side in enumerate((40, 260, 300)):
        save(tmp_path / "large" / f"{number}.png", picture(number, side, side))
    found = evaluate(tmp_path / "out", double, "--data", tmp_path / "large")
    assert found["pictures"] == 3
    assert "swd_256px_milli" in found["metrics"]
    assert any("without 1 pictures that have a side below 64 pixels" in note for note in found["notes"])
    save(tmp_path / "large" / "3.png", picture(3, 100, 200))
    found = evaluate(tmp_path / "out", double, "--data", tmp_path / "large")
    assert "swd_100px_milli" in found["metrics"]
    assert any("squares of 100 pixels, the shorter side of the smallest, 3.png." in note for note in found["notes"])


def test_the_result_without_detail_is_made_once(
    tmp_path: Path, large_pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    made = columns.run_engine

    def counted(*arguments: Any, **controls: Any) -> Array:
        asked.append(controls.get("detail"))
        return made(*arguments, **controls)

    monkeypatch.setattr(columns, "run_engine", counted)
    monkeypatch.setattr(survey, "variants", lambda *_: [])
    sharp = model(tmp_path / "sharp.onnx", dataclasses.replace(DOUBLE, detail=True), "detail")
    found = evaluate(tmp_path / "out", sharp, "--data", large_pictures)
    assert sorted(asked, key=str) == [0.5, 0.5, 1.0, 1.0, None, None]
    assert found["variants"]["detail_0"] == found["metrics"]


@pytest.mark.usefixtures("small_squares")
def test_drawings_are_made_from_photographs_alike_every_time(tmp_path: Path, photos: Path) -> None:
    sketch = model(tmp_path / "sketch.onnx", spec_of("sketch-to-photo"))
    photos = shutil.copytree(photos, tmp_path / "few", ignore=shutil.ignore_patterns("[3-9].png"))
    first, second = (evaluate(tmp_path / "out", sketch, "--data", photos) for _ in range(2))
    assert first == second
    # The model returns the drawing.
    assert first["metrics"]["edge_agreement"] == first["baselines"]["source"]["edge_agreement"]
    assert first["metrics"]["chroma"] == 0.0 < first["baselines"]["truth"]["chroma"]
    assert first["metrics"]["edge_agreement"] > 0.5 > first["baselines"]["blank"]["edge_agreement"] == 0.0
    assert "psnr_db" not in first["baselines"]["truth"]
    assert first["direction"]["in"] == "drawings made of the photographs"
    # Whatever the size of the model.
    small = model(tmp_path / "small.onnx", spec_of("sketch-to-photo", working_size=48))
    assert evaluate(tmp_path / "out", small, "--data", photos)["baselines"] == first["baselines"]


def test_collections_keep_their_structure_and_are_judged(tmp_path: Path, collections: Path) -> None:
    same_day = model(tmp_path / "day.onnx", spec_of("day-to-night"))
    found = evaluate(tmp_path / "out", same_day, "--data", collections, "--train", collections)
    assert found["pictures"] == 5
    assert found["metrics"]["gradient_correlation"] == 1.0
    assert "psnr_db" not in found["metrics"]
    assert found["metrics"]["swd_mean_milli"] > 100  # by day it is nothing like by night
    assert 0.0 <= found["metrics"]["target_share"] <= 1.0
    assert found["metrics"]["target_share"] == found["baselines"]["source"]["target_share"]
    # Made as dark as the night, the day is nearer to it.
    relit, unchanged = (found["baselines"][name]["swd_mean_milli"] for name in ("relit", "source"))
    assert relit < unchanged
    real, source = (found["baselines"][name]["target_share"] for name in ("truth", "source"))
    assert found["classifier"]["accuracy"] == pytest.approx((real + 1 - source) / 2, abs=1e-6)
    assert any(note.startswith("target_share: the classifier was trained on 12") for note in found["notes"])
    back = evaluate(tmp_path / "out", same_day, "--data", collections, "--folders", "night", "day")
    assert back["pictures"] == 7
    assert "target_share" not in back["metrics"]
    assert any("--train" in note for note in back["notes"])


def test_the_way_back_takes_the_folders_the_other_way_round(
    tmp_path: Path, collections: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for task, name, source, pictures in (
        ("cyclegan", "cyclegan", "source", 5),
        ("cyclegan", "cyclegan-back", "target", 7),
        ("day-to-night", "streets-back", "day", 5),
        ("night-to-day", "streets-back", "night", 7),
    ):
        direction = "back" if name == f"{task}-back" else "forward"
        back = model(tmp_path / "back.onnx", spec_of(task, name=name, direction=direction))
        found = evaluate(tmp_path / "out", back, "--data", collections)
        assert found["pictures"] == pictures
        assert found["direction"]["in"] == f"folder {source}"
        assert f"input: folder {source}; target: folder " in capsys.readouterr().out
        assert f"<dt>Goes in</dt><dd>folder {source}</dd>" in (tmp_path / "out" / "index.html").read_text()


def test_results_that_are_training_pictures_are_found(tmp_path: Path, same: Path) -> None:
    for number in range(6):
        save(tmp_path / "test" / "source" / f"{number}.png", picture(number))
        save(tmp_path / "test" / "target" / f"{number}.png", picture(10 + number))
        save(tmp_path / "train" / f"learnt{number}.png", picture(number))
    arguments = (same, "--data", tmp_path / "test", "--train", tmp_path / "train")
    found = evaluate(tmp_path / "out", *arguments)
    assert found["metrics"]["nearest_training_rms_of_255"] == 0.0
    assert found["baselines"]["truth"]["nearest_training_rms_of_255"] > 5.0
    page = (tmp_path / "out" / "index.html").read_text()
    assert "0.png · learnt0.png" in page
    assert "5.png · learnt5.png" in page


def test_copies_of_photographs_that_are_not_square_are_found(tmp_path: Path) -> None:
    for number in range(2):
        save(tmp_path / "photos" / f"{number}.png", picture(number, 40, 90))
    drawn = model(tmp_path / "drawn.onnx", spec_of("sketch-to-photo"))
    found = evaluate(tmp_path / "out", drawn, "--data", tmp_path / "photos", "--train", tmp_path / "photos")
    # The true photographs are those of the training.
    assert found["baselines"]["truth"]["nearest_training_rms_of_255"] == 0.0


def test_training_pictures_in_two_folders_are_whole_beside_test_pairs_in_one_file(tmp_path: Path, same: Path) -> None:
    save(tmp_path / "test" / "0.png", np.concatenate([picture(0), picture(1)], axis=1))
    for side, seed in (("source", 0), ("target", 1)):
        save(tmp_path / "train" / side / "0.png", picture(seed))
    arguments = ("--data", tmp_path / "test", "--layout", "side-by-side", "--train", tmp_path / "train")
    found = evaluate(tmp_path / "out", same, *arguments)
    assert found["baselines"]["truth"]["nearest_training_rms_of_255"] == 0.0


def test_each_picture_gets_the_label_of_its_sub_folder(tmp_path: Path) -> None:
    labelled = model(tmp_path / "kinds.onnx", spec_of("pix2pix", labels=("plain", "bright")), "label")
    for number, kind in enumerate(("plain", "bright")):
        save(tmp_path / "data" / "source" / kind / "x.png", picture(3))
        save(tmp_path / "data" / "target" / kind / "x.png", picture(3) + 10 * number)
    found = evaluate(tmp_path / "out", labelled, "--data", tmp_path / "data")
    assert found["metrics"]["psnr_db"] == 100.0
    assert {case["name"]: case["label"] for case in found["each"]} == {"plain/x.png": "plain", "bright/x.png": "bright"}
    assert "<small>label bright</small>" in (tmp_path / "out" / "index.html").read_text()
    forced = evaluate(tmp_path / "out", labelled, "--data", tmp_path / "data", "--label", "plain")
    assert forced["sets"]["bright"]["model"]["psnr_db"] == pytest.approx(28.1308, abs=1e-3)


def test_styles_are_as_different_as_they_are(tmp_path: Path, pairs_folder: Path) -> None:
    spec = spec_of("pix2pix", style_size=2)
    styled = model(tmp_path / "styled.onnx", spec, "style")
    found = evaluate(tmp_path / "out", styled, "--data", pairs_folder)
    shifts = [np.round(10 * numbered_style(number, spec).sum()) for number in range(1, 6)]
    apart = [abs(shifts[i] - shifts[j]) / 255 for i in range(5) for j in range(i + 1, 5)]
    assert found["metrics"]["style_diversity"] == pytest.approx(sum(apart) / 10, abs=0.3 / 255)
    assert "style_diversity" not in found["baselines"]["truth"]
    assert "<small>style 5</small>" in (tmp_path / "out" / "index.html").read_text()
    assert found["variants"]["styles"]["psnr_db"] != found["metrics"]["psnr_db"]
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["styles_swd_mean_milli"] == found["variants"]["styles"]["swd_mean_milli"]
    with Image.open(tmp_path / "out" / "contact_sheet.png") as sheet:
        columns_THWC = np.split(np.asarray(sheet, np.float32)[12:, 12:], 3, axis=1)
    changes = [float((tile_HWC[162:322, :160] - tile_HWC[:160, :160]).mean()) for tile_HWC in columns_THWC]
    assert min(abs(changes[i] - changes[j]) for i in range(3) for j in range(i)) > 1  # each in another style


def test_another_model_is_measured_on_the_same_pictures(tmp_path: Path, same: Path, pairs_folder: Path) -> None:
    # With one label only, 0, it changes nothing.
    other = model(tmp_path / "other.onnx", spec_of("pix2pix", name="other", labels=("one",)), "label")
    found = evaluate(tmp_path / "out", same, "--data", pairs_folder, "--against", other)
    assert found["against"] == {"model": "other", "metrics": found["metrics"]}
    page = (tmp_path / "out" / "index.html").read_text()
    assert '<th class="n">other</th>' in page
    assert "<small>against</small>" in page


def test_a_quick_look_takes_pictures_evenly(tmp_path: Path, same: Path) -> None:
    for number in range(6):
        for side in ("source", "target"):
            save(tmp_path / "data" / side / f"{number}.png", picture(number))
    found = evaluate(tmp_path / "out", same, "--data", tmp_path / "data", "--limit", "2")
    assert [case["name"] for case in found["each"]] == ["0.png", "3.png"]


def test_unreadable_pictures_are_named_and_counted(
    tmp_path: Path, same: Path, pairs_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pairs_folder / "target" / "1.png").write_text("no picture")
    out = tmp_path / "out"
    assert main(["evaluate", str(same), "--data", str(pairs_folder), "--out", str(out)]) == 1
    found = json.loads((out / "metrics.json").read_text())
    assert found["pictures"] == 2
    assert found["skipped"]["count"] == 1
    assert "1.png" in found["skipped"]["reasons"][0]
    assert re.search(r"1\.png: not a PNG", capsys.readouterr().err)


@pytest.fixture
def folder(tmp_path: Path, pairs_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with models and data, good and bad."""
    model(tmp_path / "same.onnx", SAME)
    model(tmp_path / "day.onnx", spec_of("day-to-night"))
    model(tmp_path / "kinds.onnx", spec_of("pix2pix", labels=("plain", "bright")), "label")
    save_model(tmp_path / "double.onnx", DOUBLE)
    model(tmp_path / "triple.onnx", dataclasses.replace(DOUBLE, scale=3))
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    for side in ("source", "target"):
        save(tmp_path / "kinds" / side / "strange" / "x.png", picture(0))
        (tmp_path / "broken" / side).mkdir(parents=True)
        (tmp_path / "broken" / side / "x.png").write_text("no picture")
    save(tmp_path / "alone" / "source" / "a.png", picture(0))
    save(tmp_path / "alone" / "target" / "b.png", picture(0))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("same.onnx", "--data is missing; "),
        ("nope --data data", "unknown model 'nope'"),
        ("same.onnx --data nowhere", "nowhere does not exist; "),
        ("same.onnx --data empty", "empty contains no files; "),
        ("same.onnx --data data/source", "data/source does not have the folders source and target; .*--folders"),
        ("same.onnx --data alone", "1 of 1 pictures in alone/source have no partner in alone/target .a.; "),
        ("same.onnx --data broken", "no picture of broken could be used: broken/source/x.png: not a PNG"),
        ("same.onnx --data data --limit 0", "--limit 0 is out of range; "),
        ("same.onnx --data data --label plain", "same has no label 'plain'; "),
        ("same.onnx --data data --detail 0.5", "same has no detail control"),
        ("same.onnx --data data --spoil", "--spoil is for super-resolution, "),
        ("same.onnx --data data --source-side right", "--source-side right is for pairs in one file each; "),
        ("double.onnx --data data --train data", "--train does not apply to super-resolution models such as double; "),
        ("double.onnx --data data --layout photos", "--layout photos has no effect, "),
        ("double.onnx --data data --folders a b", "--folders has no effect, "),
        ("day.onnx --data data --layout two-folders", "--layout two-folders has no effect, "),
        ("same.onnx --data data --out file", "file cannot be written "),
        ("same.onnx --data data --against day.onnx", "--against is for day-to-night, this model for pix2pix; "),
        ("same.onnx --data data --train empty", "empty contains no files; "),
        ("double.onnx --data data --against triple.onnx", "--against enlarges 3 times, this one 2 times; "),
        ("kinds.onnx --data kinds", "strange is no label of kinds; |strange is no label of same; "),
        ("kinds.onnx --data data --label brigt", "has no label 'brigt'; did you mean bright"),
        ("day.onnx --data data", "data does not have the folders day and night; "),
        ("day.onnx --data data --folders source target --train alone/source", "does not have the folders source and"),
    ],
)
def test_errors_are_one_line(arguments: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", *arguments.split()]) == 2
    found = capsys.readouterr()
    assert found.out == ""
    assert re.match(f"translate: .*({message})[^\n]*\n$", found.err)


def test_pictures_without_a_source_are_left_out_with_a_note(tmp_path: Path, same: Path, pairs_folder: Path) -> None:
    save(pairs_folder / "target" / "more.png", picture(0))
    found = evaluate(tmp_path / "out", same, "--data", pairs_folder)
    assert found["pictures"] == 3
    assert "1 pictures in target have no partner in source and are left out." in found["notes"]
