"""Settings shared by all trainers, their validation, and loading them from JSON."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

import tyro

from translate.data.reading import PixelFormat, parse_channels
from translate.errors import ConfigError
from translate.options import parse_duration, text_option

Config = TypeVar("Config", bound="TrainConfig")


def _seconds(value: float | None) -> str:
    return "none" if value is None else f"{value:.12g}s"


def _absolute(folder: str) -> str:
    """So that a run can be resumed from elsewhere."""
    return str(Path(folder).resolve()) if folder else ""


_FOLDER = text_option("FOLDER", _absolute, str)

UNPREFIXED = tyro.conf.arg(name="")
"""Annotation of a group: its options have no prefix."""

Metric = Literal[
    "psnr", "psnr_luma", "ssim", "structure", "edge_agreement", "swd", "lpips", "fid", "kid", "kid_lite1",
    "kid_squeezenet", "perceptual",
]  # fmt: skip


def option_name(field: str) -> str:
    """The command-line option of a setting."""
    return "--" + {"max_seconds": "max-time", "snapshot_seconds": "snapshot-time"}.get(field, field.replace("_", "-"))


def check_range(config: object, name: str, low: float, high: float) -> None:
    """Raise ConfigError unless `config.name` is None or low <= it <= high."""
    value = getattr(config, name)
    if value is not None and not low <= value <= high:
        limits = f"between {low:g} and {high:g}" if high < math.inf else f"at least {low:g}"
        raise ConfigError(f"{option_name(name)} is {value:g}; it must be {limits}")


@dataclass(frozen=True, kw_only=True)
class BudgetConfig:
    """How long a run lasts."""

    max_seconds: Annotated[
        float | None, text_option("TIME", parse_duration, _seconds), tyro.conf.arg(name="max-time")
    ] = None
    """Budget of the whole run including resumes, e.g. 20m or 1h30m. The learning rate schedule follows it."""
    max_images: Annotated[int | None, tyro.conf.arg(metavar="INT", help_behavior_hint="(default: none)")] = None
    """Budget of the whole run in training images seen, instead of a time."""

    def __post_init__(self) -> None:
        if self.max_seconds is not None and self.max_images is not None:
            raise ConfigError("--max-time and --max-images are both given, but a run has one budget; omit one of them")
        check_range(self, "max_seconds", 1e-3, math.inf)
        check_range(self, "max_images", 1, math.inf)


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """What the images are, and how they become training samples."""

    layout: Literal["auto", "photos", "side-by-side", "two-folders"] = "auto"
    """Layout of --data: photos only, both images of a pair side by side in one file, or one folder per side."""
    folders: tuple[str, str] = ("source", "target")
    """Names of the input and the target folder in --data."""
    source_side: Literal["left", "right"] = "left"
    """Which half of a side-by-side file is the input."""
    labels: bool = False
    """Sub-folders are class labels (shoe, handbag); the generator is conditioned on them."""
    label_names: Annotated[tuple[str, ...], tyro.conf.Suppress] = ()
    """Names of the class labels, in order; filled in when the data is listed."""
    channels: str = "3"
    """Channels and bit depth of input and target: 3, or 1:3 for grey to colour, 1x16 for 16-bit grey."""
    framing: Literal["fit", "crop", "patch"] = "crop"
    """How an image becomes a square training sample. fit: the whole image, padded with white; crop: resized, then
    cropped; patch: cropped at the original resolution."""
    augmentation: Literal["none", "flip", "full"] = "full"
    """Data augmentation; full adds small changes of scale, rotation and colour to flips."""
    image_size: int = 256
    """Side of the training samples in pixels."""
    cache: Annotated[str, _FOLDER, tyro.conf.arg(name="cache")] = ""
    """Folder for a cache of decoded images, for this and later runs; worth it on a GPU or for very large photos."""
    unpaired_sources: Annotated[str, _FOLDER, tyro.conf.arg(name="unpaired-sources")] = ""
    """Folder of sources without targets, such as real drawings, to learn from beside the pairs of pix2pix. Their
    results are compared with real images and with the edges of the source only; with --labels, their sub-folders are
    the labels."""
    unpaired_share: float = 0.25
    """Number of unpaired sources for each training image; time and memory grow by this share."""
    unpaired_label: str = ""
    """Class label of all unpaired sources, instead of sub-folders."""

    def __post_init__(self) -> None:
        check_range(self, "image_size", 16, 4096)
        if not 0.0 < self.unpaired_share <= 1.0:
            raise ConfigError(f"--unpaired-share is {self.unpaired_share:g}; it must be above 0 and at most 1")
        if self.unpaired_label and not self.unpaired_sources:
            raise ConfigError("--unpaired-label is for the pictures of --unpaired-sources; add that, or omit it")
        self.formats  # noqa: B018 - validates the text

    @property
    def formats(self) -> tuple[PixelFormat, PixelFormat]:
        """The parsed `channels`, for input and target."""
        return parse_channels(self.channels)


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Settings of the networks that all trainers share."""

    initialisation: Literal["default", "normal", "xavier"] = "default"
    """Weight initialisation; the classic recipes use normal, or xavier with a gain of 0.02."""


