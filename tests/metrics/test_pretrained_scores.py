"""Scores through networks out of packages, and how they decide about the best snapshot.

Shape suffixes: N pictures, H height, W width, D features.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_runs import SKETCHES, new_run, settings, train
from torch import Tensor
from torch.nn import functional as F

from translate.errors import ModelError
from translate.evaluation.measure import learned_notes, measure_sets
from translate.metrics import pretrained
from translate.metrics.pretrained import PretrainedScores, polynomial_mmd
from translate.monitoring.validation import Validation, selection_metrics


@pytest.fixture(scope="module")
def scores() -> PretrainedScores:
    return PretrainedScores()


@pytest.fixture(scope="module")
def things_N3HW() -> Tensor:  # noqa: N802
    """Twelve cuts of one photograph of a shoe, in [0, 1]."""
    image_HWC = np.asarray(Image.open(Path(__file__).parents[1] / "golden" / "shoe.jpg").convert("RGB"))
    image_3HW = torch.tensor(image_HWC).permute(2, 0, 1).float() / 255.0
    return torch.stack([image_3HW[:, 8 * n : 8 * n + 128, 10 * n : 10 * n + 128] for n in range(12)])


def test_mmd_by_hand() -> None:
    first, second = torch.tensor([[1.0, 0.0], [1.0, 2.0]]), torch.tensor([[0.0, 0.0], [2.0, 0.0]])
    # k(x, y) = (x.y / 2 + 1)^3: within 1.5^3; within 1; across 1, 8, 1, 8.
    assert polynomial_mmd(first, second) == pytest.approx(3.375 + 1.0 - 2 * 4.5)


def test_mmd_is_unbiased() -> None:
    torch.manual_seed(0)
    values = [polynomial_mmd(torch.randn(20, 8), torch.randn(30, 8)) for _ in range(200)]
    assert abs(np.mean(values)) < 3 * np.std(values) / 200**0.5
    assert min(values) < 0.0


@pytest.mark.parametrize("name", ["kid_lite1", "kid_squeezenet"])
def test_worse_pictures_are_further_away(scores: PretrainedScores, things_N3HW: Tensor, name: pretrained.Name) -> None:
    real, others = things_N3HW[::2], things_N3HW[1::2]
    small = F.interpolate(F.avg_pool2d(others, 4), scale_factor=4.0, mode="bilinear")
    lines = (others - F.avg_pool2d(others, 3, 1, 1)).abs().mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)
    near, reduced, far = (scores(name, x, real) for x in (others, small, 1.0 - 5.0 * lines))
    assert near < reduced < far


def test_perceptual_is_of_pairs(scores: PretrainedScores, things_N3HW: Tensor) -> None:
    pair = things_N3HW[:4]
    noise = torch.randn(pair.shape, generator=torch.Generator().manual_seed(0))
    values = [scores("perceptual", pair + strength * noise, pair) for strength in (0.0, 0.05, 0.2)]
    assert values[0] == 0.0
    assert values[0] < values[1] < values[2]
    assert scores("perceptual", pair[..., :16, :16], pair[..., :16, :16]) == 0.0  # smaller than the network can see
    with pytest.raises(ValueError, match="pictures are paired"):
        scores("perceptual", pair, pair[:2])


def test_features_of_true_pictures_are_kept(things_N3HW: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    scores, seen = PretrainedScores(), list[int]()
    pooled = PretrainedScores._pooled

    def count(self: PretrainedScores, network: torch.nn.Module, pictures: Tensor) -> Tensor:
        seen.append(len(pictures))
        return pooled(self, network, pictures)

    monkeypatch.setattr(PretrainedScores, "_pooled", count)
    real = things_N3HW[:5]
    assert scores("kid_squeezenet", things_N3HW[5:8], real) == scores("kid_squeezenet", things_N3HW[5:8], real)
    assert seen == [3, 5, 3]


def test_not_installed(monkeypatch: pytest.MonkeyPatch, things_N3HW: Tensor) -> None:
    monkeypatch.setattr("translate.packages.find_spec", lambda module: None)
    with pytest.raises(ModelError, match=r"kid_lite1 is not available here: .* not installed; "):
        PretrainedScores()("kid_lite1", things_N3HW, things_N3HW)
    frames = [np.zeros((64, 64, 3), np.uint8)] * 2
    assert "kid_lite1" not in measure_sets(frames, frames, paired=True)
    assert any("kid_lite1 is not available here" in note for note in learned_notes(paired=True))


def test_evaluate_measures_them(things_N3HW: Tensor) -> None:
    frames = [np.ascontiguousarray((x * 255).byte().permute(1, 2, 0).numpy()) for x in things_N3HW]
    found = measure_sets(frames[:6], frames[6:], paired=True)
    assert {"kid_lite1", "kid_squeezenet", "perceptual"} <= found.keys()
    assert "perceptual" not in measure_sets(frames[:6], frames[6:], paired=False)


# --- who decides about the best snapshot


def test_who_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, projected = settings(), settings(discriminator="projected", image_size=64)
    assert selection_metrics(plain, 64) == ("kid_lite1",)
    assert selection_metrics(projected, 64) == ("kid_lite1", "kid_squeezenet")
    assert selection_metrics(projected.replace(metrics=("kid_lite1",), best_by="kid_lite1"), 2) == selection_metrics(
        projected, 64
    )
    assert selection_metrics(plain, 15) == selection_metrics(plain.replace(channels="1"), 64) == ("swd",)
    assert selection_metrics(settings(best_by="ssim"), 64) == ("ssim",)
    monkeypatch.setattr("translate.packages.find_spec", lambda module: None)
    assert selection_metrics(plain, 64) == ("swd",)


def test_both_must_improve(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("kid_lite1", "kid_squeezenet")
    rounds = iter([(9.0, 9.0), (5.0, 5.0), (4.0, 6.0), (4.5, 4.5), (4.0, 4.5), (4.0, 4.0)])
    monkeypatch.setattr(Validation, "_scores", lambda self, results: dict(zip(names, next(rounds), strict=True)))
    config = settings(
        max_images=10, held_out=2, validations=5, metrics=names, best_by="kid_lite1", image_size=64,
        discriminator="projected",
    )  # fmt: skip
    run = new_run(tmp_path, config, SKETCHES)
    train(run, photos)
    assert run.best == {
        "metric": "kid_lite1", "value": 4.0, "images": 10, "since": 0, "others": {"kid_squeezenet": 4.0}
    }  # fmt: skip
