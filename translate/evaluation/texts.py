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
        "How close the brightness is to the true picture, rim left out, as tables of super-resolution give it.",
        "higher",
    ),
    "psnr_db": Meaning(
        "PSNR, dB", "How close the picture is to the true one, pixel by pixel; equal pictures have 100.", "higher"
    ),
    "ssim": Meaning("SSIM", "How alike the structure is to that of the true picture; 1 is equal.", "higher"),
    "ms_ssim": Meaning(
        "MS-SSIM", "The same at five sizes at once, from fine detail to coarse layout; 1 is equal.", "higher"
    ),
    "edge_agreement": Meaning(
        "Edges on the lines",
        "F-score of the result's edges against the drawn lines, within 2 pixels: 1 is an edge along every line and "
        "nowhere else.",
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
        "Correlation of the edges before and after: 1 keeps every edge, 0 shows something else; worth something only "
        "together with the figures of the domain, for an unchanged picture has 1.",
        "higher",
    ),
    "target_share": Meaning(
        "Taken for the target",
        "Share of the results that a classifier, trained on real pictures of both kinds, takes for the target.",
        "higher",
    ),
    "style_diversity": Meaning(
        "Diversity of styles",
        "Mean difference between five styles of one picture, 0 to 1; beside it, that between real pictures.",
        "like the truth",
    ),
    "nearest_training_rms_of_255": Meaning(
        "Distance to training pictures",
        "How far the nearest training picture is, as a thumbnail; far nearer than true pictures are is a copy.",
        "like the truth",
    ),
    "lpips": Meaning("LPIPS", "Difference from the true picture as an eye would see it; 0 is equal.", "lower"),
    "fid": Meaning("FID", "How far the results as a set are from real pictures; small sets exaggerate it.", "lower"),
    "kid": Meaning("KID", "How far the results as a set are from real pictures; fair for small sets too.", "lower"),
    "swd_mean_milli": Meaning(
        "SWD, mean",
        "How far textures and colours are from those of real pictures, over all sizes, in thousandths.",
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
            f"SWD at {side} px", f"The same for pictures of {side} pixels alone; more pixels are finer detail.", "lower"
        )
    return Meaning(name, "", "higher")


def ordered(names: set[str]) -> list[str]:
    """Metrics in the order in which they are shown."""
    known = list(_MEANINGS)
    rank = {name: known.index(name) for name in names if name in known}
    sides = {name: -int(match[1]) for name in names if (match := re.fullmatch(r"swd_(\d+)px_milli", name))}
    return sorted(names, key=lambda name: (rank.get(name, len(known)), sides.get(name, 0), name))
