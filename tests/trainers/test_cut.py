"""CUT: patches of the result belong to those of the source, mirrored or not.

Shape suffixes: B batch, C channels, H height, P patches, D vector length, W width.
"""

import math
from typing import Any

import pytest
import torch
from test_adversary import TINY, Calls, Judge, assert_players_keep_apart, batch_of, falls_to, pictures, recorded, total
from test_networks import stirred
from torch import Tensor, nn
from torch.nn import functional as F

from translate.errors import ConfigError
from translate.losses.patch_nce import patch_nce
from translate.networks.patch_heads import PatchHeads
from translate.tasks import TASKS
from translate.trainers.base import Batch, pixel_translator
from translate.trainers.cut import CUT, CUTConfig

TASK = TASKS["cut"]


def made(**changes: Any) -> CUT:
    unet = {"generator_widths": (8, 16), "generator_blocks": 1, "patches": 16}
    return CUT(CUTConfig.of(**(TINY | unet | changes)), TASK)


def some_batch(channels: int = 3) -> Batch:
    return batch_of(pictures(2, channels, 32, 32), pictures(2, channels, 32, 32))


class Pointwise(nn.Module):
    """A generator that looks at one pixel at a time, so that it does not know left from right."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def features(self, x_BCHW: Tensor) -> list[Tensor]:
        return [x_BCHW, F.avg_pool2d(self.conv(x_BCHW).tanh(), 2)]

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.conv(x_BCHW)


def pointwise(**changes: Any) -> CUT:
    """With all places compared: their order, drawn at random, is of no consequence."""
    trainer = made(**({"patches": 1024} | changes))
    trainer.generator = Pointwise()
    trainer.heads = PatchHeads([3, 3], width=8)
    return trainer


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def test_step_judges_first_and_one_fake_serves_both() -> None:
    trainer = made(adversarial_weight=2.0, contrast_weight=7.0, identity_weight=3.0, discriminator_weight=0.5)
    calls = Calls(trainer.generator)
    step = recorded(trainer, some_batch())
    assert step.players == ["discriminator", "generator"]
    assert step.weights("discriminator") == {"game": 0.5}
    assert step.weights("generator") == {"adversarial": 2.0, "contrast": 7.0, "identity": 3.0}
    assert calls.sizes == [2, 2]


def test_features_are_the_encoder_only() -> None:
    trainer = made(identity_weight=0.0)
    calls, decoder = Calls(trainer.generator), Calls(trainer.generator.out)
    assert list(recorded(trainer, some_batch()).terms["generator"]) == ["adversarial", "contrast"]
    assert (calls.sizes, decoder.sizes) == ([2], [2])


def test_step_by_hand() -> None:
    trainer = pointwise(temperature=0.5)
    trainer.discriminator = judge = Judge()
    batch = some_batch()
    step = recorded(trainer, batch)
    everywhere = [torch.arange(places) for places in (1024, 256)]

    def contrast(origin_BCHW: Tensor) -> float:
        result_BCHW = trainer.generator(origin_BCHW)
        queries, keys = (
            trainer.heads(trainer.generator.features(x_BCHW), everywhere)[0] for x_BCHW in (result_BCHW, origin_BCHW)
        )
        losses = [patch_nce(query_BPD, key_BPD, 0.5) for query_BPD, key_BPD in zip(queries, keys, strict=True)]
        return sum(loss.item() for loss in losses) / 2

    with torch.no_grad():
        fake_BCHW = trainer.generator(batch.source_BCHW)
        assert step.value("generator", "contrast") == pytest.approx(contrast(batch.source_BCHW), rel=1e-4)
        assert step.value("generator", "identity") == pytest.approx(contrast(batch.target_BCHW), rel=1e-4)
    assert step.value("generator", "adversarial") == pytest.approx(-fake_BCHW.mean().item(), rel=1e-4)
    torch.testing.assert_close(judge.seen[0], torch.cat([batch.target_BCHW, fake_BCHW]))


def test_mirrored_contrast_equals_the_plain_one_for_a_generator_that_does_not_know_left_from_right() -> None:
    trainer = pointwise(flip_consistency=True)
    trainer.discriminator = judge = Judge()
    batch = some_batch()
    values, mirrored = [], []
    with torch.no_grad():
        fake_BCHW = trainer.generator(batch.source_BCHW)
    for seed in range(8):
        torch.manual_seed(seed)
        values.append(recorded(trainer, batch).value("generator", "contrast"))
        mirrored.append(torch.allclose(judge.seen[-1], fake_BCHW.flip(-1)))
        assert mirrored[-1] or torch.allclose(judge.seen[-1], fake_BCHW)
    assert 0 < sum(mirrored) < 8
    assert values == pytest.approx([values[0]] * 8, rel=1e-5)


def test_nothing_is_mirrored_unless_asked_for() -> None:
    trainer = pointwise()
    trainer.discriminator = judge = Judge()
    batch = some_batch()
    for seed in range(8):
        torch.manual_seed(seed)
        recorded(trainer, batch)
        torch.testing.assert_close(judge.seen[-1], trainer.generator(batch.source_BCHW))


def test_contrast_compares_the_same_places() -> None:
    """The identity is the easiest: shuffled places would be no better than chance."""
    trainer = made(patches=64)
    same = recorded(trainer, some_batch()).value("generator", "contrast")
    assert same < math.log(64) / 2


def test_contrast_trains_the_heads_and_the_decoder() -> None:
    trainer = made(identity_weight=0.0)
    stirred(trainer.generator)
    recorded(trainer, some_batch()).terms["generator"]["contrast"].value.backward()
    weights = [*trainer.heads.parameters(), *trainer.generator.parameters()]
    assert all(weight.grad is not None and weight.grad.any() for weight in weights)


@pytest.mark.parametrize("name", ["lite1", "squeezenet"])
def test_contrast_through_pretrained_features(name: Any) -> None:
    trainer = made(contrast_features=name, identity_weight=0.0, patches=8, image_size=64)
    assert trainer.pretrained is not None
    smooth_BCHW = F.interpolate(pictures(2, 3, 8, 8), 64, mode="bilinear")
    features = trainer.pretrained(smooth_BCHW)
    assert [x_BCHW.shape[1] for x_BCHW in features] == trainer.pretrained.feature_channels
    for x_BCHW in features:
        torch.testing.assert_close(x_BCHW.square().mean(dim=1), torch.ones_like(x_BCHW[:, 0]), rtol=1e-4, atol=0)
    batch = batch_of(smooth_BCHW, smooth_BCHW.flip(0))
    seen = Calls(trainer.pretrained)
    term = recorded(trainer, batch).terms["generator"]["contrast"]
    assert seen.sizes == [2, 2]  # the source and its result
    stirred(trainer.generator)
    term = recorded(trainer, batch).terms["generator"]["contrast"]
    term.value.backward()
    weights = [*trainer.heads.parameters(), *trainer.generator.parameters()]
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in weights)
    assert any(weight.grad.any() for weight in trainer.generator.parameters() if weight.grad is not None)
    # Neither trained nor saved.
    assert not list(trainer.pretrained.parameters())
    assert not trainer.pretrained.state_dict()


def test_the_generator_s_own_features_unless_asked() -> None:
    trainer = made()
    assert trainer.pretrained is None
    assert trainer.heads.state_dict().keys() == PatchHeads(trainer.generator.feature_channels).state_dict().keys()


@pytest.mark.parametrize("options", [{}, {"adversarial": "relativistic", "r1_weight": 1.0}])
def test_players_keep_apart(options: dict[str, Any]) -> None:
    assert_players_keep_apart(made(**options), some_batch())


@pytest.mark.parametrize(
    "options",
    [{}, {"generator": "resnet", "generator_width": 8, "initialisation": "xavier", "flip_consistency": True}],
    ids=["unet", "resnet"],
)
def test_learns_one_batch_by_heart(options: dict[str, Any]) -> None:
    trainer = made(adversarial_weight=0.1, **options)
    smooth_BCHW = F.interpolate(pictures(4, 3, 8, 8), 32, mode="bilinear")
    batch = batch_of(*smooth_BCHW.chunk(2))
    assert falls_to(trainer, batch, "generator", "contrast") < 0.8


@pytest.mark.parametrize("generator", ["unet", "resnet"])
@pytest.mark.parametrize("channels", [1, 4])
def test_other_channels(channels: int, generator: str) -> None:
    trainer = made(channels=str(channels), generator=generator, generator_width=4)
    assert total(recorded(trainer, some_batch(channels)).terms["generator"]).isfinite()
    image_NHWC = torch.zeros(1, 9, 10, channels, dtype=torch.uint8)
    with torch.no_grad():
        assert pixel_translator(trainer.generator, trainer.spec)(image_NHWC).shape == image_NHWC.shape


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": "1:3"}, "--channels is 1:3; cut needs the same number for input and target"),
        ({"labels": True}, "--labels needs pairs; omit it, or train with pix2pix"),
        ({"generator": "classic-unet"}, "--generator is classic-unet, which PatchNCE does not support"),
        ({"initialisation": "normal"}, "--initialisation is normal, but unet has its own"),
        ({"image_size": 34}, "--image-size is 34; this generator needs a multiple of 4"),
        ({"discriminator_layers": 4}, "needs at least 48"),
        ({"patches": 1}, "--patches is 1"),
        ({"contrast_features": "lite1", "channels": "1"}, "--contrast-features lite1 needs colour images"),
        ({"contrast_features": "squeezenet", "image_size": 16}, "--image-size is 16; --contrast-features .* least 32"),
        ({"temperature": 0.0}, "--temperature is 0"),
        ({"contrast_weight": -1.0}, "--contrast-weight is -1"),
    ],
)
def test_settings_that_do_not_go_together(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        made(**changes)
    assert "\n" not in str(error.value)
