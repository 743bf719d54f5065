"""What is downloaded from the page is what `translate convert` makes, to the byte."""

import os
from pathlib import Path

import numpy as np
import pytest
from conftest import DOUBLE, INVERT, save_model
from made_files import bomb
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from starlette.applications import Starlette
from starlette.testclient import TestClient
from test_engine import save_sum

from translate.cli.main import main
from translate.conversion.worker import Conversion
from translate.errors import ImageError, TranslateError
from translate.inference.engine import Engine
from translate.pictures.operations import Picture, bicubic, flatten, read_picture, write_picture
from translate.spec import ModelSpec
from ui import actions, files
from ui.model import Model
from ui.site import Site
from ui.sketch.routes import Studio

STYLED = ModelSpec(name="styled", task="sketch-to-photo", architecture="", labels=("shoe", "bag"), style_size=5)


def uploads(folder: Path, image_HWC: np.ndarray) -> dict[str, Path]:
    """Files that are more than 8 bits of three colours."""
    rng = np.random.default_rng(0)
    facts = PngInfo()
    facts.add_text("Title", "kept")
    exif = Image.Exif()
    exif[0x010E] = "a description"
    paths = {name: folder / name for name in ("deep.png", "clear.png", "said.jpg", "moving.gif", "deep.tiff")}
    deep = Picture(rng.integers(0, 65536, (24, 20, 3), np.uint16))
    write_picture(paths["deep.png"], deep)
    write_picture(paths["deep.tiff"], deep)
    Image.fromarray(np.dstack([image_HWC, image_HWC[..., 0]])).save(paths["clear.png"], pnginfo=facts)
    Image.fromarray(image_HWC).save(paths["said.jpg"], exif=exif, dpi=(300, 300))
    first, *others = (Image.fromarray(np.roll(image_HWC, shift, axis=1)) for shift in (0, 4, 8))
    first.save(paths["moving.gif"], save_all=True, append_images=others, duration=80)
    return paths


def commanded(model: Path, source: Path, out: Path, *options: str) -> Path:
    """Run the command; the only file it makes."""
    assert main(["convert", str(source), str(out), "--model", str(model), "--name", files.NAME, *options]) == 0
    (result,) = out.iterdir()
    return result


@pytest.mark.parametrize("output_format", [value for _, value in files.OUTPUT_FORMATS])
def test_every_format_is_what_the_command_makes(output_format: str, tmp_path: Path, image_HWC: np.ndarray) -> None:
    model = save_model(tmp_path / "model.onnx", DOUBLE)
    engine = Engine(model)
    for path in uploads(tmp_path, image_HWC).values():
        expected = commanded(model, path, tmp_path / f"out-{path.stem}-{path.suffix[1:]}", "--format", output_format)
        how = actions.conversion(engine.spec, None, None, None, output_format)
        made = actions.make(engine, path, tmp_path / "cache", how)
        assert made.result.name == expected.name
        assert made.result.name.startswith(f"{path.stem}-double.")
        assert made.result.read_bytes() == expected.read_bytes()


def test_depth_alpha_frames_and_metadata_survive(tmp_path: Path, image_HWC: np.ndarray) -> None:
    engine = Engine(save_model(tmp_path / "model.onnx", DOUBLE))
    how = actions.conversion(engine.spec, None, None, None, "same")
    made = {
        name: actions.make(engine, path, tmp_path / "cache", how) for name, path in uploads(tmp_path, image_HWC).items()
    }
    assert read_picture(made["clear.png"].result).alpha_HW is not None
    assert [text.text for text in read_picture(made["clear.png"].result).texts] == ["kept"]
    with Image.open(made["said.jpg"].result) as said, Image.open(made["moving.gif"].result) as moving:
        assert said.getexif()[0x010E] == "a description"
        assert said.info["dpi"] == (600, 600)
        assert moving.n_frames == 3
    assert "This is the first of 3 frames; the file to download has all of them." in made["moving.gif"].notes
    shown = made["clear.png"].shown
    assert shown is not None
    before = read_picture(shown.before)
    np.testing.assert_array_equal(before.rgb_HWC, flatten(read_picture(tmp_path / "clear.png")))  # on white
    assert before.alpha_HW is None
    assert (shown.height, shown.width) == (2 * before.height, 2 * before.width)
    assert shown.bicubic is not None
    expected_HWC = bicubic(before.rgb_HWC, shown.height, shown.width)
    np.testing.assert_array_equal(read_picture(shown.bicubic).rgb_HWC, expected_HWC)
    assert shown.seconds > 0
    assert not shown.traces


def test_sixteen_bits_stay(tmp_path: Path) -> None:
    spec = ModelSpec(name="deep", task="super-resolution", architecture="", input_bits=16, output_bits=16)
    engine = Engine(save_sum(tmp_path / "model.onnx", spec))
    deep_HWC = np.random.default_rng(1).integers(0, 65536, (24, 20, 3), np.uint16)
    write_picture(tmp_path / "deep.png", Picture(deep_HWC))
    how = actions.conversion(spec, None, None, None, "same")
    made = actions.make(engine, tmp_path / "deep.png", tmp_path / "cache", how)
    np.testing.assert_array_equal(read_picture(made.result, bits=16).rgb_HWC, deep_HWC)
    assert made.shown is not None
    assert read_picture(made.shown.after, bits=16).bits == 8
    assert made.shown.bicubic is None  # nothing is enlarged


