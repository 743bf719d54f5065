"""One table of all metrics: used while training, by `translate evaluate`, by the reports and by the documents."""

import re
from typing import Literal, NamedTuple

Better = Literal["higher", "lower", "like the truth"]

Compares = Literal["truth", "source", "set", "result", "training"]
"""What a result is compared with: its truth, its source, real pictures as a set, nothing, or the training pictures."""


class Metric(NamedTuple):
    """What to know about a metric without computing it."""

    title: str
    text: str
    """One sentence for people."""
    better: Better
    compares: Compares = "set"
    unit: str = ""
    range: str = "0 to 1"
    source: str = ""
    """Paper or standard that defines it."""
    training_name: str = ""
    """What `translate train --metrics` calls it; empty: it is not measured there."""


METRICS: dict[str, Metric] = {
    "psnr_luma_db": Metric(
        "PSNR of brightness, dB",
        "How close the brightness is to the true picture, rim left out, as published comparisons of enlargements give "
        "it; one more is clearly closer.",
        "higher",
        "truth",
        "dB",
        "0 to 100",
        "ITU-R BT.601; 10 log10(255² / MSE)",
        "psnr_luma",
    ),
    "psnr_db": Metric(
        "PSNR, dB",
        "How close the picture is to the true one, pixel by pixel; equal pictures have 100.",
        "higher",
        "truth",
        "dB",
        "0 to 100",
        "10 log10(255² / MSE)",
        "psnr",
    ),
    "ssim": Metric(
        "SSIM",
        "How alike the structure is to that of the true picture; 1 is equal.",
        "higher",
        "truth",
        "",
        "-1 to 1",
        "Wang et al., 2004",
        "ssim",
    ),
    "ms_ssim": Metric(
        "MS-SSIM",
        "How alike the structure is to that of the true picture, at five sizes from fine detail to coarse layout; 1 is "
        "equal.",
        "higher",
        "truth",
        "",
        "0 to 1",
        "Wang et al., 2003",
    ),
    "edge_agreement": Metric(
        "Edge agreement",
        "How well the edges of the result and the drawn lines lie on one another, give or take 2 pixels: 1 is an edge "
        "along every line and nowhere else.",
        "higher",
        "source",
        source="F-measure of Canny edges, `translate.metrics.edge_agreement`",
        training_name="edge_agreement",
    ),
    "line_contrast": Metric(
        "Edges along lines over elsewhere",
        "How much stronger edges are along the drawn lines than elsewhere; 1 is a result that ignores the drawing.",
        "like the truth",
        "source",
        range="0 and up",
        source="`translate.metrics.drawing`",
    ),
    "chroma": Metric(
        "Colourfulness",
        "Mean difference of the strongest and the weakest colour channel in the object; 0 is grey.",
        "like the truth",
        "result",
        source="`translate.metrics.drawing`",
    ),
    "gradient_correlation": Metric(
        "Structure kept",
        "Whether edges are where they were before: 1 keeps every edge, 0 shows something else; an unchanged picture "
        "has 1 too, so look also at how near the results are to real pictures.",
        "higher",
        "source",
        range="-1 to 1",
        source="Correlation of gradient lengths, `translate.metrics.gradient_correlation`",
        training_name="structure",
    ),
    "target_share": Metric(
        "Taken for the target",
        "Share of the results that a classifier, trained on real pictures of both kinds, takes for the target.",
        "higher",
        "set",
        source="`translate.metrics.domain`",
    ),
    "style_diversity": Metric(
        "Diversity of styles",
        "How different five styles of one picture are on average; 0 is all alike, 1 is black beside white.",
        "higher",
        "result",
        source="Mean pairwise L1 distance, `translate.metrics.diversity`",
    ),
    "nearest_training_rms_of_255": Metric(
        "Distance to training pictures",
        "How far the nearest training picture is, as a thumbnail; far nearer than true pictures are is a copy.",
        "like the truth",
        "training",
        "levels of 255",
        "0 to 255",
        "`translate.metrics.neighbours`",
    ),
    "lpips": Metric(
        "LPIPS",
        "Difference from the true picture as an eye would see it; 0 is equal.",
        "lower",
        "truth",
        range="0 and up",
        source="Zhang et al., 2018",
        training_name="lpips",
    ),
    "fid": Metric(
        "FID",
        "How far the results as a set are from real pictures; small sets exaggerate it.",
        "lower",
        "set",
        range="0 and up",
        source="Heusel et al., 2017",
        training_name="fid",
    ),
    "kid": Metric(
        "KID",
        "How far the results as a set are from real pictures; fair for small sets too.",
        "lower",
        "set",
        range="about 0 and up",
        source="Bińkowski et al., 2018",
        training_name="kid",
    ),
    "kid_lite1": Metric(
        "KID on EfficientNet-Lite1",
        "How far the results as a set are from real pictures, as a classifier of photographs sees them; about 0 for "
        "other real pictures. Compares with nothing measured through Inception, nor at another size.",
        "lower",
        "set",
        range="about 0 and up",
        source="Bińkowski et al., 2018, on features of EfficientNet-Lite1",
        training_name="kid_lite1",
    ),
    "kid_squeezenet": Metric(
        "KID on SqueezeNet",
        "The same through another classifier, in units of its own: a second opinion on models that were trained "
        "with the first.",
        "lower",
        "set",
        range="about 0 and up",
        source="Bińkowski et al., 2018, on features of SqueezeNet 1.1",
        training_name="kid_squeezenet",
    ),
    "perceptual": Metric(
        "Perceptual distance",
        "Difference from the true picture as a classifier (SqueezeNet) sees it; 0 is equal.",
        "lower",
        "truth",
        range="0 and up",
        source="Zhang et al., 2018, without learnt weights, on SqueezeNet 1.1",
        training_name="perceptual",
    ),
    "swd_mean_milli": Metric(
        "Distance of textures (SWD), mean",
        "Small patches are cut out of the results and out of real pictures at several sizes, and this is how much the "
        "one heap would have to change to become the other (the sliced Wasserstein distance, SWD, in thousandths); "
        "0 is equal textures and colours.",
        "lower",
        "set",
        "thousandths",
        "0 and up",
        "Karras et al., 2018",
        "swd",
    ),
}
"""By the name that `translate evaluate` writes; in the order in which they are shown."""

