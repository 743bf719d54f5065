"""The adversarial part that all trainers share: which discriminator, which game, and what each side is paid for.

Shape suffixes: B batch, C channels, H height, W width.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from translate.data.differentiable import draw
from translate.data.jigsaw import jigsaw
from translate.errors import ConfigError
from translate.losses.adversarial import GAMES, game_over_scales
from translate.losses.feature_matching import feature_matching
from translate.losses.gradient_penalty import between, one_centred_penalty, zero_centred_penalty
from translate.losses.lecam import lecam
from translate.networks.image_pool import ImagePool
from translate.networks.patchgan import PatchGAN, Verdict
from translate.networks.pretrained import efficientnet_lite1
from translate.networks.projected import ProjectedDiscriminator
from translate.trainers.adversarial_config import AdversarialConfig
from translate.trainers.base import Term
from translate.trainers.game_state import AugmentationController, Past, ReferenceBatch, UsualScores, memory_of

Judge = Callable[[Tensor], Verdict]
"""A discriminator, or what it would be some steps ahead."""


def make_discriminator(config: AdversarialConfig, channels: int) -> PatchGAN | ProjectedDiscriminator:
    """The discriminator the settings describe, for pictures of `channels` channels with all they are given beside.

    Raises:
        ConfigError: the pictures are too small for it.
        MissingExtra: it looks through a network whose package is not installed.
        ModelError: that network's weights are damaged.
    """
    patch = None if config.discriminator == "projected" else _patch_gan(config, channels)
    if not config.projected:
        assert patch is not None
        return patch
    discriminator = ProjectedDiscriminator(efficientnet_lite1(), channels - 3, patch)
    if config.image_size < discriminator.smallest_size:
        raise ConfigError(
            f"--image-size is {config.image_size}; --discriminator {config.discriminator} needs at least "
            f"{discriminator.smallest_size}"
        )
    return discriminator


def _patch_gan(config: AdversarialConfig, channels: int) -> PatchGAN:
    discriminator = PatchGAN(
        channels,
        config.discriminator_width,
        config.discriminator_layers,
        config.discriminator_scales,
        config.discriminator_norm,
        config.references,
        config.discriminator_batch_features,
    )
    if config.image_size < discriminator.smallest_size:
        raise ConfigError(
            f"--image-size is {config.image_size}; a discriminator of {config.discriminator_layers} layers at "
            f"{config.discriminator_scales} scales needs at least {discriminator.smallest_size}, "
            "or lower --discriminator-layers or --discriminator-scales"
        )
    return discriminator


class Shown(NamedTuple):
    """What a discriminator is shown: real and made pictures, and what both were made from."""

    real_BCHW: Tensor
    fake_BCHW: Tensor
    given_BCHW: Tensor | None = None
    """Source and label planes; None when it judges pictures by themselves."""
    fake_given_BCHW: Tensor | None = None
    """What the made pictures were made from, where some are from earlier steps."""


class AdversarialGame(nn.Module):
    """What both sides of one discriminator are paid for, and what has to be remembered for that.

    The networks are handed over with every call; here they are only measured.

    Args:
        config: the settings.
        channels: of what the discriminator sees.
        discriminator, generator: who plays.
    """

    def __init__(self, config: AdversarialConfig, channels: int, discriminator: nn.Module, generator: nn.Module):
        super().__init__()
        self._config = config
        self._game = GAMES[config.adversarial]
        self._loss = self._game.discriminator
        if self._game.labelled:
            self._loss = partial(self._game.discriminator, real_label=config.real_label)
        # Only what the settings ask for, so that snapshots hold nothing that nobody uses.
        self.pool = ImagePool(config.pool_size, channels, config.image_size) if config.pool_size else None
        memory = memory_of(config.accumulate)
        self.usual = UsualScores(memory) if config.lecam_weight else None
        self.controller: AugmentationController | None = None
        if config.adaptive_augmentation:
            target, boundary = config.adaptive_augmentation, self._game.boundary
            self.controller = AugmentationController(target, boundary, config.at_once, memory)
        self.past_discriminator = Past(discriminator) if config.historical_weight else None
        self.past_generator = Past(generator) if config.historical_weight else None
        self.told: Tensor | None = None
        """Norm of the gradient that came back to the made pictures through the game, in the generator's last step."""
        self.reference: ReferenceBatch | None = None
        if config.references:
            self.reference = ReferenceBatch(config.references, channels, config.image_size)

    def generator_moves(self, step: int, share: float) -> bool:
        """Whether the generator is improved in this step, too; `share`: of the budget, since the game began."""
        return share >= self._config.discriminator_warmup and (step + 1) % self._config.discriminator_steps == 0

    def judged(self, shown: Shown) -> Shown:
        """What the discriminator learns from: made pictures without gradient, some of them from earlier steps."""
        fake_BCHW = shown.fake_BCHW.detach()
        if self.pool is None:
            return shown._replace(fake_BCHW=fake_BCHW)
        if shown.given_BCHW is None:
            return shown._replace(fake_BCHW=self.pool(fake_BCHW))
        channels = [shown.given_BCHW.shape[1], fake_BCHW.shape[1]]
        given_BCHW, fake_BCHW = self.pool(torch.cat([shown.given_BCHW, fake_BCHW], dim=1)).split(channels, dim=1)
        return shown._replace(fake_BCHW=fake_BCHW, fake_given_BCHW=given_BCHW)

    def joined(self, shown: Shown) -> tuple[Tensor, Tensor]:
        """Real and fake with what is given, all augmented alike, ready to be judged."""
        real_BCHW, fake_BCHW, given_BCHW, fake_given_BCHW = shown
        count, _, height, width = real_BCHW.shape
        probability = None if self.controller is None else self.controller.probability
        kinds = self._config.discriminator_augmentation
        augmentation = draw(kinds, count, height, width, real_BCHW.device, probability)
        if given_BCHW is None:
            return augmentation(real_BCHW), augmentation(fake_BCHW)
        fake_given_BCHW = given_BCHW if fake_given_BCHW is None else fake_given_BCHW
        real = augmentation(real_BCHW, given_BCHW.to(real_BCHW.dtype))
        fake = augmentation(fake_BCHW.to(real_BCHW.dtype), fake_given_BCHW.to(real_BCHW.dtype))
        return torch.cat(real, dim=1), torch.cat(fake, dim=1)

    def judge_terms(self, discriminator: nn.Module, shown: Shown, step: int) -> dict[str, Term]:
        """What the discriminator is paid for: telling real from fake. `shown` comes from `judged`."""
        config = self._config
        real_BCHW, fake_BCHW = self.joined(shown)
        if self.reference is not None:
            self.reference.keep(real_BCHW)
        batches = [real_BCHW, fake_BCHW]
        if config.negative_weight:
            given = real_BCHW.shape[1] - shown.real_BCHW.shape[1]
            batches.append(torch.cat([real_BCHW[:, :given], jigsaw(real_BCHW[:, given:])], dim=1))
        real_scores, fake_scores, *others = self._scores(discriminator, *batches)
        terms = {"game": Term(config.discriminator_weight, game_over_scales(self._loss, real_scores, fake_scores))}
        for negative_scores in others:
            negative = game_over_scales(self._loss, real_scores, negative_scores)
            terms["negative"] = Term(config.negative_weight, negative)
        if self.usual is not None:
            near = partial(lecam, usual_real=self.usual.real, usual_fake=self.usual.fake)
            terms["lecam"] = Term(config.lecam_weight, game_over_scales(near, real_scores, fake_scores))
            self.usual.follow(real_scores, fake_scores)
        if self.controller is not None:
            self.controller.follow(real_scores, fake_scores)
            terms["augmentation"] = Term(0.0, self.controller.probability)  # to be seen in the log
        if self.past_discriminator is not None:
            terms["history"] = Term(config.historical_weight, self.past_discriminator(discriminator))
        return terms | self._penalties(discriminator, real_BCHW, fake_BCHW, step)

    def player_terms(
        self, discriminator: nn.Module, generator: nn.Module, shown: Shown, *, matched: int = 0
    ) -> dict[str, Term]:
        """What the generator is paid for: being taken for real.

        Args:
            discriminator, generator: who plays.
            shown: gradients flow through `fake_BCHW`.
            matched: the first so many pictures of the batch are also to look like their real ones to the
                discriminator (feature matching); 0 where nothing is paired.
        """
        config = self._config
        # A step of its own in the graph: what comes back through it is the game's, and not of other losses.
        fake_BCHW = shown.fake_BCHW.view_as(shown.fake_BCHW)
        if fake_BCHW.requires_grad:
            fake_BCHW.register_hook(self._listen)
        real_BCHW, fake_BCHW = self.joined(shown._replace(fake_BCHW=fake_BCHW))
        if config.unrolled_steps:
            # In float32: a gradient of gradients of a 16-bit pass is mostly rounding.
            with torch.autocast(real_BCHW.device.type, enabled=False):
                real_BCHW, fake_BCHW = real_BCHW.float(), fake_BCHW.float()
                terms = self._payment(self._ahead(discriminator, real_BCHW, fake_BCHW), real_BCHW, fake_BCHW, matched)
        else:
            terms = self._payment(discriminator, real_BCHW, fake_BCHW, matched)
        if self.past_generator is not None:
            terms["history"] = Term(config.historical_weight, self.past_generator(generator))
        return terms

    def _listen(self, gradient_BCHW: Tensor) -> None:
        self.told = gradient_BCHW.detach().float().norm()

    def _payment(self, judge: Judge, real_BCHW: Tensor, fake_BCHW: Tensor, matched: int) -> dict[str, Term]:
        config = self._config
        if not config.feature_weight or config.discriminator == "projected":  # which has no features of its own
            matched = 0
        fake = self.verdict(judge, fake_BCHW)
        real = fake  # not looked at, unless:
        if self._game.needs_real or matched:
            # What an unrolled discriminator says of real pictures depends on the fakes that it has learnt from.
            with torch.set_grad_enabled(config.unrolled_steps > 0):
                real = self.verdict(judge, real_BCHW)
        paid = game_over_scales(self._game.generator, real.scores, fake.scores)
        terms = {"adversarial": Term(config.adversarial_weight, paid)}
        if matched:
            value = feature_matching([x[:matched] for x in fake.features], [x[:matched] for x in real.features])
            terms["features"] = Term(config.feature_weight, value)
        return terms

    def verdict(self, judge: Judge, pictures_BCHW: Tensor) -> Verdict:
        """What a discriminator says of pictures, beside the reference batch if it compares with one."""
        if self.reference is None:
            return judge(pictures_BCHW)
        return judge(torch.cat([self.reference.pictures_RCHW, pictures_BCHW]))

    def _scores(self, judge: Judge, *batches_BCHW: Tensor) -> list[list[Tensor]]:
        """The scores of batches of equal size: for each of them, one map a scale."""
        if self._config.discriminator_batch_features:  # which must not see real and made pictures together
            return [self.verdict(judge, batch_BCHW).scores for batch_BCHW in batches_BCHW]
        # One pass over all: larger matrices, and spectral norm takes one power iteration a step.
        scores = self.verdict(judge, torch.cat(batches_BCHW)).scores
        return [list(parts) for parts in zip(*(score.chunk(len(batches_BCHW)) for score in scores), strict=True)]

    def _penalties(self, discriminator: nn.Module, real_BCHW: Tensor, fake_BCHW: Tensor, step: int) -> dict[str, Term]:
        config = self._config
        terms: dict[str, Term] = {}
        # A look of extra-gradient and the move that follows it belong together, and only the move stays.
        turn = step // 2 if config.optimiser == "extra-gradient" else step
        if turn % config.penalty_interval == 0:
            for name, weight, judged_BCHW in (("r1", config.r1_weight, real_BCHW), ("r2", config.r2_weight, fake_BCHW)):
                if weight:
                    value = self._penalty(zero_centred_penalty, discriminator, judged_BCHW)
                    terms[name] = Term(weight / 2 * config.penalty_interval, value)
        if config.adversarial == "wgan-gp" and config.gradient_penalty_weight:
            share_B = torch.rand(len(real_BCHW)).to(real_BCHW.device, non_blocking=True)
            value = self._penalty(one_centred_penalty, discriminator, between(real_BCHW, fake_BCHW, share_B))
            terms["slope"] = Term(config.gradient_penalty_weight, value)
        return terms

    def _penalty(self, penalty: Callable[..., Tensor], discriminator: nn.Module, judged_BCHW: Tensor) -> Tensor:
        """In float32: squared gradients of a 16-bit pass are mostly rounding."""
        with torch.autocast(judged_BCHW.device.type, enabled=False):
            judged_BCHW = judged_BCHW.detach().float().requires_grad_()
            # `forward`: what --compile makes of the call cannot be differentiated twice.
            return penalty(self.verdict(discriminator.forward, judged_BCHW).scores, judged_BCHW)

    def _ahead(self, discriminator: nn.Module, real_BCHW: Tensor, fake_BCHW: Tensor) -> Judge:
        """What the discriminator would be after some plain gradient steps, as a function of the fakes.

        Metz et al., "Unrolled Generative Adversarial Networks", 2017, eq. 8 to 10: the generator is paid by its answer
        to what it makes. The discriminator itself stays as it is, the power iterations of a spectral norm included.
        """
        uncompiled = _Uncompiled(discriminator)
        weights = dict(uncompiled.named_parameters())
        buffers = {name: buffer.clone() for name, buffer in uncompiled.named_buffers()}

        def judge(x_BCHW: Tensor) -> Verdict:
            return torch.func.functional_call(uncompiled, {**weights, **buffers}, (x_BCHW,))

        for _ in range(self._config.unrolled_steps):
            loss = game_over_scales(self._loss, *self._scores(judge, real_BCHW, fake_BCHW))
            gradients = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
            weights = {
                name: weight - self._config.unrolled_lr * gradient
                for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
            }
        return judge


class _Uncompiled(nn.Module):
    """What --compile makes of a call cannot be differentiated twice."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x_BCHW: Tensor) -> Verdict:
        return self.network.forward(x_BCHW)