def test_large_results_are_shown_smaller(
    tmp_path: Path, image_HWC: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(save_model(tmp_path / "model.onnx", DOUBLE))
    Image.fromarray(image_HWC).save(tmp_path / "a.png")
    monkeypatch.setattr(actions, "ENLARGED_SIDE", 16)
    how = actions.conversion(engine.spec, None, None, None, "png")
    made = actions.make(engine, tmp_path / "a.png", tmp_path / "cache", how)
    height, width = (2 * side for side in image_HWC.shape[:2])
    assert read_picture(made.result).rgb_HWC.shape[:2] == (height, width)
    assert made.notes == (f"Shown smaller: the file to download has {width} x {height} pixels.",)
    assert made.shown is not None
    assert (made.shown.height, made.shown.width) == (height, width)
    assert max(read_picture(made.shown.after).rgb_HWC.shape) == max(read_picture(made.shown.before).rgb_HWC.shape) == 16


def test_too_many_pixels_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    """Also by models that work through pictures of any size band by band, which would take hours."""
    engine = Engine(save_model(tmp_path / "model.onnx", INVERT))
    (tmp_path / "bomb.png").write_bytes(bomb())
    with pytest.raises(ImageError, match=r"^bomb\.png: 60000 x 60000 pixels is too large"):
        files.convert_file(engine, tmp_path / "bomb.png", tmp_path / "out", Conversion())
    assert not list(tmp_path.glob("out/*"))


def test_messages_name_the_file_without_folders(tmp_path: Path) -> None:
    engine = Engine(save_model(tmp_path / "model.onnx", INVERT))
    bad = tmp_path / "in" / "bad.png"
    bad.parent.mkdir()
    bad.write_bytes(b"GIF89a")
    with pytest.raises(ImageError, match=r"^bad\.png: damaged picture"):
        files.convert_file(engine, bad, tmp_path / "out", Conversion())
    with pytest.raises(TranslateError, match=r"was trained without labels"):
        files.convert_file(engine, bad, tmp_path / "out", Conversion(label="shoe"))


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("a b.PNG", "a b.PNG"),
        ("../../etc/passwd.png", "passwd.png"),
        ("C:\\Users\\me\\photo.jpg", "photo.jpg"),
        ("what?<is>|this*.webp", "what-is-this-.webp".replace("-.", ".")),
        ("größe (2).tif", "größe (2).tif"),
        (".png.png", "png.png"),
        ("***.png", "picture.png"),
        ("x" * 300 + ".png", "x" * 80 + ".png"),
        ("Gro\u0308\u00dfe.png", "Gr\u00f6\u00dfe.png"),  # as a Mac writes it
        ("\u0e23\u0e39\u0e1b.png", "\u0e23\u0e39\u0e1b.png"),  # Thai
        ("a\u2603\ufe0fb.png", "a-b.png"),
    ],
)
def test_safe_names(name: str, safe: str) -> None:
    assert files.safe_name(name) == safe


@pytest.mark.parametrize("name", ["", "a", "a.svg", ".png", "a.png/b", "a.mp4"])
def test_names_that_are_not_pictures(name: str) -> None:
    with pytest.raises(ImageError, match=r"not a picture that can be read; use PNG, JPEG, WebP, .* or TGA$"):
        files.safe_name(name)


def test_old_files_are_deleted(tmp_path: Path) -> None:
    old, new = files.new_folder(tmp_path), files.new_folder(tmp_path)
    (tmp_path / "of somebody else").mkdir()
    (old / "a.png").touch()
    for path in (old, tmp_path / "of somebody else"):
        os.utime(path, (0, 0))
    newest = files.new_folder(tmp_path)
    assert set(tmp_path.iterdir()) == {new, newest, tmp_path / "of somebody else"}


def client(cache: Path, *models: Path) -> TestClient:
    found = [Model(Engine(path), [], index, path.name) for index, path in enumerate(models)]
    return TestClient(Starlette(routes=Studio(Site(found, cache)).routes()))


def test_a_drawing_s_file_is_what_the_command_makes(tmp_path: Path, image_HWC: np.ndarray) -> None:
    model = save_sum(tmp_path / "model.onnx", STYLED)
    web = client(tmp_path / "cache", model)
    for name, path in uploads(tmp_path, image_HWC // 2).items():
        for style in ("", "42", "-0.5,1.25,0,2,0.1"):
            options = ["--label", "bag", "--format", "webp", *([f"--style={style}"] if style else [])]
            expected = commanded(model, path, tmp_path / f"out-{name}-{style}".replace(".", "-"), *options)
            wanted = {"label": "bag", "style": style, "format": "webp", "name": name}
            answer = web.post("/sketch/file", params=wanted, content=path.read_bytes())
            assert answer.headers["X-Name"] == expected.name
            assert answer.content == expected.read_bytes()
    assert list((tmp_path / "cache").iterdir()) == []  # nothing is kept
