"""Numbers of one picture, and of two sets of pictures.

Shape suffixes: B batch, C channels, H height, W width, S side, N pictures.
"""

import warnings
from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor

from translate.data.framing import Framing, frame_plain
from translate.data.reading import Pixels
from translate.evaluation.cases import Kind, Sample
from translate.metrics import pretrained
from translate.metrics.drawing import chroma, line_contrast
from translate.metrics.edge_agreement import edge_agreement
from translate.metrics.fidelity import psnr, psnr_luma, ssim
from translate.metrics.gradient_correlation import gradient_correlation
from translate.metrics.learned import Name, missing, score
from translate.metrics.multiscale import LEAST_SIDE, ms_ssim
from translate.metrics.wasserstein import mean_distance, sliced_wasserstein
from translate.pictures.operations import resize

FRAME = 256
"""Side of the squares that sets are compared by."""

WINDOW = 11
"""Least side for SSIM."""

COARSEST, LPIPS_SIDE = 16, 32
"""Least sides for the distance of patches, and for LPIPS."""

SETS_LEAST = 64
"""Least side of the squares that sets are compared by; one small picture would make all of them small."""

SETS_MOST = 512
"""Pictures compared as sets at most: they are in memory together."""


def unit(image_HWC: Pixels) -> Tensor:
    """uint8 (H, W, C) -> float (1, C, H, W) in [0, 1]."""
    return torch.from_numpy(image_HWC.copy()).permute(2, 0, 1)[None].float() / 255.0


def measure_picture(
    sample: Sample, result_HWC: Pixels, *, kind: Kind, drawing: bool, scale: int = 1, is_truth: bool = False
) -> dict[str, float]:
    """All numbers that one result can be given, by name.

    Args:
        sample: what went in, and the truth where it is known, which is resized to the result if need be.
        result_HWC: uint8, `scale` times as large as the source.
        kind: how the truth is known.
        drawing: whether the source is a line drawing.
        scale: of the model.
        is_truth: the result is the truth itself, which need not be compared with it.
    """
    result_B3HW = unit(result_HWC)
    found: dict[str, float] = {}
    if sample.truth_HWC is not None and not is_truth:
        truth_B3HW = unit(resize(sample.truth_HWC, *result_HWC.shape[:2]))
        if kind == "enlarge":
            found["psnr_luma_db"] = float(psnr_luma(result_B3HW, truth_B3HW, scale))
        found["psnr_db"] = float(psnr(result_B3HW, truth_B3HW))
        shorter = min(result_HWC.shape[:2])
        if shorter >= WINDOW:
            found["ssim"] = float(ssim(result_B3HW, truth_B3HW))
        if shorter >= LEAST_SIDE:
            found["ms_ssim"] = float(ms_ssim(result_B3HW, truth_B3HW))
    if drawing:
        sketch_B3HW = unit(resize(sample.source_HWC, *result_HWC.shape[:2]))
        found["edge_agreement"] = float(edge_agreement(sketch_B3HW, result_B3HW))
        found["line_contrast"] = float(line_contrast(sketch_B3HW, result_B3HW))
        found["chroma"] = float(chroma(result_B3HW))
    if kind == "unpaired":
        source_B3HW = unit(sample.source_HWC)
        found["gradient_correlation"] = float(gradient_correlation(source_B3HW, result_B3HW))
    return found


def framed(image_HWC: Pixels, kind: Kind, drawing: bool) -> Pixels:
    """The square that a picture is compared by in sets, uint8 (S, S, 3).

    Drawings of things: the whole picture in 256 pixels, white around. Enlarged pictures: the middle as it is, 256
    pixels or what the shorter side has. Others: the shorter side made 256, then the middle.
    """
    if kind == "enlarge":
        return frame_plain(Framing("patch", min(FRAME, *image_HWC.shape[:2]), "none"), [image_HWC])[0]
    return frame_plain(Framing("fit" if drawing else "crop", FRAME, "none"), [image_HWC])[0]


def stacked(frames: Sequence[Pixels], side: int) -> Tensor:
    """The middles of squares -> float (N, 3, side, side) in [0, 1]."""
    cut = Framing("patch", side, "none")
    return torch.cat([unit(frame_plain(cut, [frame_SSC])[0]) for frame_SSC in frames])


def measure_sets(results: Sequence[Pixels], truths: Sequence[Pixels], *, paired: bool) -> dict[str, float]:
    """How far one set of squares is from another.

    Args:
        results, truths: squares as `framed` makes them, in one order where they are paired.
        paired: whether LPIPS can be asked.

    Returns:
        Numbers by name; none of an empty set.
    """
    if not results or not truths:
        return {}
    side = min(len(frame_SSC) for frame_SSC in (*results, *truths))
    found: dict[str, float] = {}
    result_N3SS, truth_N3SS = stacked(results, side), stacked(truths, side)
    if side >= COARSEST:
        levels = sliced_wasserstein(result_N3SS, truth_N3SS)
        sides = list(levels)
        for place in dict.fromkeys((0, len(sides) // 2, len(sides) - 1)):
            found[f"swd_{sides[place]}px_milli"] = levels[sides[place]]
        found["swd_mean_milli"] = mean_distance(levels)
    for name in _askable(paired):
        enough = side >= LPIPS_SIDE if name == "lpips" else min(len(results), len(truths)) >= 2
        if enough and missing(name) is None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of torchvision and torch-fidelity, about their own code
                found[name] = score(name, result_N3SS, truth_N3SS)
    return found | _pretrained_scores(result_N3SS, truth_N3SS, paired=paired)


def _pretrained_scores(result_N3SS: Tensor, truth_N3SS: Tensor, *, paired: bool) -> dict[str, float]:
    """Scores by networks of the extra `features`, where it is installed."""
    scores = _scores()
    names: list[pretrained.Name] = [name for name in pretrained.NETWORKS if pretrained.missing(name) is None]
    enough = min(len(result_N3SS), len(truth_N3SS)) >= 2
    return {
        name: scores(name, result_N3SS, truth_N3SS) for name in names if (enough if name in pretrained.SETS else paired)
    }


@cache
def _scores() -> pretrained.PretrainedScores:
    """Kept for all columns, which are compared with the same true pictures."""
    return pretrained.PretrainedScores()


def learned_notes(paired: bool) -> list[str]:
    """One line for each metric that needs weights which are not here."""
    reasons = [missing(name) for name in _askable(paired)]
    reasons += list(dict.fromkeys(pretrained.missing(name) for name in pretrained.NETWORKS))
    return [f"{reason}." for reason in reasons if reason]


def _askable(paired: bool) -> list[Name]:
    return ["lpips", "fid", "kid"] if paired else ["fid", "kid"]


def means(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """Means by name over the rows that have it; numbers that are not finite are left out."""
    names = dict.fromkeys(name for row in rows for name in row)
    found = {name: [row[name] for row in rows if name in row and np.isfinite(row[name])] for name in names}
    return {name: float(np.mean(values)) for name, values in found.items() if values}
