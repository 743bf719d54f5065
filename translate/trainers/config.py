"""Settings that every trainer has, and how settings are checked and read back."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar

import tyro

from translate.data.formats import PixelFormat, parse_channels
from translate.errors import ConfigError
from translate.usage import parse_duration, text_option

Config = TypeVar("Config", bound="TrainConfig")


def _seconds(value: float | None) -> str:
    return "none" if value is None else f"{value:.12g}s"


Metric = Literal[
    "psnr", "psnr_luma", "ssim", "structure", "edge_agreement", "swd", "lpips", "fid", "kid", "kid_lite1",
    "kid_squeezenet", "perceptual",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings that every trainer has; the formula's own settings are added by the trainer's config."""

    preset: str = "modern"
    """Which set of defaults to start from: classic is the original paper's recipe; projected, where there is one, looks
    through pretrained classifiers and needs the extra features."""
    max_seconds: Annotated[
        float | None, text_option("TIME", parse_duration, _seconds), tyro.conf.arg(name="max-time")
    ] = None
    """The whole run's budget, e.g. 20m or 1h30m, over all resumes. The learning rate follows the share used."""
    max_images: int | None = None
    """The whole run's budget in training images seen, in place of a time."""

    start_from: Annotated[str, tyro.conf.arg(metavar="NAME|FILE.onnx|RUN")] = ""
    """Begin with what has been learnt before. NAME of a shipped model or FILE.onnx: fine-tune it on your pictures; the
    generator and how it is built come from the file. RUN, a folder that was an --out: go on at a larger --image-size,
    with other pictures, at another --scale or with the next part of super-resolution. What is not there begins
    untrained."""

    layout: Literal["auto", "photos", "side-by-side", "two-folders"] = "auto"
    """How --data holds the pictures: photographs alone, pairs in one file each, or a folder for either side."""
    folders: tuple[str, str] = ("source", "target")
    """Names of the two folders below --data, what goes in and what should come out."""
    source_side: Literal["left", "right"] = "left"
    """Which half of a side-by-side file is what goes in."""
    labels: bool = False
    """Sub-folders are kinds (shoe, handbag): the model learns them all and is told which one to make."""
    label_names: Annotated[tuple[str, ...], tyro.conf.Suppress] = ()
    """Names of the sub-folders, in order; filled in when the data is listed."""
    channels: str = "3"
    """Channels and bits of the pictures, in and out: 3, or 1:3 for grey to colour, 1x16 for 16-bit grey."""
    framing: Literal["fit", "crop", "patch"] = "crop"
    """How a square is made of a picture: all of it with white around, a cut-out of it reduced, or as it is."""
    augmentation: Literal["none", "flip", "full"] = "full"
    """How pictures are varied while loading; full adds small changes of size, angle and colour to flips."""
    image_size: int = 256
    """Side in pixels of the squares the networks learn from."""
    cache: Annotated[str, tyro.conf.arg(metavar="FOLDER")] = ""
    """Keep decoded pictures here, for this and later runs: worth it on a GPU or for very large photographs."""

    batch_size: int = 4
    """Images a step. Few, and so more steps, suit a CPU and short budgets; a GPU is fed well by 16 to 32."""
    accumulate: int = 1
    """Work through every batch in so many parts, to save memory; nearly the same steps as in one."""
    generator_lr: float = 2e-4
    """Adam step size of the generator (pix2pix, 2017)."""
    discriminator_lr: float = 4e-4
    """Adam step size of the discriminator; twice the generator's (TTUR, Heusel et al., 2017)."""
    adam_beta1: float = 0.5
    """Adam's memory of the gradient."""
    adam_beta2: float = 0.99
    """Adam's memory of the squared gradient."""
    optimiser: Literal["adam", "optimistic", "extra-gradient"] = "adam"
    """The two others are Adam that looks one step ahead, for a game that goes in circles (Daskalakis et al., 2018;
    Gidel et al., 2019, where every second step is only for looking)."""
    lr_rampup_images: int = 200
    """The learning rate rises from zero over this many images."""
    lr_decay_start: float = 0.5
    """Share of the budget after which the learning rate falls linearly to zero."""
    ema_halflife_images: int = 4000
    """Half-life, in images, of the averaged generator, which is the one that is exported; 0: no average."""
    initialisation: Literal["default", "normal", "xavier"] = "default"
    """Initial weights; normal and xavier with a gain of 0.02 belong to the classic recipes."""
    seed: int = 0
    """Of initial weights, order of the files, augmentation and drawing."""

    held_out: int = -1
    """Pictures of --data kept back for measuring when there is no --val folder; -1: 5 %, at most 64."""
    validations: int = 10
    """How often held-out pictures are measured over the whole budget; less often where a --max-time is so short that
    measuring would take a tenth of it."""
    metrics: tuple[Metric, ...] = ("psnr", "ssim", "swd")
    """What is measured; psnr and ssim need pairs, structure (how much of the source's edges is kept) needs none;
    edge_agreement is for drawings; kid_lite1, kid_squeezenet and perceptual need the extra features; lpips, fid and
    kid need their weights on the machine."""
    best_by: Metric | Literal["auto"] = "auto"
    """The metric that decides which snapshot is kept as the best. auto: kid_lite1 where the extra features is installed
    and 16 pictures are held out, together with kid_squeezenet when a discriminator looks through Lite1 itself; else
    swd."""
    patience: int = 0
    """End the run after so many measurements without a new best; 0: never."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; auto takes a GPU when there is one."""
    precision: Literal["auto", "32", "bf16"] = "auto"
    """Number format of the convolutions; auto takes bfloat16 where the hardware has it."""
    compile: bool = False
    """Compile the networks first: a minute or two at the start, faster steps afterwards, mostly on a GPU."""
    checkpoint_activations: bool = False
    """Compute the generator's blocks twice instead of keeping them: large --image-size in less memory."""
    workers: int = -1
    """Processes that load and augment photographs; -1 chooses by the machine."""
    snapshot_seconds: Annotated[
        float, text_option("TIME", parse_duration, _seconds), tyro.conf.arg(name="snapshot-time")
    ] = 300.0
    """Time between snapshots."""
    sample_grids: int = 24
    """How many sample grids are written over the whole budget."""

    def __post_init__(self) -> None:
        if self.max_seconds is not None and self.max_images is not None:
            raise ConfigError("--max-time and --max-images are both given; a run has one budget, leave one out")
        for name, low, high in (
            ("max_seconds", 1e-3, math.inf),
            ("max_images", 1, math.inf),
            ("image_size", 16, 4096),
            ("batch_size", 1, 65536),
            ("accumulate", 1, 65536),
            ("generator_lr", 0.0, 1.0),
            ("discriminator_lr", 0.0, 1.0),
            ("adam_beta1", 0.0, 0.9999),
            ("adam_beta2", 0.0, 0.9999),
            ("lr_rampup_images", 0, math.inf),
            ("lr_decay_start", 0.0, 1.0),
            ("ema_halflife_images", 0, math.inf),
            ("seed", 0, 2**31 - 1),
            ("held_out", -1, math.inf),
            ("validations", 0, 10_000),
            ("patience", 0, 10_000),
            ("workers", -1, 256),
            ("snapshot_seconds", 0.0, math.inf),
            ("sample_grids", 0, 10_000),
        ):
            check_range(self, name, low, high)
        if self.batch_size % self.accumulate:
            raise ConfigError(
                f"--accumulate is {self.accumulate}; it must divide --batch-size, which is {self.batch_size}"
            )
        if self.best_by != "auto" and self.best_by not in self.metrics:
            raise ConfigError(f"--best-by is {self.best_by}, which --metrics does not name; add it there")
        if self.patience and not self.validations:
            raise ConfigError("--patience needs measurements, but --validations is 0; leave one of them out")
        self.formats  # noqa: B018 - checks the text

    def check_part(self, pictures: int) -> None:
        """Raise ConfigError if so many pictures are too few to go through the networks together, in one process."""

    @property
    def formats(self) -> tuple[PixelFormat, PixelFormat]:
        """What `channels` says, for what goes in and what comes out."""
        return parse_channels(self.channels)


def option_name(field: str) -> str:
    """What a setting is called on the command line."""
    return "--" + {"max_seconds": "max-time", "snapshot_seconds": "snapshot-time"}.get(field, field.replace("_", "-"))


def check_range(config: object, name: str, low: float, high: float) -> None:
    """Raise ConfigError unless `config.name` is None or low <= it <= high."""
    value = getattr(config, name)
    if value is not None and not low <= value <= high:
        limits = f"between {low:g} and {high:g}" if high < math.inf else f"at least {low:g}"
        raise ConfigError(f"{option_name(name)} is {value:g}; it must be {limits}")


def config_from_json(kind: type[Config], found: Mapping[str, object], origin: str) -> Config:
    """Rebuild a config from JSON, tuples included.

    Raises:
        ConfigError: a key this version does not know.
    """
    known = {field.name for field in dataclasses.fields(kind)}
    unknown = sorted(set(found) - known)
    if unknown:
        raise ConfigError(
            f"{origin} has the setting {unknown[0]!r}, which this version does not know; "
            "use the version of translate that wrote it"
        )
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}
    return kind(**values)  # pyright: ignore[reportArgumentType] - checked by __post_init__
