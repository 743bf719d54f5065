"""Adversarial training, shared by all trainers: the discriminator, the GAN loss and the loss terms of both networks.

Shape suffixes: B batch, C channels, H height, W width.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from translate.errors import ConfigError
from translate.losses.adversarial import GAMES, mean_over_scales
from translate.losses.feature_matching import feature_matching
from translate.losses.gradient_penalty import interpolate, one_centred_penalty, zero_centred_penalty
from translate.losses.lecam import lecam
from translate.networks.diff_augment import draw, jigsaw
from translate.networks.image_pool import ImagePool
from translate.networks.patchgan import DiscriminatorOutput, PatchGAN
from translate.networks.pretrained import efficientnet_lite1
from translate.networks.projected import ProjectedDiscriminator
from translate.trainers.adversarial_config import AdversarialConfig
from translate.trainers.adversarial_state import (
    AugmentationController,
    HistoricalAverage,
    ReferenceBatch,
    ScoreEMA,
    ema_weight,
)
from translate.trainers.base import Term

Discriminator = Callable[[Tensor], DiscriminatorOutput]
"""A discriminator, possibly unrolled."""


def make_discriminator(config: AdversarialConfig, channels: int) -> PatchGAN | ProjectedDiscriminator:
    """Build the discriminator described by the settings.

    Args:
        config: the settings.
        channels: of its input, including those it is conditioned on.

    Raises:
        ConfigError: the images are too small for it.
        MissingExtra: the package with its pretrained weights is not installed.
        ModelError: the pretrained weights are damaged.
    """
    patch = None if config.networks.discriminator == "projected" else _patch_gan(config, channels)
    if not config.networks.projected:
        assert patch is not None
        return patch
    discriminator = ProjectedDiscriminator(efficientnet_lite1(), channels - 3, patch)
    if config.data.image_size < discriminator.smallest_size:
        raise ConfigError(
            f"--image-size is {config.data.image_size}; --discriminator {config.networks.discriminator} needs at least "
            f"{discriminator.smallest_size}"
        )
    return discriminator


def _patch_gan(config: AdversarialConfig, channels: int) -> PatchGAN:
    networks = config.networks
    discriminator = PatchGAN(
        channels,
        networks.discriminator_width,
        networks.discriminator_layers,
        networks.discriminator_scales,
        networks.discriminator_norm,
        config.references,
        networks.discriminator_batch_features,
    )
    if config.data.image_size < discriminator.smallest_size:
        raise ConfigError(
            f"--image-size is {config.data.image_size}; a discriminator with {networks.discriminator_layers} layers "
            f"and {networks.discriminator_scales} scales needs at least {discriminator.smallest_size}; increase it, or "
            "lower --discriminator-layers or --discriminator-scales"
        )
    return discriminator


class DiscriminatorInput(NamedTuple):
    """Real and generated images, and what the discriminator is conditioned on."""

    real_BCHW: Tensor
    fake_BCHW: Tensor
    given_BCHW: Tensor | None = None
    """Source image and label planes; None for an unconditional discriminator."""
    fake_given_BCHW: Tensor | None = None
    """The same for the generated images, if it differs: unpaired sources, and images from earlier steps."""


class AdversarialGame(nn.Module):
    """The loss terms of a discriminator and its generator, with the state they need.

    The networks are passed to every call; the constructor only reads their sizes.

    Args:
        config: the settings.
        channels: of the discriminator input.
        discriminator, generator: the two networks.
    """

    def __init__(self, config: AdversarialConfig, channels: int, discriminator: nn.Module, generator: nn.Module):
        super().__init__()
        self._config, settings = config, config.game
        self._game = GAMES[settings.adversarial]
        self._loss = self._game.discriminator
        if self._game.labelled:
            self._loss = partial(self._game.discriminator, real_label=settings.real_label)
        # Only what the settings need, so that snapshots contain nothing unused.
        self.pool = ImagePool(settings.pool_size, channels, config.data.image_size) if settings.pool_size else None
        weight = ema_weight(config.optimisation.accumulate)
        self.usual = ScoreEMA(weight) if settings.lecam_weight else None
        self.controller: AugmentationController | None = None
        if settings.adaptive_augmentation:
            target, boundary = settings.adaptive_augmentation, self._game.boundary
            self.controller = AugmentationController(target, boundary, config.optimisation.at_once, weight)
        self.past_discriminator = HistoricalAverage(discriminator) if settings.historical_weight else None
        self.past_generator = HistoricalAverage(generator) if settings.historical_weight else None
        self.result_gradient: Tensor | None = None
        """Norm of the adversarial gradient at all images generated since it was last set to None."""
        self.reference: ReferenceBatch | None = None
        if config.references:
            self.reference = ReferenceBatch(config.references, channels, config.data.image_size)

    def updates_generator(self, step: int, share: float) -> bool:
        """Whether this step also updates the generator; `share`: of the budget since adversarial training began."""
        settings = self._config.game
        return share >= settings.discriminator_warmup and (step + 1) % settings.discriminator_steps == 0

    def discriminator_input(self, inputs: DiscriminatorInput) -> DiscriminatorInput:
        """The input for a discriminator step: generated images detached, some of them from the image pool."""
        fake_BCHW = inputs.fake_BCHW.detach()
        if self.pool is None:
            return inputs._replace(fake_BCHW=fake_BCHW)
        if inputs.given_BCHW is None:
            return inputs._replace(fake_BCHW=self.pool(fake_BCHW))
        given_BCHW = inputs.given_BCHW if inputs.fake_given_BCHW is None else inputs.fake_given_BCHW
        channels = [given_BCHW.shape[1], fake_BCHW.shape[1]]
        given_BCHW, fake_BCHW = self.pool(torch.cat([given_BCHW, fake_BCHW], dim=1)).split(channels, dim=1)
        return inputs._replace(fake_BCHW=fake_BCHW, fake_given_BCHW=given_BCHW)

    def augment(self, inputs: DiscriminatorInput) -> tuple[Tensor, Tensor]:
        """Real and generated images, concatenated with what they are conditioned on and augmented alike."""
        real_BCHW, fake_BCHW, given_BCHW, fake_given_BCHW = inputs
        count, _, height, width = real_BCHW.shape
        probability = None if self.controller is None else self.controller.probability
        kinds = self._config.game.discriminator_augmentation
        augmentation = draw(kinds, count, height, width, real_BCHW.device, probability)
        if given_BCHW is None:
            return augmentation(real_BCHW), augmentation(fake_BCHW)
        fake_given_BCHW = given_BCHW if fake_given_BCHW is None else fake_given_BCHW
        real = augmentation(real_BCHW, given_BCHW.to(real_BCHW.dtype))
        fake = augmentation(fake_BCHW.to(real_BCHW.dtype), fake_given_BCHW.to(real_BCHW.dtype))
        return torch.cat(real, dim=1), torch.cat(fake, dim=1)

    def discriminator_terms(self, discriminator: nn.Module, inputs: DiscriminatorInput, step: int) -> dict[str, Term]:
        """The discriminator loss. `inputs` comes from `discriminator_input`."""
        settings = self._config.game
        real_BCHW, fake_BCHW = self.augment(inputs)
        if self.reference is not None:
            self.reference.keep(real_BCHW)
        batches = [real_BCHW, fake_BCHW]
        if settings.negative_weight:
            given = real_BCHW.shape[1] - inputs.real_BCHW.shape[1]
            batches.append(torch.cat([real_BCHW[:, :given], jigsaw(real_BCHW[:, given:])], dim=1))
        real_scores, fake_scores, *others = self._scores(discriminator, *batches)
        terms = {"game": Term(settings.discriminator_weight, mean_over_scales(self._loss, real_scores, fake_scores))}
        for negative_scores in others:
            negative = mean_over_scales(self._loss, real_scores, negative_scores)
            terms["negative"] = Term(settings.negative_weight, negative)
        if self.usual is not None:
            near = partial(lecam, real_ema=self.usual.real, fake_ema=self.usual.fake)
            terms["lecam"] = Term(settings.lecam_weight, mean_over_scales(near, real_scores, fake_scores))
            self.usual.update(real_scores, fake_scores)
        if self.controller is not None:
            self.controller.update(real_scores, fake_scores)
            terms["augmentation"] = Term(0.0, self.controller.probability)  # for the log only
        if self.past_discriminator is not None:
            terms["history"] = Term(settings.historical_weight, self.past_discriminator(discriminator))
        return terms | self._penalties(discriminator, real_BCHW, fake_BCHW, step)

    def generator_terms(
        self, discriminator: nn.Module, generator: nn.Module, inputs: DiscriminatorInput, *, matched: int = 0
    ) -> dict[str, Term]:
        """The adversarial loss of the generator.

        Args:
            discriminator, generator: the two networks.
            inputs: gradients flow through `fake_BCHW`.
            matched: number of images, from the start of the batch, that also get a feature matching loss; 0 for
                unpaired data.
        """
        settings = self._config.game
        # A separate node in the graph, so that the hook sees only the adversarial gradient.
        fake_BCHW = inputs.fake_BCHW.view_as(inputs.fake_BCHW)
        if fake_BCHW.requires_grad:
            fake_BCHW.register_hook(self._keep_gradient)
        real_BCHW, fake_BCHW = self.augment(inputs._replace(fake_BCHW=fake_BCHW))
        if settings.unrolled_steps:
            # In float32: second-order gradients of a 16-bit pass are mostly rounding error.
            with torch.autocast(real_BCHW.device.type, enabled=False):
                real_BCHW, fake_BCHW = real_BCHW.float(), fake_BCHW.float()
                terms = self._generator_terms(
                    self._unrolled(discriminator, real_BCHW, fake_BCHW), real_BCHW, fake_BCHW, matched
                )
        else:
            terms = self._generator_terms(discriminator, real_BCHW, fake_BCHW, matched)
        if self.past_generator is not None:
            terms["history"] = Term(settings.historical_weight, self.past_generator(generator))
        return terms

    def _keep_gradient(self, gradient_BCHW: Tensor) -> None:
        norm = gradient_BCHW.detach().float().norm()
        self.result_gradient = norm if self.result_gradient is None else torch.hypot(self.result_gradient, norm)

    def _generator_terms(
        self, discriminator: Discriminator, real_BCHW: Tensor, fake_BCHW: Tensor, matched: int
    ) -> dict[str, Term]:
        settings = self._config.game
        if self._config.networks.discriminator == "projected" or not settings.feature_weight:
            matched = 0  # a projected one has no trained features
        fake = self.discriminate(discriminator, fake_BCHW)
        real = fake  # a placeholder, unless the loss needs real scores
        if self._game.needs_real or matched:
            # The scores an unrolled discriminator gives real images depend on the fakes it was trained on.
            with torch.set_grad_enabled(settings.unrolled_steps > 0):
                real = self.discriminate(discriminator, real_BCHW)
        loss = mean_over_scales(self._game.generator, real.scores, fake.scores)
        terms = {"adversarial": Term(settings.adversarial_weight, loss)}
        if matched:
            value = feature_matching([x[:matched] for x in fake.features], [x[:matched] for x in real.features])
            terms["features"] = Term(settings.feature_weight, value)
        return terms

    def discriminate(self, discriminator: Discriminator, pictures_BCHW: Tensor) -> DiscriminatorOutput:
        """The discriminator's output for images, with the reference batch prepended if its norm needs one."""
        if self.reference is None:
            return discriminator(pictures_BCHW)
        return discriminator(torch.cat([self.reference.pictures_RCHW, pictures_BCHW]))

    def _scores(self, discriminator: Discriminator, *batches_BCHW: Tensor) -> list[list[Tensor]]:
        """The scores of batches of equal size: for each of them, one map per scale."""
        if self._config.networks.discriminator_batch_features:  # statistics that must not mix real and generated images
            return [self.discriminate(discriminator, batch_BCHW).scores for batch_BCHW in batches_BCHW]
        # One pass over all: larger matrices, and one power iteration of spectral norm per step.
        scores = self.discriminate(discriminator, torch.cat(batches_BCHW)).scores
        return [list(parts) for parts in zip(*(score.chunk(len(batches_BCHW)) for score in scores), strict=True)]

    def _penalties(self, discriminator: nn.Module, real_BCHW: Tensor, fake_BCHW: Tensor, step: int) -> dict[str, Term]:
        settings = self._config.game
        terms: dict[str, Term] = {}
        # The extrapolation of extra-gradient and the update that follows it count as one step.
        turn = step // 2 if self._config.optimisation.optimiser == "extra-gradient" else step
        if turn % settings.penalty_interval == 0:
            for name, weight, seen_BCHW in (
                ("r1", settings.r1_weight, real_BCHW),
                ("r2", settings.r2_weight, fake_BCHW),
            ):
                if weight:
                    value = self._penalty(zero_centred_penalty, discriminator, seen_BCHW)
                    terms[name] = Term(weight / 2 * settings.penalty_interval, value)
        if settings.adversarial == "wgan-gp" and settings.gradient_penalty_weight:
            share_B = torch.rand(len(real_BCHW)).to(real_BCHW.device, non_blocking=True)
            value = self._penalty(one_centred_penalty, discriminator, interpolate(real_BCHW, fake_BCHW, share_B))
            terms["slope"] = Term(settings.gradient_penalty_weight, value)
        return terms

    def _penalty(self, penalty: Callable[..., Tensor], discriminator: nn.Module, seen_BCHW: Tensor) -> Tensor:
        """In float32: squared gradients of a 16-bit pass are mostly rounding error."""
        with torch.autocast(seen_BCHW.device.type, enabled=False):
            seen_BCHW = seen_BCHW.detach().float().requires_grad_()
            # `forward`, because a compiled call cannot be differentiated twice.
            return penalty(self.discriminate(discriminator.forward, seen_BCHW).scores, seen_BCHW)

    def _unrolled(self, discriminator: nn.Module, real_BCHW: Tensor, fake_BCHW: Tensor) -> Discriminator:
        """The discriminator after a few SGD steps, as a differentiable function of the fakes.

        Metz et al., "Unrolled Generative Adversarial Networks", 2017, eq. 8 to 10. The discriminator itself does not
        change, nor do its buffers (the power iterations of spectral norm).
        """
        uncompiled = _Uncompiled(discriminator)
        weights = dict(uncompiled.named_parameters())
        buffers = {name: buffer.clone() for name, buffer in uncompiled.named_buffers()}

        def unrolled(x_BCHW: Tensor) -> DiscriminatorOutput:
            return torch.func.functional_call(uncompiled, {**weights, **buffers}, (x_BCHW,))

        for _ in range(self._config.game.unrolled_steps):
            loss = mean_over_scales(self._loss, *self._scores(unrolled, real_BCHW, fake_BCHW))
            gradients = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
            weights = {
                name: weight - self._config.game.unrolled_lr * gradient
                for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
            }
        return unrolled


class _Uncompiled(nn.Module):
    """Bypasses --compile, because a compiled call cannot be differentiated twice."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x_BCHW: Tensor) -> DiscriminatorOutput:
        return self.network.forward(x_BCHW)
