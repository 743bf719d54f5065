"""What the numbers of an evaluation mean, for people. Imports nothing heavy."""

import re
from typing import Literal, NamedTuple

Better = Literal["higher", "lower", "like the truth"]


class Meaning(NamedTuple):
    """One metric in plain words."""

    title: str
    text: str
    """One sentence."""
    better: Better


_MEANINGS = {
    "psnr_luma_db": Meaning(
        "PSNR of brightness, dB",
        "How close the brightness is to the true picture, rim left out, as published comparisons of enlargements give "
        "it; one more is clearly closer.",
        "higher",
    ),
    "psnr_db": Meaning(
        "PSNR, dB", "How close the picture is to the true one, pixel by pixel; equal pictures have 100.", "higher"
    ),
    "ssim": Meaning("SSIM", "How alike the structure is to that of the true picture; 1 is equal.", "higher"),
    "ms_ssim": Meaning(
        "MS-SSIM",
        "How alike the structure is to that of the true picture, at five sizes from fine detail to coarse layout; 1 is "
        "equal.",
        "higher",
    ),
    "edge_agreement": Meaning(
        "Edge agreement",
        "How well the edges of the result and the drawn lines lie on one another, give or take 2 pixels: 1 is an edge "
        "along every line and nowhere else.",
        "higher",
    ),
    "line_contrast": Meaning(
        "Edges along lines over elsewhere",
        "How much stronger edges are along the drawn lines than elsewhere; 1 is a result that ignores the drawing.",
        "like the truth",
    ),
    "chroma": Meaning(
        "Colourfulness",
        "Mean difference of the strongest and the weakest colour channel in the object; 0 is grey.",
        "like the truth",
    ),
    "gradient_correlation": Meaning(
        "Structure kept",
        "Whether edges are where they were before: 1 keeps every edge, 0 shows something else; an unchanged picture "
        "has 1 too, so look also at how near the results are to real pictures.",
        "higher",
    ),
    "target_share": Meaning(
        "Taken for the target",
        "Share of the results that a classifier, trained on real pictures of both kinds, takes for the target.",
        "higher",
    ),
    "style_diversity": Meaning(
        "Diversity of styles",
        "How different five styles of one picture are on average; 0 is all alike, 1 is black beside white.",
        "higher",
    ),
    "nearest_training_rms_of_255": Meaning(
        "Distance to training pictures",
        "How far the nearest training picture is, as a thumbnail; far nearer than true pictures are is a copy.",
        "like the truth",
    ),
    "lpips": Meaning("LPIPS", "Difference from the true picture as an eye would see it; 0 is equal.", "lower"),
    "fid": Meaning("FID", "How far the results as a set are from real pictures; small sets exaggerate it.", "lower"),
    "kid": Meaning("KID", "How far the results as a set are from real pictures; fair for small sets too.", "lower"),
    "kid_lite1": Meaning(
        "KID on EfficientNet-Lite1",
        "How far the results as a set are from real pictures, as a classifier of photographs sees them; about 0 for "
        "other real pictures. Compares with nothing measured through Inception, nor at another size.",
        "lower",
    ),
    "kid_squeezenet": Meaning(
        "KID on SqueezeNet",
        "The same through another classifier, in units of its own: a second opinion on models that were trained "
        "with the first.",
        "lower",
    ),
    "perceptual": Meaning(
        "Perceptual distance",
        "Difference from the true picture as a classifier (SqueezeNet) sees it; 0 is equal.",
        "lower",
    ),
    "swd_mean_milli": Meaning(
        "Distance of textures (SWD), mean",
        "Small patches are cut out of the results and out of real pictures at several sizes, and this is how much the "
        "one heap would have to change to become the other (the sliced Wasserstein distance, SWD, in thousandths); "
        "0 is equal textures and colours.",
        "lower",
    ),
}


def meaning(name: str) -> Meaning:
    """The words for a metric; one that nobody described keeps its name."""
    if name in _MEANINGS:
        return _MEANINGS[name]
    if match := re.fullmatch(r"swd_(\d+)px_milli", name):
        side = match[1]
        return Meaning(
            f"Distance of textures (SWD), {side} px",
            f"How far textures are from those of real pictures, in detail that {side} pixels can show; more pixels are "
            "finer detail.",
            "lower",
        )
    return Meaning(name, "", "higher")


def ordered(names: set[str]) -> list[str]:
    """Metrics in the order in which they are shown."""
    known = list(_MEANINGS)
    rank = {name: known.index(name) for name in names if name in known}
    sides = {name: -int(match[1]) for name in names if (match := re.fullmatch(r"swd_(\d+)px_milli", name))}
    return sorted(names, key=lambda name: (rank.get(name, len(known)), sides.get(name, 0), name))
