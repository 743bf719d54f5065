"""Held-out pictures, measured while training: is it getting better, which snapshot was the best, when to stop.

Shape suffixes: B batch, H height, W width, C channels.
"""

import math
from time import monotonic
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from translate.errors import ConfigError, SnapshotError
from translate.metrics import pretrained
from translate.metrics.edge_agreement import edge_agreement
from translate.metrics.fidelity import psnr, psnr_luma, ssim
from translate.metrics.gradient_correlation import gradient_correlation
from translate.metrics.learned import Name, missing, score
from translate.metrics.names import HIGHER_IS_BETTER, PAIRED
from translate.metrics.wasserstein import mean_distance, sliced_wasserstein
from translate.networks.pixels import signal_to_pixels
from translate.spec import ModelSpec
from translate.trainers.adversarial_config import AdversarialConfig
from translate.trainers.base import Trainer, pixel_translator
from translate.trainers.config import TrainConfig
from translate.trainers.material import Material
from translate.trainers.run import Run
from translate.trainers.watch import Watch

if TYPE_CHECKING:
    from translate.trainers.journal import Journal

MOST_OF_TIME = 0.1
"""Share of a session's time that measuring may take."""

LEARNED: tuple[Name, ...] = ("lpips", "fid", "kid")
"""Metrics that need weights of other people's networks, put on the machine by hand."""

FEW = 16
"""Held-out pictures below which a distance of sets says too little to decide about the best snapshot."""

OF_SOURCE = ("structure", "edge_agreement")
"""Metrics that compare a result with its source."""

COLOUR = ("psnr_luma", *OF_SOURCE, *LEARNED, *pretrained.NETWORKS)
"""Metrics of pictures in colour."""


def deciding(config: TrainConfig, held_out: int) -> tuple[str, ...]:
    """The metrics that must all be better than before for a new best snapshot; see `TrainConfig.best_by`.

    Args:
        config: the settings.
        held_out: pictures that can be measured.
    """
    # A network that takes part in training must not be the only one that decides.
    projected = isinstance(config, AdversarialConfig) and config.projected
    names: tuple[pretrained.Name, ...] = ("kid_lite1", "kid_squeezenet") if projected else ("kid_lite1",)
    if config.best_by == "kid_lite1":
        return names
    if config.best_by != "auto":
        return (config.best_by,)
    usable = held_out >= FEW and config.formats[1].channels == 3 and not any(map(pretrained.missing, names))
    return names if usable else ("swd",)


def measured_names(trainer: Trainer, held_out: int) -> list[str]:
    """The metrics of the settings that fit the trainer, and those that decide.

    Raises:
        ConfigError: one cannot be computed here, or the one that decides is left out.
    """
    config = trainer.config
    names = [name for name in config.metrics if trainer.paired or name not in PAIRED]
    names += [name for name in deciding(config, held_out) if name not in names and name != config.best_by]
    colour = config.formats[1].channels == 3
    for name in names:
        if name in COLOUR and not colour:
            raise ConfigError(
                f"--metrics names {name}, which needs 3 channels; use --metrics psnr ssim swd --best-by swd"
            )
        if name in OF_SOURCE and (config.formats[0].channels != 3 or trainer.spec.scale != 1):
            raise ConfigError(
                f"--metrics names {name}, which compares results with sources, and here these differ in size or "
                "channels; leave it out"
            )
        reason = missing(name) if name in LEARNED else None
        reason = pretrained.missing(name) if name in pretrained.NETWORKS else reason
        if reason:
            raise ConfigError(f"--metrics names {name}: {reason}")
    if config.best_by not in ("auto", *names):
        raise ConfigError(f"--best-by is {config.best_by}, which needs pairs; choose swd")
    return names


def check_held_out(trainer: Trainer, held_out: int) -> None:
    """Raise ConfigError when so many held-out pictures are too few for what the settings ask for."""
    if trainer.config.patience and not held_out:
        raise ConfigError("--patience needs pictures to measure with, but none are held out; give --val or --held-out")
    of_sets = [name for name in trainer.config.metrics if name in ("fid", "kid", *pretrained.SETS)]
    if of_sets and held_out == 1:
        raise ConfigError(f"--metrics names {of_sets[0]}, which compares sets; hold out 2 pictures or more")


