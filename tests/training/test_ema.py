"""The exponential moving average of the generators."""

from pathlib import Path

import pytest
import torch
from tiny_runs import new_run, settings, train
from torch import Generator, nn

from translate.trainers.base import Term
from translate.training.ema import EMA
from translate.training.snapshot import read_tensors


class One(nn.Module):
    def __init__(self, value: float):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([value]))


def test_average_by_hand() -> None:
    average = EMA(One(1.0), halflife_images=4)
    assert not average.network.training
    assert not average.network.weight.requires_grad
    average.update(One(3.0), batch_size=4, images_seen=1000)  # one half-life: half way
    assert average.network.weight.item() == pytest.approx(2.0)
    average.update(One(3.0), batch_size=8, images_seen=1000)  # two more: a quarter of the rest is left
    assert average.network.weight.item() == pytest.approx(2.75)


def test_average_forgets_the_start() -> None:
    average = EMA(One(100.0), halflife_images=4000)
    average.update(One(1.0), batch_size=8, images_seen=8)  # half-life 0.8 images: 1/1024 is left
    assert average.network.weight.item() == pytest.approx(1.0 + 99.0 / 1024)


def test_no_average_is_the_latest(photos: Path, tmp_path: Path) -> None:
    run = new_run(tmp_path, settings(ema_halflife_images=0))
    train(run, photos)
    latest = run.trainer.generator.state_dict()
    assert all(torch.equal(tensor, latest[name]) for name, tensor in run.generator.state_dict().items())


def test_both_directions_are_averaged(collections: Path, tmp_path: Path) -> None:
    run = new_run(tmp_path, settings("cyclegan"), "cyclegan")
    train(run, collections)
    tensors = read_tensors(run.snapshot_path)
    for name in ("generator", "back_generator"):
        for key, latest in run.trainer.get_submodule(name).state_dict().items():
            assert tensors[f"average/{name}/{key}"].shape == latest.shape
        key = "out.bias"
        assert not torch.equal(tensors[f"average/{name}/{key}"], tensors[f"trainer/{name}.{key}"])


@pytest.mark.parametrize("precision", ["32", "bf16"])
def test_the_generator_meets_the_judge_of_after_its_step(tmp_path: Path, precision: str) -> None:
    """Autocast keeps 16-bit copies of the weights; after a step they are old."""
    config = settings(
        precision=precision, discriminator_norm="instance", discriminator_lr=0.5, lr_rampup_images=0, max_images=100
    )
    run = new_run(tmp_path, config)
    judge = run.trainer.discriminator
    picture_BCHW = torch.rand(2, 6, 32, 32, generator=Generator().manual_seed(0))
    with run.fabric.autocast():
        before = judge(picture_BCHW).scores[0]
        run.update("discriminator", {"up": Term(-1.0, before.float().mean())})
        after = judge(picture_BCHW).scores[0]
    with run.fabric.autocast():
        fresh = judge(picture_BCHW).scores[0]
    assert not torch.equal(before, after)
    assert torch.equal(after, fresh)


def test_no_average_is_always_the_latest_and_costs_no_memory() -> None:
    trained = One(1.0)
    average = EMA(trained, halflife_images=0)
    trained.weight.data.fill_(5.0)
    average.update(trained, batch_size=4, images_seen=8)
    assert average.network.weight.item() == 5.0
    assert not average.network.training
    assert not average.network.weight.requires_grad
    assert trained.weight.requires_grad
    assert [value for value in vars(average).values() if isinstance(value, nn.Module)] == [trained]
