"""Training goes on from a model file."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import save_model
from PIL import Image, ImageDraw
from tiny_runs import OF_TRAINER, log_lines, options, read_tensors, settings, trainer_class
from torch import nn

from export.to_onnx import SMALL, constants, finish, trace, without_controls, write_model
from translate.cli.main import main
from translate.cli.train import _start
from translate.errors import MissingExtra, ModelError, require
from translate.inference.models import ShippedModel, shipped
from translate.networks.condition import condition_vector
from translate.networks.pixels import pixels_to_signal
from translate.tasks import TASKS
from translate.trainers.base import Batch, Trainer, pixel_translator
from translate.training import exported, start
from translate.training.batches import list_training_data, open_training_data
from translate.training.exported import read_exported, training_facts
from translate.training.snapshot import FILE_NAME

SKETCHES = "sketch-to-photo"
STYLED = {"label_names": ("bags", "shoes"), "labels": True, "style_size": 5, "style_kind": "colours"}


def make(task: str, **changes: Any) -> Trainer:
    torch.manual_seed(changes.get("seed", 0))
    return trainer_class(task)(settings(task, **changes), TASKS[task])


def write(trainer: Trainer, *paths: Path) -> None:
    """The trainer's generator as `translate export` writes it, once for every path, named by its options."""
    network = pixel_translator(trainer.get_submodule("generator"), trainer.spec).eval()
    traced = trace(network, trainer.spec)
    for path in paths:
        fixed = path.stem == "fixed"
        weights = "float16" if path.stem == "float16" else "float32"
        graph = finish(traced, trainer.spec, weights, "fixed" if fixed else "optional")
        spec = without_controls(trainer.spec) if fixed else trainer.spec
        write_model(graph, spec, path, training_facts(trainer, network.generator, constants(graph)))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trainer, Path]:
    """A model of two kinds with styles, whose units are not the initial ones, and the folder of its files."""
    trainer: Any = make(SKETCHES, **STYLED, generator_widths=(8, 48), seed=1)
    trainer.colours.standard.spread_S.fill_(0.5)
    with torch.no_grad():
        trainer.generator.out.bias.copy_(torch.tensor([0.1, 0.2, 0.3]))
    folder = tmp_path_factory.mktemp("written")
    write(trainer, folder / "styled.onnx", folder / "float16.onnx", folder / "fixed.onnx")
    return trainer, folder


@pytest.fixture
def styled(written: tuple[Trainer, Path]) -> Path:
    return written[1] / "styled.onnx"


def test_a_file_gives_back_every_weight_and_the_settings_with_controls(written: tuple[Trainer, Path]) -> None:
    trainer, folder = written
    assert_given_back(trainer, folder / "float16.onnx", SKETCHES)


def test_a_file_with_fixed_controls_can_be_trained_further(written: tuple[Trainer, Path]) -> None:
    trainer, folder = written
    found = read_exported(folder / "fixed.onnx")
    assert (found.spec.labels, found.spec.style_size, found.settings["style_size"]) == ((), 0, 5)
    assert found.weights.keys() == trainer.get_submodule("generator").state_dict().keys()


@pytest.mark.parametrize(
    ("task", "changes"),
    [
        (SKETCHES, {"generator_upsampling": "nearest", "generator_padding": "replicate", "generator_widths": (8,)}),
        ("cyclegan", {"preset": "classic", "generator": "resnet", "batch_size": 1}),
        ("super-resolution", {"preset": "classic", "generator": "srresnet", "discriminator": "srgan"}),
    ],
)
def test_a_file_gives_back_every_weight_and_the_settings(task: str, changes: dict[str, Any], tmp_path: Path) -> None:
    trainer = make(task, **changes)
    write(trainer, tmp_path / "float16.onnx")
    assert_given_back(trainer, tmp_path / "float16.onnx", task)


def assert_given_back(trainer: Trainer, path: Path, task: str) -> None:
    """The trainer has not learnt: many constants are equal, and are kept once."""
    found = read_exported(path)
    again = trainer_class(task)(settings(task).replace(**found.settings), TASKS[task])
    generator = again.get_submodule("generator")
    start._take_weights(generator, found)
    state = trainer.get_submodule("generator").state_dict()
    assert generator.state_dict().keys() == state.keys()
    for name, value in generator.state_dict().items():
        stored = state[name].half().float() if state[name].numel() >= SMALL else state[name]
        assert torch.equal(value, stored), name
    assert again.spec == trainer.spec