class Validation:
    """Measures the averaged generator on held-out pictures at equal shares of the budget.

    Where the budget is a time, what is spent on measuring is lost for learning: a measurement is left out if with it
    more than `MOST_OF_TIME` of this session's time so far would have gone into measuring, as long as the last one took.
    The one at the end of the budget is always made. With a budget of images nothing is lost, and all are made: so
    which state is the best does not depend on the clock, and resuming equals never stopping.

    Args:
        run: what is measured.
        material: its held-out pictures; without any nothing is measured.

    Raises:
        ConfigError: a metric cannot be computed here.
    """

    def __init__(self, run: Run, material: Material):
        self.run = run
        config = run.config
        self.names = measured_names(run.trainer, material.held_out_count)
        self.deciding = deciding(config, material.held_out_count)
        self._rounds = config.validations
        if material.held_out is None or not run.fabric.is_global_zero:
            self._rounds = 0
        self._done = math.floor(run.progress.share * self._rounds)
        self._seconds = self._last_seconds = 0.0
        if self._rounds and material.held_out is not None:
            batch = material.batch(material.held_out, (config.seed,), run.fabric.device)
            source_bits, target_bits = (pixels.bits for pixels in config.formats)
            self._source_BHWC = signal_to_pixels(batch.source_BCHW, source_bits)
            self._truth_BCHW = unit(signal_to_pixels(batch.target_BCHW, target_bits))
            self._label_B = batch.label_B
            self._watch = Watch(run, material)
            self._pretrained = pretrained.PretrainedScores(run.fabric.device)

    @property
    def out_of_patience(self) -> bool:
        """Whether the measurement has not improved for as long as the settings allow."""
        patience = self.run.config.patience
        return patience > 0 and self.run.best.get("since", 0) >= patience

    def at_start(self, journal: "Journal") -> None:
        """Measure the untrained networks: what everything later is compared with."""
        if self._rounds and not self.run.progress.steps:
            began = monotonic()
            journal.measured(self.measure(), best=False)
            self._took(monotonic() - began)

    def if_due(self, journal: "Journal") -> None:
        """Measure when the next share of the budget is used; keep the networks when they are the best so far."""
        due = math.floor(self.run.progress.share * self._rounds)
        if due <= self._done:
            return
        self._done = due
        if due == self._rounds or self._affordable():
            began = monotonic()
            self._round(journal)
            self._took(monotonic() - began)

    def _affordable(self) -> bool:
        """Whether time for another measurement is left."""
        if self.run.config.max_images is not None:
            return True
        session = self.run.progress.seconds_here + self._last_seconds
        return self._seconds + self._last_seconds <= MOST_OF_TIME * session

    def _took(self, seconds: float) -> None:
        self._seconds += seconds
        self._last_seconds = seconds

    def _round(self, journal: "Journal") -> None:
        result_BCHW = self._results()
        metrics = self._scores(result_BCHW)
        before = self.run.best
        best = self._note(metrics)
        if best:
            try:
                self.run.save_best()
            except SnapshotError as error:
                self.run.best = before  # which is what lies on disk
                best = False
                journal.say(f"the best networks so far are not kept: {error}")
        journal.measured(metrics, best=best)
        journal.watched(self._watch.read(result_BCHW, self._truth_BCHW))

    def _note(self, metrics: dict[str, float]) -> bool:
        """Count towards patience; returns whether these are better than the best so far, by all that decides."""
        run, names = self.run, self.deciding
        comparable = bool(run.best) and (run.best["metric"], *run.best.get("others", {})) == names
        before = {names[0]: run.best["value"], **run.best.get("others", {})} if comparable else {}
        signs = {name: 1.0 if name in HIGHER_IS_BETTER else -1.0 for name in names}
        better = all(
            math.isfinite(metrics[name])
            and (not comparable or signs[name] * metrics[name] > signs[name] * before[name])
            for name in names
        )
        if better:
            run.best = {
                "metric": names[0], "value": metrics[names[0]], "images": run.progress.images_seen, "since": 0
            }  # fmt: skip
            if names[1:]:
                run.best["others"] = {name: metrics[name] for name in names[1:]}
        elif run.best:
            run.best = {**run.best, "since": run.best["since"] + 1}
        return better

    def measure(self) -> dict[str, float]:
        """The metrics of the settings, by name, as the exported model would score."""
        return self._scores(self._results())

    @torch.inference_mode()
    def _scores(self, result_BCHW: Tensor) -> dict[str, float]:
        return {name: self._metric(name, result_BCHW) for name in self.names}

    @torch.inference_mode()
    def _results(self) -> Tensor:
        """What the averaged generator makes of the held-out pictures, in [0, 1]."""
        translator = pixel_translator(self.run.generator, self.run.trainer.spec)
        count = len(self._source_BHWC)
        # One by one: a batch of large pictures would need more memory than training itself.
        detail = sharpest(self.run.trainer.spec, self.run.fabric.device)
        results = [translator(self._source_BHWC[i : i + 1], self._label(i), detail=detail) for i in range(count)]
        return unit(torch.cat(results))

    def _label(self, number: int) -> Tensor | None:
        return self._label_B[number : number + 1] if self.run.trainer.spec.labels else None

    def _metric(self, name: str, result_BCHW: Tensor) -> float:
        truth_BCHW = self._truth_BCHW
        if name == "psnr":
            return float(psnr(result_BCHW, truth_BCHW).mean())
        if name == "psnr_luma":
            return float(psnr_luma(result_BCHW, truth_BCHW, self.run.trainer.spec.scale).mean())
        if name == "ssim":
            return float(ssim(result_BCHW, truth_BCHW).mean())
        if name == "structure":
            return float(gradient_correlation(unit(self._source_BHWC), result_BCHW).mean())
        if name == "edge_agreement":
            return float(edge_agreement(unit(self._source_BHWC), result_BCHW).mean())
        if name == "swd":
            return mean_distance(sliced_wasserstein(result_BCHW, truth_BCHW, seed=self.run.config.seed))
        if name in pretrained.NETWORKS:
            return self._pretrained(name, result_BCHW, truth_BCHW)
        assert name in LEARNED
        return score(name, result_BCHW, truth_BCHW)


def sharpest(spec: ModelSpec, device: torch.device) -> Tensor | None:
    """The knob `detail` turned up: what is learnt last, and what is looked at while training."""
    return torch.ones(1, device=device) if spec.detail else None


def unit(pixels_BHWC: Tensor) -> Tensor:
    """uint8 or uint16 (B, H, W, C) -> float (B, C, H, W) in [0, 1]."""
    full = 255.0 if pixels_BHWC.dtype == torch.uint8 else 65535.0
    return pixels_BHWC.permute(0, 3, 1, 2).float() / full
