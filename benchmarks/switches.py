"""What `benchmarks/ablate.py` switches: one piece of the adversarial game after the other, and when each is of use."""

from dataclasses import dataclass

BASE = "preset"
SIDE = 64
"""Of a training picture, in pixels."""


@dataclass(frozen=True)
class Preset:
    """What is switched in."""

    task: str
    data: str
    options: tuple[str, ...]
    metrics: tuple[str, ...]
    images: int
    """Training pictures of a run: about a minute of one core."""


@dataclass(frozen=True)
class Switch:
    """One piece."""

    name: str
    options: tuple[str, ...]
    when: str
    """One sentence: when to use it, as far as these runs and its paper tell."""
    only: str = ""
    """The one preset it makes sense in; empty: all."""


RUN = ("--image-size", str(SIDE), "--batch-size", "4", "--device", "cpu", "--precision", "32", "--workers", "0")
NARROW = ("--generator-widths", "16", "32", "64", "96", "--discriminator-width", "16")
"""Networks half as wide as the presets': more steps in the same time say more of a game than more channels."""
FAST = ("--generator-lr", "0.0006", "--discriminator-lr", "0.0012")
"""Three times the preset's, in the same relation: at its own, shapes are hardly filled after so few steps."""
RATES = ("--generator-lr", "0.0004", "--discriminator-lr", "0.0008")
BEFORE = {"--discriminator-norm": "spectral", "--adaptive-augmentation": "0"}
"""What the presets were when this was asked first, whatever they have become since: what a switch does not name."""
PRESETS = (
    Preset("sketch-to-photo", "things", (*RUN, *NARROW, *FAST, "--labels"), ("swd", "ssim", "edge_agreement"), 2000),
    Preset("day-to-night", "daynight", (*RUN, *NARROW, *RATES, "--folders", "day", "night"), ("swd", "structure"), 800),
)
"""What counts comes first."""

SWITCHES = (
    Switch(
        BASE,
        (),
        "Hinge loss, spectral norm, two scales, every picture augmented: the preset before these runs.",
    ),
    Switch(
        "minimax",
        ("--adversarial", "minimax"),
        "To see what vanishing gradients are; with pairs the other losses carry it, without them it hardly moves.",
    ),
    Switch(
        "non-saturating",
        ("--adversarial", "non-saturating"),
        "To repeat pix2pix of 2017, or for real labels that can be smoothed; with pairs it is behind hinge here.",
    ),
    Switch(
        "maximum-likelihood",
        ("--adversarial", "maximum-likelihood"),
        "Without pairs it goes along with the others; with pairs a few bad patches outweigh everything, so not there.",
    ),
    Switch(
        "least-squares",
        ("--adversarial", "least-squares"),
        "To repeat CycleGAN of 2017, with a higher --adversarial-weight: at 1 it is too weak to leave the source soon.",
    ),
    Switch(
        "wgan-gp",
        ("--adversarial", "wgan-gp", "--discriminator-norm", "none"),
        "Without pairs, where it moves early and steadily; with pairs it wants five steps of the critic and more time.",
    ),
    Switch(
        "relativistic",
        ("--adversarial", "relativistic", "--r1-weight", "1", "--r2-weight", "1"),
        "For long trainings that must not break down; slow at the start, in both tasks.",
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
        "With pairs, where it gave the best textures; without pairs it stays near the source.",
    ),
    Switch(
        "virtual-batch-norm",
        ("--discriminator-norm", "virtual-batch"),
        "As reference-batch, when the discriminator must judge each picture by itself; slower still without pairs.",
    ),
    Switch(
        "batch-features",
        ("--discriminator-batch-features",),
        "When results come out all alike; the seeds differ more than it does.",
    ),
    Switch(
        "no-norm",
        ("--discriminator-norm", "none"),
        "With a game that brings a penalty of its own, as wgan-gp; for the others spectral norm is better or equal.",
    ),
    Switch(
        "one-scale",
        ("--discriminator-scales", "1"),
        "To save a quarter of the time at small sizes; less steady from seed to seed.",
    ),
    Switch(
        "no-feature-matching",
        ("--feature-weight", "0"),
        "Without pairs it does not apply; with them it is the cheapest thing to leave out.",
        only="sketch-to-photo",
    ),
    Switch(
        "two-judge-steps",
        ("--discriminator-steps", "2"),
        "When the discriminator falls behind; with pairs and few steps it takes the generator's time.",
    ),
    Switch(
        "unrolled",
        ("--unrolled-steps", "2"),
        "When results come out all alike and nothing else helps; a step costs several.",
    ),
    Switch(
        "historical",
        ("--historical-weight", "1"),
        "When the game goes in circles; with pairs it holds back what has to move far.",
    ),
    Switch(
        "pool",
        ("--pool-size", "50"),
        "Without pairs, when the discriminator forgets; results differ much from seed to seed.",
    ),
    Switch(
        "lecam",
        ("--lecam-weight", "0.3"),
        "With few hundred pictures and a small weight, 0.1 or less: at 0.3 it stops an unpaired game.",
    ),
    Switch(
        "no-augmentation",
        ("--discriminator-augmentation",),
        "For a short training, or with ten thousands of pictures: nothing is memorised then.",
    ),
    Switch(
        "adaptive-augmentation",
        ("--adaptive-augmentation", "0.6"),
        "Always: as good as none at the start, and there when the discriminator begins to memorise.",
    ),
    Switch(
        "negative",
        ("--negative-weight", "0.25"),
        "When parts are right and the whole is not; a draw in these runs.",
    ),
    Switch(
        "learned-styles",
        ("--style-size", "8"),
        "For many results from one source, with a budget for it; results differ much from seed to seed.",
        only="sketch-to-photo",
    ),
    Switch(
        "diversity",
        ("--style-size", "8", "--diversity-weight", "8"),
        "When learned styles make no difference.",
        only="sketch-to-photo",
    ),
    Switch(
        "optimistic",
        ("--optimiser", "optimistic"),
        "When the game goes in circles; a draw without pairs, behind Adam with them.",
    ),
    Switch(
        "extra-gradient",
        ("--optimiser", "extra-gradient"),
        "When the game goes in circles; every second step is only a look, so that it learns half as much.",
    ),
)