@pytest.mark.parametrize("model", shipped(), ids=lambda model: model.name)
def test_shipped_models_are_starting_points(model: ShippedModel) -> None:
    found = read_exported(model.file)
    kind = trainer_class(model.task)
    preset = kind.presets["modern"].replace(**TASKS[model.task].settings)
    trainer = kind(preset.replace(**found.settings), TASKS[model.task])
    start._take_weights(trainer.get_submodule("generator"), found)
    passed_on = {"licence", "training_data", "metrics", "weights_sha256", "producer", "bytes_per_pixel", "name"}
    passed_on |= {"parameters", "gmacs_256", "content_share", "default_style", "style_kind"}  # not all in older files
    passed_on.add("restores")  # follows from what the new run learns from
    for field in dataclasses.fields(found.spec):
        if field.name not in passed_on:
            assert getattr(trainer.spec, field.name) == getattr(found.spec, field.name), field.name


class Painter(nn.Module):
    """Squares on white whose brightness is the first number of the style times `spread`, about `centre`."""

    centre, spread = -0.2, 0.15

    def forward(self, x_BCHW: torch.Tensor, condition_BD: torch.Tensor) -> torch.Tensor:
        made_BCHW = torch.ones_like(x_BCHW)
        tint_B111 = self.centre + self.spread * condition_BD[:, 2:3, None, None]
        made_BCHW[:, :, 4:28, 4:28] = tint_B111
        return made_BCHW


def test_units_of_styles_are_found_by_asking_the_generator() -> None:
    trainer: Any = make(SKETCHES, **STYLED)
    trainer.generator = Painter()
    pictures_BCHW = torch.zeros(4, 3, 32, 32)
    photos_BCHW = (0.4 * torch.rand(4, 3, 1, 1) - 0.6).expand(-1, -1, 32, 32)
    real_BS = trainer.colours(photos_BCHW)
    start._measure_units(trainer, trainer.colours, Batch(pictures_BCHW, photos_BCHW, torch.zeros(4, dtype=torch.int64)))
    assert trainer.colours.standard.centre_S[0].item() == pytest.approx(Painter.centre, abs=0.02)
    assert trainer.colours.standard.spread_S[0].item() == pytest.approx(Painter.spread, abs=0.02)
    # It paints no colours: their units are those of the photographs.
    torch.testing.assert_close(trainer.colours.standard.centre_S[1:3], real_BS.mean(dim=0)[1:3])
    torch.testing.assert_close(trainer.colours.standard.spread_S[1:3], real_BS.std(dim=0, correction=0)[1:3])
    style_1S = torch.tensor([[1.5, 0.0, 0.0, 0.0, 0.0]])
    made_BCHW = trainer.generator(pictures_BCHW[:1], condition_vector(2, 5, None, style_1S, torch.device("cpu")))
    assert trainer.colours(made_BCHW)[0, 0].item() == pytest.approx(1.5, abs=0.15)


