"""pix2pix: learn a translation from aligned pairs of images.

Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", 2017. With `style_size` one source has
many outputs: Zhu et al., "Toward Multimodal Image-to-Image Translation", 2017 (BicycleGAN).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from translate.errors import ConfigError
from translate.losses.diversity import diversity
from translate.losses.edges import unmatched_edges
from translate.losses.style import kl_to_standard_normal
from translate.networks.colour_style import ColourStyle, colour_style_size
from translate.networks.condition import condition_vector, label_planes
from translate.networks.precision import full_precision
from translate.networks.running_stats import MOMENTUM, weight_of_part
from translate.networks.style_encoder import StyleEncoder
from translate.tasks import Task
from translate.trainers.adversarial import AdversarialGame, DiscriminatorInput, make_discriminator
from translate.trainers.adversarial_config import CLASSIC, PROJECTED, SMALL_DATA
from translate.trainers.base import Batch, Term, Trainer, Trial, Update
from translate.trainers.config import TrainConfig, check_range
from translate.trainers.generators import TranslatorConfig, describe, initialise, make_translator
from translate.trainers.perceptual import PerceptualLoss


@dataclass(frozen=True, kw_only=True)
class Pix2PixConfig(TranslatorConfig):
    """Settings of pix2pix."""

    l1_weight: float = 10.0
    """Weight of the L1 loss between output and target, on the range [-1, 1]."""
    warm_start: float = 0.05
    """Fraction of the budget at the start without the adversarial loss."""
    style_size: int = 0
    """Length of the style (latent) vector, 8 for example, which selects among many outputs for one source; 0: one
    output per source."""
    style_kind: Literal["learned", "colours"] = "learned"
    """What a style is. learned: a latent code (BicycleGAN), which takes long to train, with steps twice as slow;
    colours: brightness, hue, contrast and texture, with --style-size 5, learned within minutes."""
    style_kl_weight: float = 0.01
    """Weight of the KL loss, which keeps learned styles standard normal (0.01 in BicycleGAN)."""
    style_recovery_weight: float = 0.5
    """Weight of the latent regression loss, which keeps the generator from ignoring learned styles (0.5 in
    BicycleGAN)."""
    diversity_weight: float = 0.0
    """Weight of the diversity loss, which makes outputs of different learned styles differ; 8 in DSGAN (2019)."""
    unpaired_edge_weight: float = 2.0
    """Weight of the loss that keeps edges of results of --unpaired-sources near edges of the source."""
    learns_unpaired: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in (
            "l1_weight", "style_kl_weight", "style_recovery_weight", "diversity_weight", "unpaired_edge_weight",
        ):  # fmt: skip
            check_range(self, name, 0.0, 1e6)
        check_range(self, "warm_start", 0.0, 1.0)
        check_range(self, "style_size", 0, 512)
        needed = colour_style_size(self.data.formats[1].channels)
        if self.style_kind == "colours" and self.style_size != needed:
            raise ConfigError(f"--style-size is {self.style_size}; --style-kind colours needs {needed}")
        if self.diversity_weight and (not self.style_size or self.style_kind != "learned"):
            raise ConfigError("--diversity-weight compares outputs of learned styles; add --style-size 8, or omit it")
        if self.style_size and self.data.image_size < 32:  # the style encoder halves five times
            raise ConfigError(f"--image-size is {self.data.image_size}; --style-size needs at least 32")


class Results(NamedTuple):
    """The generated images of a step, and what they are compared with.

    The last U images are those of unpaired sources, if there are any.
    """

    fake_BCHW: Tensor
    """With learned styles 2B images: B with the styles encoded from the targets, then B with random styles."""
    target_BCHW: Tensor
    given_BCHW: Tensor
    style_terms: Mapping[str, Term]
    fake_given_BCHW: Tensor | None = None
    """What the generated images are conditioned on, if it is not `given_BCHW`."""


class Pix2Pix(Trainer):
    """A generator and a discriminator conditioned on the source.

    Args:
        config: the settings.
        task: its name goes into the spec.

    Raises:
        ConfigError: the image size does not suit the networks.
    """

    config_class = Pix2PixConfig
    presets: ClassVar[Mapping[str, TrainConfig]] = {
        # Spectral norm left a tenth of the classic recipe's adversarial gradient (docs/features.md).
        "modern": Pix2PixConfig.of(generator_upsampling="bilinear", discriminator_norm="instance-affine", **SMALL_DATA),
        "projected": Pix2PixConfig.of(
            generator_upsampling="bilinear",
            # Zero padding is mid-grey, which causes lines around white paper.
            generator_padding="replicate",
            batch_size=8,
            generator_lr=3e-4,
            discriminator_lr=4e-4,
            adam_beta1=0.0,
            **PROJECTED,
        ),
        "classic": Pix2PixConfig.of(**CLASSIC, generator="classic-unet", l1_weight=100.0, warm_start=0.0),
    }
    players: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "generator": ("generator", "encoder"),
        "discriminator": ("discriminator",),
    }

    def __init__(self, config: Pix2PixConfig, task: Task):
        super().__init__(task)
        self._config = config
        self.labels = len(config.data.label_names)
        channels = (config.data.formats[0].channels, config.data.formats[1].channels)
        self.generator = make_translator(config, channels, condition_size=self.labels + config.style_size)
        seen = sum(channels) + self.labels
        self.discriminator = make_discriminator(config, seen)
        momentum = weight_of_part(MOMENTUM, config.optimisation.accumulate)
        if config.style_kind == "colours":
            self.colours = ColourStyle(channels[1], momentum)
        elif self._learns_styles:
            self.encoder = StyleEncoder(channels[1], style_size=config.style_size, momentum=momentum)
        initialise(config.networks, self.generator, self.discriminator)
        self.game = AdversarialGame(config, seen, self.discriminator, self.generator)
        self.perception = PerceptualLoss() if config.game.perceptual_weight else None
        spec = self.make_spec(task, self.generator, describe(config), config.style_size)
        self.spec = replace(spec, style_kind=config.style_kind if config.style_size else "")

    @property
    def config(self) -> Pix2PixConfig:
        """The settings."""
        return self._config

    def step(self, batch: Batch, update: Update) -> None:
        """Update the discriminator, then the generator, with the same generated images."""
        if batch.share < self.config.warm_start:
            batch = batch._replace(unpaired=None)  # without the discriminator there is little to learn from them
            update("generator", self.closeness(batch, self.translate(batch)))
            return
        results = self.translate(batch)
        inputs = DiscriminatorInput(results.target_BCHW, results.fake_BCHW, results.given_BCHW, results.fake_given_BCHW)
        update(
            "discriminator",
            self.game.discriminator_terms(self.discriminator, self.game.discriminator_input(inputs), batch.step),
        )
        if self.game.updates_generator(batch.step, batch.share - self.config.warm_start):
            matched = len(batch.target_BCHW)
            game = self.game.generator_terms(self.discriminator, self.generator, inputs, matched=matched)
            update(
                "generator", {**game, **self.closeness(batch, results), **self._unpaired_terms(batch, results, game)}
            )

    def trials(self, batch: Batch) -> Sequence[Trial]:
        """Source and output, or source and target."""
        style_BS = None
        if self._learns_styles:
            style_BS = self.encoder(batch.target_BCHW)[0]
        elif self.config.style_kind == "colours":
            style_BS = self.colours(batch.target_BCHW)
        fake_BCHW = self._generate(batch.source_BCHW, self._condition(batch.label_B, style_BS))
        given_BCHW = self._given(batch.source_BCHW, batch.label_B)
        inputs = (torch.cat([given_BCHW, picture_BCHW], dim=1) for picture_BCHW in (batch.target_BCHW, fake_BCHW))
        return (Trial(partial(self.game.discriminate, self.discriminator), *inputs),)

    def translate(self, batch: Batch) -> Results:
        """Generate the images that both losses are computed on."""
        if not self._learns_styles:
            return self._results(batch, batch, self._colours(batch.target_BCHW))
        mean_BS, logvar_BS = self.encoder(batch.target_BCHW)
        self.encoder.update(mean_BS, logvar_BS)
        encoded_BS = mean_BS + torch.randn_like(mean_BS) * (0.5 * logvar_BS).exp()
        random_BS = torch.randn_like(encoded_BS)
        twice = batch._replace(
            source_BCHW=torch.cat([batch.source_BCHW] * 2),
            target_BCHW=torch.cat([batch.target_BCHW] * 2),
            label_B=torch.cat([batch.label_B] * 2),
        )
        results = self._results(batch, twice, torch.cat([encoded_BS, random_BS]))
        fake_BCHW = results.fake_BCHW if batch.unpaired is None else results.fake_BCHW[: len(twice.label_B)]
        terms = {
            "kl": Term(self.config.style_kl_weight, kl_to_standard_normal(mean_BS, logvar_BS)),
            "style": Term(self.config.style_recovery_weight, self._recovery(fake_BCHW[len(random_BS) :], random_BS)),
        }
        if self.config.diversity_weight:
            first_BCHW, second_BCHW = fake_BCHW.float().chunk(2)
            # The first half has encoded styles. Detached, so that the encoder cannot lower the loss by spreading them.
            value = diversity(first_BCHW.detach(), second_BCHW, encoded_BS, random_BS)
            terms["diversity"] = Term(self.config.diversity_weight, value)
        return results._replace(style_terms=terms)

    def _results(self, batch: Batch, asked: Batch, style_BS: Tensor | None) -> Results:
        """Translate the sources of `asked`, and the unpaired ones of `batch` with styles of its targets."""
        given_BCHW = self._given(asked.source_BCHW, asked.label_B)
        if batch.unpaired is None:
            fake_BCHW = self._generate(asked.source_BCHW, self._condition(asked.label_B, style_BS))
            return Results(fake_BCHW, asked.target_BCHW, given_BCHW, {})
        source_UCHW, label_U = batch.unpaired
        row_U = rows_like(label_U, batch.label_B)
        if style_BS is not None:
            # Of one image each. Detached, because only its own result may tell the encoder about an image.
            style_BS = torch.cat([style_BS, style_BS[row_U].detach()])
        fake_BCHW = self._generate(
            torch.cat([asked.source_BCHW, source_UCHW]),
            self._condition(torch.cat([asked.label_B, label_U]), style_BS),
        )
        # Without the source: otherwise the discriminator would recognise these results by the kind of their lines,
        # which no real image comes with. Instead they compete with real images that are shown without a source, too.
        none_UCHW = torch.zeros_like(source_UCHW)
        return Results(
            fake_BCHW,
            torch.cat([asked.target_BCHW, batch.target_BCHW[row_U]]),
            torch.cat([given_BCHW, self._given(none_UCHW, batch.label_B[row_U])]),
            {},
            torch.cat([given_BCHW, self._given(none_UCHW, label_U)]),
        )

    def _unpaired_terms(self, batch: Batch, results: Results, game: Mapping[str, Term]) -> dict[str, Term]:
        """What unpaired sources add to or change in the terms of the generator."""
        if batch.unpaired is None:
            return {}
        source_UCHW, count = batch.unpaired.source_UCHW, len(results.fake_BCHW)
        paired = count - len(source_UCHW)
        with full_precision(source_UCHW.device):
            edges = unmatched_edges(source_UCHW, results.fake_BCHW[paired:].float())
        # Every result counts as much as it does without unpaired ones.
        weight, value = game["adversarial"]
        return {
            "adversarial": Term(weight * count / paired, value),
            "unpaired_edges": Term(self.config.unpaired_edge_weight * len(source_UCHW) / paired, edges),
        }

    def closeness(self, batch: Batch, results: Results) -> dict[str, Term]:
        """Reconstruction losses of the outputs with the target's own style, and the style losses."""
        fake_BCHW = results.fake_BCHW[: len(batch.target_BCHW)]
        terms = {"l1": Term(self.config.l1_weight, F.l1_loss(fake_BCHW, batch.target_BCHW)), **results.style_terms}
        if self.perception is not None:
            terms["perceptual"] = Term(
                self.config.game.perceptual_weight, self.perception(fake_BCHW, batch.target_BCHW)
            )
        return terms

    def _colours(self, target_BCHW: Tensor) -> Tensor | None:
        """The style of the target, if styles are colours."""
        if self.config.style_kind != "colours":
            return None
        style_BS = self.colours(target_BCHW)
        self.colours.update(style_BS)
        return style_BS

    @property
    def _learns_styles(self) -> bool:
        """Whether an encoder learns what a style is."""
        return self._config.style_size > 0 and self._config.style_kind == "learned"

    def _recovery(self, fake_BCHW: Tensor, style_BS: Tensor) -> Tensor:
        # The encoder's weights are frozen here: trained on this loss, it would help the generator to hide the style
        # in the image instead of reading what is visible (BicycleGAN, section 3.3).
        fixed = {name: value.detach() for name, value in self.encoder.named_parameters()}
        mean_BS, _ = torch.func.functional_call(self.encoder, fixed, (fake_BCHW,))
        return F.l1_loss(mean_BS, style_BS)

    def _condition(self, label_B: Tensor, style_BS: Tensor | None) -> Tensor | None:
        return condition_vector(self.labels, self.config.style_size, label_B, style_BS, label_B.device)

    def _generate(self, source_BCHW: Tensor, condition_BD: Tensor | None) -> Tensor:
        return self.generator(source_BCHW) if condition_BD is None else self.generator(source_BCHW, condition_BD)

    def _given(self, source_BCHW: Tensor, label_B: Tensor) -> Tensor:
        if not self.labels:
            return source_BCHW
        return torch.cat([source_BCHW, label_planes(label_B, self.labels, source_BCHW)], dim=1)


def rows_like(label_U: Tensor, label_B: Tensor) -> Tensor:
    """For each label the row of a random image with that label, or of any if there is none, (U,) int64."""
    chance_UB = torch.rand(len(label_U), len(label_B)).to(label_B.device, non_blocking=True)
    return (chance_UB + (label_U[:, None] == label_B)).argmax(dim=1)
