"""The components of adversarial training that `benchmarks/ablate.py` switches, and when each is useful."""

from dataclasses import dataclass

SIDE = 64
"""Side of a training image in pixels."""


@dataclass(frozen=True)
class Preset:
    """A preset in which components are switched."""

    name: str
    task: str
    data: str
    options: tuple[str, ...]
    metrics: tuple[str, ...]
    """The decisive one first."""
    images: int = 0
    """Training images of a run."""
    default: bool = False
    """Use the settings of the preset except for the image size and the number of runs, to compare old and new
    defaults."""
    seconds: float = 0.0
    """Instead of `images`: seconds of one core, the same for every switch, whatever a step costs."""
    side: int = SIDE
    """Side of a training image in pixels."""
    switches: tuple["Switch", ...] = ()
    """The switches; empty: `DEFAULTS` or `SWITCHES`."""


@dataclass(frozen=True)
class Switch:
    """A component."""

    name: str
    options: tuple[str, ...]
    when: str
    """One sentence: when to use it, according to these runs and its paper."""
    only: str = ""
    """The only task it applies to; empty: all."""


RUN = ("--image-size", str(SIDE), "--batch-size", "4", "--device", "cpu", "--precision", "32", "--workers", "0")
NARROW = ("--generator-widths", "16", "32", "64", "96", "--discriminator-width", "16")
"""Networks half as wide as the presets': for adversarial training, more steps in the same time tell more than more
channels."""
FAST = ("--generator-lr", "0.0006", "--discriminator-lr", "0.0012")
"""Three times the preset's learning rates. Of three that were tried, including its own, the best one for `preset` with
seed 0 on the same images. This favours that run; no other had its learning rate tuned."""
RATES = ("--generator-lr", "0.0004", "--discriminator-lr", "0.0008")
BEFORE = {"--discriminator-norm": "spectral", "--adaptive-augmentation": "0", "--generator-upsampling": "nearest"}
"""Settings of the presets at the time of the first study, for everything that a switch does not set."""
LIKE_TRUTH, LIKE_SOURCE = ("swd", "ssim", "edge_agreement"), ("swd", "structure")
STREETS = ("--folders", "day", "night")
PLAIN = ("--device", "cpu", "--workers", "0")
_PERCEPTUAL = ("--perceptual-weight", "1")
_PROJECTED = ("--discriminator", "projected", "--adversarial-weight", "0.5")
_SPECTRAL = ("--discriminator-norm", "spectral")
FEATURES = (
    Switch("neither", _SPECTRAL, ""),
    Switch("perceptual", (*_SPECTRAL, *_PERCEPTUAL), ""),
    Switch("projected", _PROJECTED, ""),
    Switch("projected-and-perceptual", (*_PROJECTED, *_PERCEPTUAL), ""),
    Switch("preset-projected", ("--preset", "projected"), "", only="sketch-to-photo"),
    Switch("instance-affine", ("--discriminator-norm", "instance-affine"), ""),
    Switch("classic", ("--preset", "classic"), ""),
)
"""What looking through pretrained classifiers brings, beside the same without, the same with a PatchGAN of the norm
that leaves scores large, which pix2pix's preset `modern` has taken over, and the recipe of 2017."""

THROUGH_FEATURES = ("kid_lite1", "kid_squeezenet", "perceptual", "swd", "ssim")
STREETS_THROUGH_FEATURES = ("kid_lite1", "kid_squeezenet", "swd", "structure")
PRESETS = (
    Preset("sketch-to-photo", "sketch-to-photo", "things", (*RUN, *NARROW, *FAST, "--labels"), LIKE_TRUTH, 2000),
    Preset("day-to-night", "day-to-night", "daynight", (*RUN, *NARROW, *RATES, *STREETS), LIKE_SOURCE, 800),
    Preset(
        "sketch-to-photo-default", "sketch-to-photo", "things", (*PLAIN, "--labels", "--image-size", "128"),
        LIKE_TRUTH, 2000, default=True, side=128,
    ),
    Preset(
        "day-to-night-default", "day-to-night", "daynight", (*PLAIN, *STREETS, "--image-size", "64"),
        LIKE_SOURCE, 1000, default=True,
    ),
    Preset(
        "sketch-to-photo-features", "sketch-to-photo", "things",
        (*PLAIN, "--image-size", "128"),
        THROUGH_FEATURES, seconds=240, side=128, switches=FEATURES,
    ),
    Preset(
        "day-to-night-features", "day-to-night", "daynight",
        (*PLAIN, *STREETS, "--image-size", "128"),
        STREETS_THROUGH_FEATURES, seconds=240, side=128, switches=FEATURES,
    ),
)  # fmt: skip