def test_units_of_styles_are_measured_on_the_pictures_to_learn_from(
    styled: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer, task = make(SKETCHES, start_from=str(styled), held_out=1), TASKS[SKETCHES]
    listings, _ = list_training_data(task, trainer.config, photos, None)
    found: list[Batch] = []
    monkeypatch.setattr(start, "start_from_files", lambda *given: found.append(given[-1]()) or "")
    assert _start(trainer, task, listings) == ""
    learnt = open_training_data(trainer, task, listings).stream.plain(6)
    assert len(learnt.target_BHWC) == 5
    assert torch.equal(found[0].target_BCHW, pixels_to_signal(learnt.target_BHWC, 8))


# --- the command


def command(data: Path, out: Path, file: Path, *more: str, **changes: Any) -> int:
    given = dict.fromkeys(OF_TRAINER["Pix2Pix"]) | {"generator_blocks": None} | changes
    arguments = options(SKETCHES, **given)
    return main(
        ["train", SKETCHES, "--data", str(data), "--out", str(out), "--start-from", str(file), *arguments, *more]
    )


def test_the_average_begins_with_the_file_and_the_discriminator_learns_first(
    styled: Path, kinds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(kinds, tmp_path / "run", styled, discriminator_warmup=1.0, max_images=4) == 0
    assert f"not in {styled}, starts untrained: discriminator\n" in capsys.readouterr().err
    found, learnt = read_exported(styled), read_tensors(tmp_path / "run" / FILE_NAME)
    for name, value in found.weights.items():
        for place in ("trainer/generator.", "average/generator/"):
            assert torch.equal(learnt[f"{place}{name}"], value), name
    assert not torch.equal(learnt["trainer/colours.standard.spread_S"], torch.ones(5))
    assert any("optimizers/discriminator" in name for name in learnt)
    assert not any("optimizers/generator" in name for name in learnt)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["warm_start"], config["label_names"]) == (0.0, ["bags", "shoes"])


def test_a_warm_up_ends_and_a_run_is_resumed_without_the_file(styled: Path, kinds: Path, tmp_path: Path) -> None:
    file = shutil.copy(styled, tmp_path / "gone.onnx")
    warm = {"discriminator_warmup": 0.5, "max_images": 8}
    assert command(kinds, tmp_path / "run", Path(file), "--stop-after", "4images", **warm) == 0
    before = read_tensors(tmp_path / "run" / FILE_NAME)
    assert torch.equal(before["trainer/generator.out.bias"], torch.tensor([0.1, 0.2, 0.3]))
    Path(file).unlink()
    assert main(["train", SKETCHES, "--out", str(tmp_path / "run"), "--resume"]) == 0
    after = read_tensors(tmp_path / "run" / FILE_NAME)
    assert not torch.equal(after["trainer/generator.out.bias"], before["trainer/generator.out.bias"])


def test_fewer_kinds_than_the_model_knows(styled: Path, kinds: Path, tmp_path: Path) -> None:
    shutil.copytree(kinds / "shoes", tmp_path / "mine" / "shoes")
    assert command(tmp_path / "mine", tmp_path / "run", styled, max_images=2) == 0
    assert json.loads((tmp_path / "run" / "config.json").read_text())["label_names"] == ["bags", "shoes"]


@pytest.mark.parametrize(
    ("data", "file", "changes", "message"),
    [
        ("kinds", "foreign.onnx", {}, "foreign.onnx: an ONNX model of another program, without translate.spec"),
        ("kinds", "broken.onnx", {}, "broken.onnx: truncated, or not an ONNX file; "),
        ("kinds", "absent.onnx", {}, "absent.onnx: no such file"),
        ("kinds", "styled.onnx", {"generator_widths": (8, 16)}, "has shape (48,), expected (16,); use"),
        ("kinds", "styled.onnx", {"style_size": 8, "style_kind": "learned"}, "its --style-kind is colours"),
        ("photos", "styled.onnx", {}, "it has no label; the labels are fixed, so move it into a sub-folder of"),
        ("others", "styled.onnx", {}, "is in the sub-folder hats; the labels are fixed, so move it into"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(
    data: str, file: str, changes: dict[str, Any], message: str, styled: Path, kinds: Path, photos: Path,
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    save_model(tmp_path / "foreign.onnx", None)
    (tmp_path / "broken.onnx").write_bytes(styled.read_bytes()[:1000])
    shutil.copy(styled, tmp_path / "styled.onnx")
    shutil.copytree(photos, tmp_path / "others" / "hats")
    folder = {"kinds": kinds, "photos": photos, "others": tmp_path / "others"}[data]
    assert command(folder, tmp_path / "run", tmp_path / file, **changes) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_the_way_back_is_another_task(collections: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--data", str(collections), "--out", str(tmp_path / "run"), "--max-images", "2", "--device", "cpu"]
    assert main(["train", "day-to-night", *arguments, "--start-from", "night-to-day"]) == 2
    assert "is a model for night-to-day; train that task" in capsys.readouterr().err


def test_a_preset_that_the_file_does_not_suit_is_named(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The advice of the settings alone, --detail-blocks 0, would only lead to another refusal."""
    arguments = ["--data", str(photos), "--out", str(tmp_path / "run"), "--max-images", "2", "--preset", "fidelity"]
    assert main(["train", "super-resolution", *arguments, "--start-from", "super-resolution"]) == 2
    assert capsys.readouterr().err == (
        "translate: --preset fidelity does not suit --start-from super-resolution (--detail-blocks is 4, but without "
        "adversarial training the detail branch is not trained); use another --preset, or start from nothing\n"
    )


def test_a_shipped_model_brings_its_way_back() -> None:
    files = start.model_files("day-to-night", TASKS["day-to-night"])
    assert [path.parent.name for path in files.values()] == ["day-to-night", "night-to-day"]
    trainer: Any = trainer_class("day-to-night")(
        trainer_class("day-to-night")
        .presets["modern"]
        .replace(
            start_from="day-to-night",
            **{**TASKS["day-to-night"].settings, **read_exported(files["forward"]).settings},
        ),
        TASKS["day-to-night"],
    )
    note = start.start_from_files(trainer, TASKS["day-to-night"], files, lambda: pytest.fail("nothing to measure"))
    assert note.endswith("starts untrained: discriminator, back_discriminator")
    for network, path in zip((trainer.generator, trainer.back_generator), files.values(), strict=True):
        assert torch.equal(network.state_dict()["out.bias"], read_exported(path).weights["out.bias"])


def test_a_run_folder_with_the_name_of_a_model_is_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert start.model_files(SKETCHES, TASKS[SKETCHES])
    (tmp_path / SKETCHES).mkdir()
    (tmp_path / SKETCHES / FILE_NAME).touch()
    assert start.model_files(SKETCHES, TASKS[SKETCHES]) == {}


def test_without_onnx_the_extra_is_named(styled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exported, "require", lambda extra, *_: require(extra, "not_there"))
    with pytest.raises(MissingExtra, match=r"pip install '.\[export\]'"):
        read_exported(styled)


class Folded(nn.Module):
    """Learnt as a sum of two kernels, exported as one."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.narrow = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 1, bias=False)

    def load_exported(self, state: dict[str, torch.Tensor]) -> None:
        self.wide.load_state_dict(state)
        nn.init.zeros_(self.narrow.weight)


def test_folded_kernels_are_loaded_by_their_own_module() -> None:
    network: Any = nn.Sequential(nn.Conv2d(3, 3, 1), Folded())
    weights = {
        **{f"0.{name}": value for name, value in nn.Conv2d(3, 3, 1).state_dict().items()},
        **{f"1.{name}": value for name, value in nn.Conv2d(3, 3, 3).state_dict().items()},
    }
    spec = make(SKETCHES).spec
    start._take_weights(network, exported.Exported(Path("m.onnx"), spec, {}, weights, {}))
    assert torch.equal(network[1].wide.weight, weights["1.weight"])
    assert torch.equal(network[0].weight, weights["0.weight"])
    del weights["0.bias"]
    with pytest.raises(ModelError, match=r"its generator\.0\.bias has shape none, expected \(3,\)"):
        start._take_weights(network, exported.Exported(Path("m.onnx"), spec, {}, weights, {}))


# --- what it is for


@pytest.mark.parametrize("generator", ["compact", "span"])
def test_super_resolution_with_folded_kernels_goes_on_where_it_was(generator: str, tmp_path: Path) -> None:
    changes = {"generator": generator, "generator_blocks": 2, "detail_blocks": 1}
    first, again = (make("super-resolution", seed=seed, **changes) for seed in (1, 2))
    with torch.no_grad():
        for weight in first.get_submodule("generator").parameters():
            weight.add_(0.05 * torch.randn_like(weight))  # untrained it is bicubic enlargement, whatever the weights
    write(first, tmp_path / "m.onnx")
    start._take_weights(again.get_submodule("generator"), read_exported(tmp_path / "m.onnx"))
    x_B3HW = torch.rand(1, 3, 8, 8) * 2 - 1
    one, two = (trainer.get_submodule("generator")(x_B3HW, torch.ones(1, 1)) for trainer in (first, again))
    torch.testing.assert_close(two, one, rtol=1e-3, atol=1e-3)


def disks(folder: Path, count: int, colour: tuple[int, int, int], seed: int) -> Path:
    """Photographs of a made-up kind of thing: dark-rimmed disks of about one colour on white."""
    folder.mkdir()
    random = np.random.default_rng(seed)
    for number in range(count):
        picture = Image.new("RGB", (32, 32), "white")
        left, top, width, height = *random.integers(3, 9, 2), *random.integers(14, 21, 2)
        tint = tuple(int(value) for value in np.clip(np.array(colour) + random.integers(-15, 16, 3), 0, 255))
        ImageDraw.Draw(picture).ellipse((left, top, left + width, top + height), fill=tint, outline="black", width=2)
        picture.save(folder / f"{number}.png")
    return folder


def test_a_few_pictures_and_steps_make_the_model_better_than_it_was_and_than_a_new_one(tmp_path: Path) -> None:
    """Fine-tuned on 8 blue disks, a model of orange ones beats itself and one that begins with nothing.

    Found over three seeds: by 1.7 to 3.2 dB and by 2.5 to 4.7 dB.
    """
    orange = disks(tmp_path / "orange", 24, (220, 120, 40), seed=0)
    blue, unseen = (disks(tmp_path / name, 8, (60, 90, 200), seed) for name, seed in (("blue", 1), ("unseen", 2)))
    common = [*options(SKETCHES, generator_widths=(8, 16), lr_rampup_images=8, held_out=0), "--generator-lr", "4e-3"]
    common += ["--augmentation", "none", "--val", str(unseen), "--validations", "1", "--metrics", "psnr", "swd"]

    def learn(data: Path, out: str, images: int, *more: str) -> list[dict[str, Any]]:
        arguments = [*common, "--max-images", str(images), "--out", str(tmp_path / out), *more]
        assert main(["train", SKETCHES, "--data", str(data), *arguments]) == 0
        return [line["metrics"] for line in log_lines(tmp_path / out, "validation")]

    learn(orange, "first", 240)
    assert main(["export", str(tmp_path / "first"), "-o", str(tmp_path / "orange.onnx")]) == 0
    shipped_psnr, tuned = learn(blue, "tuned", 120, "--start-from", str(tmp_path / "orange.onnx"))
    _, nothing = learn(blue, "nothing", 120)
    assert tuned["psnr"] > shipped_psnr["psnr"] + 1
    assert tuned["psnr"] > nothing["psnr"] + 1