_BY_TRAINING_NAME = {metric.training_name: metric for metric in METRICS.values() if metric.training_name}

HIGHER_IS_BETTER = tuple(name for name, metric in _BY_TRAINING_NAME.items() if metric.better == "higher")
"""Of the names of `translate train --metrics`; of the others lower is better."""

PAIRED = tuple(name for name, metric in _BY_TRAINING_NAME.items() if metric.compares == "truth")
"""Of the names of `translate train --metrics`, those that compare a result with the truth."""


def trained_with(name: str) -> Metric:
    """The metric that `translate train --metrics` calls `name`; one that nobody described keeps its name."""
    return _BY_TRAINING_NAME.get(name, Metric(name, "measured", "lower"))


def metric(name: str) -> Metric:
    """The metric that `translate evaluate` calls `name`; one that nobody described keeps its name."""
    if name in METRICS:
        return METRICS[name]
    if match := re.fullmatch(r"swd_(\d+)px_milli", name):
        side = match[1]
        return METRICS["swd_mean_milli"]._replace(
            title=f"Distance of textures (SWD), {side} px",
            text=f"How far textures are from those of real pictures, in detail that {side} pixels can show; more "
            "pixels are finer detail.",
            training_name="",
        )
    return Metric(name, "", "higher")


def ordered(names: set[str]) -> list[str]:
    """Metrics in the order in which they are shown."""
    known = list(METRICS)
    rank = {name: known.index(name) for name in names if name in known}
    sides = {name: -int(match[1]) for name in names if (match := re.fullmatch(r"swd_(\d+)px_milli", name))}
    return sorted(names, key=lambda name: (rank.get(name, len(known)), sides.get(name, 0), name))


def as_markdown() -> str:
    """The table for the documents."""
    rows = [
        f"| {one.title} | `{name}` | {f'`{one.training_name}`' if one.training_name else ''} | {one.better} | "
        f"{one.range}{f' {one.unit}' if one.unit else ''} | {one.compares} | {one.text} | {one.source} |"
        for name, one in METRICS.items()
    ]
    head = "| metric | `translate evaluate` | `translate train` | better | range | compares with | says | source |"
    return "\n".join([head, "|---|---|---|---|---|---|---|---|", *rows])