DEFAULTS = (
    Switch("before", ("--adaptive-augmentation", "0"), ""),
    Switch("now", (), ""),
)
"""Of the presets as they are: what they were, and what they have become."""

SWITCHES = (
    Switch(
        "preset",
        (),
        "Hinge loss, spectral norm, two scales, every picture augmented: the preset before these runs.",
    ),
    Switch(
        "minimax",
        ("--adversarial", "minimax"),
        "To see gradients vanish: without pairs it hardly leaves the source, with them the other losses carry it.",
    ),
    Switch(
        "non-saturating",
        ("--adversarial", "non-saturating"),
        "To repeat pix2pix of 2017, or for labels that can be smoothed; like hinge without pairs, behind it with them.",
    ),
    Switch(
        "maximum-likelihood",
        ("--adversarial", "maximum-likelihood"),
        "Not with pairs, where a few bad patches outweigh everything else; without them it was better than hinge.",
    ),
    Switch(
        "least-squares",
        ("--adversarial", "least-squares"),
        "To repeat CycleGAN of 2017, with a higher --adversarial-weight: at 1 it is too weak to leave the source soon.",
    ),
    Switch(
        "wgan-gp",
        ("--adversarial", "wgan-gp", "--discriminator-norm", "none"),
        "Without pairs, where it moves early and steadily; with pairs one step of the critic for each is too few.",
    ),
    Switch(
        "relativistic",
        ("--adversarial", "relativistic", "--r1-weight", "1", "--r2-weight", "1"),
        "For long trainings that must not break down; at the start it is slower than hinge in both tasks.",
    ),
    Switch(
        "label-smoothing",
        ("--adversarial", "non-saturating", "--real-label", "0.9"),
        "When the discriminator always wins a non-saturating game; nothing is gained where it does not.",
    ),
    Switch(
        "r1",
        ("--r1-weight", "1"),
        "When gradients explode or the losses go in circles; where they do not it only costs time.",
    ),
    Switch(
        "reference-batch-norm",
        ("--discriminator-norm", "reference-batch"),
        "With pairs, where it made the best textures of all; without them it slows the training down.",
    ),
    Switch(
        "virtual-batch-norm",
        ("--discriminator-norm", "virtual-batch"),
        "With pairs, as reference-batch, where the answer to a picture must not depend on its neighbours.",
    ),
    Switch(
        "batch-features",
        ("--discriminator-batch-features",),
        "When results come out all alike, which they did not here; with pairs it made no difference.",
    ),
    Switch(
        "no-norm",
        ("--discriminator-norm", "none"),
        "With a game that brings a penalty of its own, such as wgan-gp; for others spectral norm is better or equal.",
    ),
    Switch(
        "one-scale",
        ("--discriminator-scales", "1"),
        "To save time at small sizes; no difference, but less steady from seed to seed with pairs.",
    ),
    Switch(
        "no-feature-matching",
        ("--feature-weight", "0"),
        "With little time: with pairs it costs some and brings a little.",
        only="sketch-to-photo",
    ),
    Switch(
        "two-judge-steps",
        ("--discriminator-steps", "2"),
        "When the discriminator falls behind; with pairs the generator had too few steps left and collapsed.",
    ),
    Switch(
        "unrolled",
        ("--unrolled-steps", "2"),
        "Without pairs, when results come out all alike: better here, but a step takes twice as long.",
    ),
    Switch(
        "historical",
        ("--historical-weight", "1"),
        "Without pairs, when the losses go in circles: better here; with pairs it holds back what has to move far.",
    ),
    Switch(
        "pool",
        ("--pool-size", "50"),
        "When the discriminator forgets: better in the mean of both tasks, within what seeds differ.",
    ),
    Switch(
        "lecam",
        ("--lecam-weight", "0.3"),
        "With a few hundred pairs; without pairs take 0.1 or less: at 0.3 the training stood still.",
    ),
    Switch(
        "no-augmentation",
        ("--discriminator-augmentation",),
        "For a short training, where nothing is learnt by heart yet.",
    ),
    Switch(
        "adaptive-augmentation",
        ("--adaptive-augmentation", "0.6"),
        "As good as none at the start; that it helps once pictures are memorised is what the paper says.",
    ),
    Switch(
        "negative",
        ("--negative-weight", "0.25"),
        "When parts are right and the whole is not; no difference here.",
    ),
    Switch(
        "learned-styles",
        ("--style-size", "8"),
        "For many results from one source, and with a budget for it: a step takes twice as long.",
        only="sketch-to-photo",
    ),
    Switch(
        "diversity",
        ("--style-size", "8", "--diversity-weight", "8"),
        "When learned styles make no difference; results are more varied, and further from the one truth.",
        only="sketch-to-photo",
    ),
    Switch(
        "optimistic",
        ("--optimiser", "optimistic"),
        "When the losses go in circles; a little better than Adam without pairs, behind it with them.",
    ),
    Switch(
        "extra-gradient",
        ("--optimiser", "extra-gradient"),
        "Without pairs, when the losses go in circles: better here, though every second step is only a look.",
    ),
)

