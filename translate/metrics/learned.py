"""Scores that look through trained networks: LPIPS, FID and KID, wherever their weights are on the machine.

Nothing is ever downloaded. `missing` says which file to fetch and where to put it.

Shape suffixes: B batch, H height, W width.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from translate.errors import ModelError
from translate.metrics.fidelity import check_pairs

if TYPE_CHECKING:  # imported late elsewhere: torchmetrics brings everything it has along, which takes seconds
    from torchmetrics import Metric

Name = Literal["lpips", "fid", "kid"]

ALEXNET = "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"
INCEPTION = (
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"
)

NETWORKS: dict[Name, tuple[str, tuple[str, ...]]] = {
    # LPIPS' own weights, a few kilobytes, come with torchmetrics.
    "lpips": (ALEXNET, ("torchmetrics", "torchvision")),
    "fid": (INCEPTION, ("torchmetrics", "torch_fidelity")),
    "kid": (INCEPTION, ("torchmetrics", "torch_fidelity")),
}
"""Score -> where its weights are published, and the packages it needs."""

CHUNK = 32
"""Pictures passed through a network at once."""

KID_SUBSET, KID_SUBSETS = 1000, 100
"""Pictures in a subset and number of subsets over which KID is averaged, as in the paper's code."""


def missing(name: Name) -> str | None:
    """Say in one line what the score lacks on this machine, or None if it can be computed."""
    url, packages = NETWORKS[name]
    lacking = [f"install {package.replace('_', '-')}" for package in packages if find_spec(package) is None]
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[1]
    if not path.is_file():
        lacking.append(f"save {url} as {path}")
    return f"{name} is not available here: {' and '.join(lacking)}" if lacking else None


def score(name: Name, result_B3HW: Tensor, truth_B3HW: Tensor) -> float:
    """Compute a score; lower is better for all three.

    Args:
        name: "lpips", "fid" or "kid", see the functions below.
        result_B3HW, truth_B3HW: red, green, blue, float, range [0, 1]; pairs for LPIPS, any two sets for the others.

    Raises:
        ModelError: weights or a package are missing; the message is that of `missing`.
        ValueError: the shapes do not fit the score.
    """
    if (reason := missing(name)) is not None:
        raise ModelError(reason)
    with _tensors_only():
        if name == "lpips":
            return perceptual_distance(result_B3HW, truth_B3HW)
        return (frechet_distance if name == "fid" else kernel_distance)(result_B3HW, truth_B3HW)


def perceptual_distance(result_B3HW: Tensor, truth_B3HW: Tensor) -> float:
    """LPIPS through AlexNet, mean over the pairs: 0 for equal pictures, about 1 for unrelated ones.

    Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", 2018. Sides at least 32;
    published figures are of pictures of 64 and more.

    Raises:
        ValueError: the shapes differ.
    """
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    check_pairs(result_B3HW, truth_B3HW)
    metric = LearnedPerceptualImagePatchSimilarity(net_type="alex", normalize=True).to(result_B3HW.device)
    for result, truth in zip(result_B3HW.split(CHUNK), truth_B3HW.split(CHUNK), strict=True):
        metric.update(result, truth)
    return metric.compute().item()


def frechet_distance(result_B3HW: Tensor, truth_B3HW: Tensor, feature: int | nn.Module = 2048) -> float:
    """FID: Fréchet distance between Gaussians fitted to Inception's features; at least 0, depends on the set sizes.

    Heusel et al., "GANs Trained by a Two Time-Scale Update Rule ...", 2017. Below some thousand pictures it says
    little; KID is fairer there.

    Args:
        result_B3HW, truth_B3HW: two sets of at least two pictures, sizes may differ, range [0, 1].
        feature: width of the layer of Inception to look at, or another network, uint8 (B, 3, H, W) -> (B, K), with
            K as its attribute `num_features`.
    """
    from torchmetrics.image.fid import FrechetInceptionDistance

    metric = FrechetInceptionDistance(feature).to(result_B3HW.device)
    return _over_sets(metric, result_B3HW, truth_B3HW).item()


def kernel_distance(result_B3HW: Tensor, truth_B3HW: Tensor, feature: int | nn.Module = 2048) -> float:
    """KID: squared maximum mean discrepancy of Inception's features under a cubic kernel; unbiased, so it may be < 0.

    Bińkowski et al., "Demystifying MMD GANs", 2018, section 4. The subsets are the same at every call.

    Args:
        result_B3HW, truth_B3HW: two sets of at least two pictures, sizes may differ, range [0, 1].
        feature: as for `frechet_distance`.
    """
    from torchmetrics.image.kid import KernelInceptionDistance

    size = min(KID_SUBSET, len(result_B3HW), len(truth_B3HW))
    # Where a subset is the whole of both sets, all subsets are the same.
    subsets = 1 if size == max(len(result_B3HW), len(truth_B3HW)) else KID_SUBSETS
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        torch.manual_seed(0)
        warnings.filterwarnings("ignore", message="Metric `Kernel Inception Distance` will save all extracted features")
        metric = KernelInceptionDistance(feature, subsets=subsets, subset_size=size).to(result_B3HW.device)
        mean, _ = _over_sets(metric, result_B3HW, truth_B3HW)
    return mean.item()


def _over_sets(metric: "Metric", result_B3HW: Tensor, truth_B3HW: Tensor) -> Any:
    """Feed both sets to a metric of torchmetrics and return its answer."""
    for pictures_B3HW, real in ((truth_B3HW, True), (result_B3HW, False)):
        for chunk_B3HW in pictures_B3HW.split(CHUNK):
            # Rounded here, because torchmetrics cuts the fraction off.
            metric.update((chunk_B3HW.clamp(0.0, 1.0) * 255.0).round().byte(), real=real)
    return metric.compute()


@contextmanager
def _tensors_only() -> Iterator[None]:
    """Make every `torch.load` refuse anything but tensors: torchvision and torch-fidelity do not ask for that."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
