"""Every task keeps the promises of `Task`."""

import pytest
import torch

from translate.tasks import TASKS, Task
from translate.trainers.base import Trainer
from translate.trainers.run import load_object


@pytest.fixture(params=TASKS.values(), ids=TASKS)
def task(request: pytest.FixtureRequest) -> Task:
    return request.param


def test_the_trainer_is_one_and_names_its_config(task: Task) -> None:
    trainer_class = load_object(task.trainer)
    assert issubclass(trainer_class, Trainer)  # type: ignore[arg-type]
    trainer = trainer_class(trainer_class.config_class(), task)  # type: ignore[attr-defined, operator]
    assert trainer.spec.task == task.name
    assert trainer.learning_rates().keys() == trainer.networks.keys()


def test_the_source_is_aligned_in_range_and_seeded(task: Task) -> None:
    make_source = load_object(task.source_maker)
    photo_BCHW = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    one, same = (make_source(photo_BCHW, torch.Generator().manual_seed(1)) for _ in range(2))  # type: ignore[operator]
    assert one.shape[0] == 2
    assert one.amin() >= -1
    assert one.amax() <= 1
    assert torch.equal(one, same)