@dataclass(frozen=True, kw_only=True)
class OptimisationConfig:
    """Batches, the optimiser, its schedule and the EMA."""

    batch_size: int = 4
    """Batch size. Small batches, and so more steps, suit a CPU and short budgets; 16 to 32 keep a GPU busy."""
    accumulate: int = 1
    """Gradient accumulation: split each batch into this many parts to save memory, with nearly the same result."""
    generator_lr: float = 2e-4
    """Adam learning rate of the generator (2e-4 in pix2pix, 2017)."""
    discriminator_lr: float = 4e-4
    """Adam learning rate of the discriminator; usually twice the generator's (TTUR, Heusel et al., 2017)."""
    adam_beta1: float = 0.5
    """Adam beta1."""
    adam_beta2: float = 0.99
    """Adam beta2."""
    optimiser: Literal["adam", "optimistic", "extra-gradient"] = "adam"
    """optimistic and extra-gradient are variants of Adam against oscillation (Daskalakis et al., 2018; Gidel et al.,
    2019). With extra-gradient every second step is only an extrapolation."""
    lr_rampup_images: int = 200
    """Learning rate warm-up, in images."""
    lr_decay_start: float = 0.5
    """Fraction of the budget after which the learning rate decays linearly to zero."""
    ema_halflife_images: int = 4000
    """Half-life in images of the EMA of the generator, which is what is exported; 0: no EMA."""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("batch_size", 1, 65536),
            ("accumulate", 1, 65536),
            ("generator_lr", 0.0, 1.0),
            ("discriminator_lr", 0.0, 1.0),
            ("adam_beta1", 0.0, 0.9999),
            ("adam_beta2", 0.0, 0.9999),
            ("lr_rampup_images", 0, math.inf),
            ("lr_decay_start", 0.0, 1.0),
            ("ema_halflife_images", 0, math.inf),
        ):
            check_range(self, name, low, high)
        if self.batch_size % self.accumulate:
            raise ConfigError(
                f"--accumulate is {self.accumulate}; it must divide --batch-size, which is {self.batch_size}"
            )

    @property
    def at_once(self) -> int:
        """Number of images in one forward pass, over all processes."""
        return self.batch_size // self.accumulate


@dataclass(frozen=True, kw_only=True)
class ValidationConfig:
    """What is measured and shown during a run, and what decides about the best snapshot."""

    held_out: int = -1
    """Number of images held out of --data for validation if there is no --val folder; -1: about 5 %, at most 64."""
    validations: int = 10
    """Number of validations over the whole budget; fewer if they would take more than a tenth of --max-time."""
    metrics: tuple[Metric, ...] = ("psnr", "ssim", "swd")
    """Validation metrics. psnr and ssim need pairs; structure, which compares the edges of source and output, does not;
    edge_agreement is for drawings; kid_lite1, kid_squeezenet and perceptual need the extra `features`; the weights for
    lpips, fid and kid must be installed by hand."""
    best_by: Metric | Literal["auto"] = "auto"
    """Metric that selects the best snapshot. auto: kid_lite1 if the extra `features` is installed and at least 16
    images are held out, together with kid_squeezenet if the discriminator itself uses Lite1; otherwise swd."""
    patience: int = 0
    """Early stopping: end the run after this many validations without a new best; 0: never."""
    sample_grids: int = 24
    """Number of sample grids written over the whole budget."""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("held_out", -1, math.inf),
            ("validations", 0, 10_000),
            ("patience", 0, 10_000),
            ("sample_grids", 0, 10_000),
        ):
            check_range(self, name, low, high)
        if self.best_by != "auto" and self.best_by not in self.metrics:
            raise ConfigError(f"--best-by is {self.best_by}, which is not one of --metrics; add it there")
        if self.patience and not self.validations:
            raise ConfigError("--patience needs validation, but --validations is 0; omit one of them")