FOLLOWED = (
    "The modern presets of pix2pix, CycleGAN and CUT change what the discriminator sees only as much as it takes",
    "(`--adaptive-augmentation 0.6`), no longer always. In runs this short the controller cannot change more than",
    "4 pictures in 100, and changed one in 200 at most. So what was measured is a start without augmentation",
    "against one with it: better in the mean of both tasks here, and in the presets as they are, at their full",
    "width (the tables before; of two seeds, which is little). That it holds up in a long training, where",
    "pictures are learnt by heart, is the paper's and was not measured. CUT was not measured either; it plays the",
    "unpaired game.",
    "",
    "It was chosen among all these rows, and confirmed, on the same pictures: the best of many rows owes part of its",
    "lead to chance.",
    "",
    "Left as options: `reference-batch` has the best texture figures of drawings, at some cost of likeness, but",
    "wants two pictures at a time and holds the unpaired game up; wgan-gp, extra-gradient and unrolled steps are",
    "better for the unpaired game at the start, and for pairs worse or a draw.",
)
"""What the presets have learnt from it."""

FEATURES_SAID = (
    "## Conclusions, and their limits",
    "",
    "- sketch-to-photo: in both seeds `--preset projected` is closest to real photographs by `kid_lite1`, projected",
    "  and perceptual together by `kid_squeezenet`; by `swd`, patches of colour and texture, and by eye, the presets",
    "  without a projected discriminator are: after so few images the projected rows leave objects nearly empty. So",
    "  `projected` is a preset to ask for, for longer runs, not the default.",
    "- Why the modern preset fell behind the classic recipe in 20 minutes: spectral norm keeps the scores of",
    "  its PatchGAN so small that the adversarial gradient is a tenth of what the classic discriminator sends.",
    "  With `--discriminator-norm instance-affine` it is as large as there, and in both seeds the results are",
    "  better by every measure but `kid_squeezenet`, so it is what `--preset modern` of pix2pix uses.",
    "- day-to-night: after minutes no row is plainly better than `neither`. The perceptual term was a little better in",
    "  both seeds by `kid_squeezenet`, which flatters it, and by `swd`, but not by `kid_lite1` in the second; instance",
    "  norm was better in one seed and worse in the other. The projected discriminator changed the pictures least of",
    "  all (structure 0.997) in both, and the classic recipe has seen 40 pictures. The preset stays as it is; what",
    "  longer runs bring is still to be measured.",
)
"""What the runs on pretrained features say, and what they do not."""
