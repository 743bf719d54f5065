"""Every task keeps the promises of `Task`, and every preset of its trainer can be used."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import new_run, settings, tiny, trainer_class

from translate.spec import ModelSpec
from translate.tasks import TASKS, Task
from translate.tasks.base import load_object
from translate.trainers.base import Trainer, pixel_translator
from translate.trainers.config import TrainConfig

PRESETS = [(task, preset) for task in TASKS for preset in trainer_class(task).presets]


@pytest.fixture(params=TASKS.values(), ids=TASKS)
def task(request: pytest.FixtureRequest) -> Task:
    return request.param


def made(task: str, config: Any) -> Any:
    kind: Any = trainer_class(task)
    return kind(config, TASKS[task])


def test_the_name_is_the_key() -> None:
    assert {name: task.name for name, task in TASKS.items()} == {name: name for name in TASKS}


def test_the_words_of_a_task_are_there(task: Task) -> None:
    assert task.summary
    assert not task.summary.endswith(".")
    for text in (task.data_hint, task.input_label, task.output_label):
        assert text
        assert "\n" not in text


def test_the_trainer_is_one_and_names_its_config(task: Task) -> None:
    kind = trainer_class(task.name)
    assert issubclass(kind, Trainer)
    assert issubclass(kind.config_class, TrainConfig)
    trainer = made(task.name, settings(task.name))
    assert trainer.spec.task == trainer.spec.name == task.name
    assert trainer.learning_rates().keys() == trainer.players.keys()
    networks = [name for names in trainer.players.values() for name in names]
    assert len(set(networks)) == len(networks)  # nobody is improved by two
    assert set(trainer.directions.values()) <= set(networks)
    assert "forward" in trainer.directions


def test_every_weight_belongs_to_a_player(task: Task) -> None:
    trainer = made(task.name, settings(task.name))
    improved = {id(w) for player in trainer.players for net in trainer.networks_of(player) for w in net.parameters()}
    assert improved == {id(weight) for weight in trainer.parameters()}


def test_the_way_back_leads_back(task: Task) -> None:
    if task.back:
        back = TASKS[task.back]
        assert back.back == task.name
        assert back.trainer == task.trainer
        assert "back" in trainer_class(task.name).directions
        assert (back.input_label, back.output_label) == (task.output_label, task.input_label)
        assert back.folders == task.folders[::-1]


def test_settings_of_the_task_are_settings_of_its_trainer(task: Task) -> None:
    names = trainer_class(task.name).config_class().settings().keys()
    assert task.settings.keys() <= names


@pytest.mark.parametrize(("name", "preset"), PRESETS)
def test_every_preset_can_be_constructed(name: str, preset: str, tmp_path: Path) -> None:
    kind = trainer_class(name)
    start = kind.presets[preset]
    assert type(start) is kind.config_class
    assert start.preset == preset
    with torch.device("meta"):  # as large as they are, without their memory
        full = made(name, start.replace(**TASKS[name].settings, max_images=1))
    assert full.config.data.image_size % full.spec.size_multiple == 0
    small = settings(name, preset=preset, **({"image_size": 64} if preset == "projected" else {}))
    assert small.preset == preset
    run = new_run(tmp_path, small, name)
    channels, size = run.trainer.spec.input_channels, small.data.image_size // run.trainer.spec.scale
    result_BCHW = run.generator(torch.zeros(1, channels, size, size))
    assert result_BCHW.shape == (1, run.trainer.spec.output_channels, small.data.image_size, small.data.image_size)


def test_modern_and_classic_are_there(task: Task) -> None:
    assert {"modern", "classic"} <= trainer_class(task.name).presets.keys()
    assert next(iter(trainer_class(task.name).presets)) == "modern"


def test_tiny_settings_are_settings(task: Task) -> None:
    assert tiny(task.name).keys() <= settings(task.name).settings().keys()


def test_the_contract_of_every_direction(task: Task) -> None:
    trainer = made(task.name, settings(task.name, channels="3"))
    for direction, network in trainer.directions.items():
        spec = trainer.spec_of(direction)
        assert isinstance(spec, ModelSpec)
        translator = pixel_translator(trainer.get_submodule(network).eval(), spec)
        picture_BHWC = torch.randint(0, 256, (1, 30, 22, spec.input_channels), dtype=torch.uint8)
        with torch.inference_mode():
            result_BHWC = translator(picture_BHWC, None, None)
        assert result_BHWC.shape == (1, 30 * spec.scale, 22 * spec.scale, spec.output_channels)
        assert result_BHWC.dtype == torch.uint8


@pytest.mark.parametrize("name", ["sketch-to-photo", "super-resolution"])
def test_the_source_is_aligned_in_range_and_seeded(name: str) -> None:
    trainer = made(name, settings(name))
    make_source = trainer.source_maker() or load_object(TASKS[name].source_maker)
    photo_BCHW = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    one, same = (make_source(photo_BCHW, torch.Generator().manual_seed(1)) for _ in range(2))
    side = 64 // trainer.spec.scale
    assert one.shape == (2, 3, side, side)
    assert one.amin() >= -1
    assert one.amax() <= 1
    assert torch.equal(one, same)


def test_who_makes_its_source(task: Task) -> None:
    makes = bool(task.source_maker) or made(task.name, settings(task.name)).source_maker() is not None
    assert makes == (task.name in ("sketch-to-photo", "super-resolution"))