@dataclass(frozen=True, kw_only=True)
class MachineConfig:
    """Settings that depend on the machine; they do not change what is learned, except for rounding."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device to train on; auto uses a GPU if there is one."""
    precision: Literal["auto", "32", "bf16"] = "auto"
    """Mixed precision; auto uses bfloat16 where the hardware supports it."""
    compile: bool = False
    """Use torch.compile: takes a minute or two at the start, then makes steps faster, mostly on a GPU."""
    checkpoint_activations: bool = False
    """Activation checkpointing in the generator: recompute blocks in the backward pass, for a large --image-size."""
    workers: int = -1
    """Number of data loader processes; -1: chosen for the machine."""
    snapshot_seconds: Annotated[
        float, text_option("TIME", parse_duration, _seconds), tyro.conf.arg(name="snapshot-time")
    ] = 300.0
    """Time between snapshots."""

    def __post_init__(self) -> None:
        check_range(self, "workers", -1, 256)
        check_range(self, "snapshot_seconds", 0.0, math.inf)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings shared by all trainers, in groups; each trainer's config adds its own.

    A setting has one name everywhere: on the command line, in presets and in snapshots, which know no groups.
    """

    preset: str = "modern"
    """Set of defaults to start from. classic is the original paper's recipe; projected, where available, uses a
    pretrained classifier in the discriminator and needs the extra `features`."""
    start_from: Annotated[str, tyro.conf.arg(metavar="NAME|FILE.onnx|RUN")] = ""
    """Start from trained weights. NAME of a shipped model or FILE.onnx: fine-tune it on your images; the generator and
    its architecture come from the file. RUN, the --out folder of another run: continue with a larger --image-size,
    other images, another --scale or the adversarial phase of super-resolution. Weights that are missing there are
    initialised as usual."""
    seed: int = 0
    """Random seed for initial weights, file order, augmentation and synthetic drawings."""
    budget: Annotated[BudgetConfig, UNPREFIXED] = BudgetConfig()
    data: Annotated[DataConfig, UNPREFIXED] = DataConfig()
    networks: Annotated[NetworkConfig, UNPREFIXED] = NetworkConfig()
    optimisation: Annotated[OptimisationConfig, UNPREFIXED] = OptimisationConfig()
    validation: Annotated[ValidationConfig, UNPREFIXED] = ValidationConfig()
    machine: Annotated[MachineConfig, UNPREFIXED] = MachineConfig()
    learns_unpaired: ClassVar[bool] = False
    """Whether the trainer can learn from sources without targets beside its pairs."""

    def __post_init__(self) -> None:
        check_range(self, "seed", 0, 2**31 - 1)
        if self.data.unpaired_sources and not self.learns_unpaired:
            raise ConfigError("--unpaired-sources is for pix2pix and sketch-to-photo, which learn from pairs; omit it")

    @classmethod
    def of(cls, **settings: Any) -> Self:
        """The defaults with some settings changed, each in the group that has it.

        Raises:
            ConfigError: a value is out of range, or settings contradict each other.
            TypeError: there is no such setting.
        """
        return cls().replace(**settings)

    def replace(self, **settings: Any) -> Self:
        """A copy with some settings changed, each in the group that has it; raises as `of` does."""
        changes: dict[str, Any] = {}
        for group, value in self._groups().items():
            own = settings.keys() & {field.name for field in dataclasses.fields(value)}
            if own:
                changes[group] = dataclasses.replace(value, **{name: settings.pop(name) for name in own})
        return dataclasses.replace(self, **changes, **settings)

    def settings(self) -> dict[str, Any]:
        """Every setting by its name, without groups."""
        groups = self._groups()
        found: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            own = field.name not in groups
            found |= {field.name: getattr(self, field.name)} if own else dataclasses.asdict(groups[field.name])
        return found

    def _groups(self) -> dict[str, Any]:
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: value for name, value in values.items() if dataclasses.is_dataclass(value)}

    def check_part(self, pictures: int) -> None:
        """Raise ConfigError if this many images are too few for one forward pass in one process."""


DROPPED = (("fake_label", 0.0),)
"""Settings of older snapshots with the one value they could have."""


def config_from_json(kind: type[Config], found: Mapping[str, object], origin: str) -> Config:
    """Rebuild a config from JSON, tuples included.

    Settings that earlier versions had, and that could have one value only, are left out.

    Raises:
        ConfigError: a key that is unknown to this version, or a value that is out of range or of another type.
    """
    found = {name: value for name, value in found.items() if (name, value) not in DROPPED}
    unknown = sorted(found.keys() - kind().settings().keys())
    if unknown:
        raise ConfigError(
            f"{origin} has the setting {unknown[0]!r}, which is unknown to this version; "
            "use the version of translate that wrote it"
        )
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}
    try:
        return kind.of(**values)
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ConfigError(
            f"{origin} has a setting of the wrong type ({error}); use the version of translate that wrote it"
        ) from None
