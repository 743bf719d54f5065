"""Validation on held-out images during training: metrics, best snapshot, early stopping.

Shape suffixes: B batch, H height, W width, C channels.
"""

import math
from time import monotonic

import torch
from torch import Tensor

from translate.errors import ConfigError, SnapshotError
from translate.metrics import pretrained
from translate.metrics.edge_agreement import edge_agreement
from translate.metrics.fidelity import psnr, psnr_luma, ssim
from translate.metrics.gradient_correlation import gradient_correlation
from translate.metrics.learned import Name, missing, score
from translate.metrics.table import HIGHER_IS_BETTER, PAIRED
from translate.metrics.wasserstein import mean_distance, sliced_wasserstein
from translate.monitoring.diagnostics import Diagnostics
from translate.monitoring.logger import Logger
from translate.networks.pixels import signal_to_pixels
from translate.trainers.adversarial_config import AdversarialConfig
from translate.trainers.base import Trainer, full_detail, pixel_translator
from translate.trainers.config import TrainConfig
from translate.training.batches import TrainingData
from translate.training.callback import Callback
from translate.training.run import Run

MAX_TIME_FRACTION = 0.1
"""Maximum fraction of a process's time spent on validation."""

MANUAL_WEIGHTS: tuple[Name, ...] = ("lpips", "fid", "kid")
"""Metrics whose pretrained weights must be installed by hand."""

MIN_SET_SIZE = 16
"""Minimum number of held-out images for a set metric to select the best snapshot."""

SOURCE_METRICS = ("structure", "edge_agreement")
"""Metrics that compare the output with the source."""

COLOUR_METRICS = ("psnr_luma", *SOURCE_METRICS, *MANUAL_WEIGHTS, *pretrained.NETWORKS)
"""Metrics that need 3 channels."""


def selection_metrics(config: TrainConfig, held_out: int) -> tuple[str, ...]:
    """The metrics that must all improve for a new best snapshot; see `TrainConfig.best_by`.

    Args:
        config: the settings.
        held_out: number of held-out images.
    """
    # A network that is used in training must not be the only one that selects.
    projected = isinstance(config, AdversarialConfig) and config.networks.projected
    names: tuple[pretrained.Name, ...] = ("kid_lite1", "kid_squeezenet") if projected else ("kid_lite1",)
    if config.validation.best_by == "kid_lite1":
        return names
    if config.validation.best_by != "auto":
        return (config.validation.best_by,)
    colour = config.data.formats[1].channels == 3
    usable = held_out >= MIN_SET_SIZE and colour and not any(map(pretrained.missing, names))
    return names if usable else ("swd",)


def measured_names(trainer: Trainer, held_out: int) -> list[str]:
    """The configured metrics that suit the trainer, and those that select the best snapshot.

    Raises:
        ConfigError: one cannot be computed here, or the selection metric is not among them.
    """
    config = trainer.config
    names = [name for name in config.validation.metrics if trainer.paired or name not in PAIRED]
    asked = {*names, config.validation.best_by}
    names += [name for name in selection_metrics(config, held_out) if name not in asked]
    colour = config.data.formats[1].channels == 3
    for name in names:
        if name in COLOUR_METRICS and not colour:
            raise ConfigError(
                f"--metrics includes {name}, which needs 3 channels; use --metrics psnr ssim swd --best-by swd"
            )
        least = 3 * trainer.spec.scale  # the border is as wide as the scale
        if name == "psnr_luma" and held_out and config.data.image_size < least:
            raise ConfigError(
                f"--image-size is {config.data.image_size}; psnr_luma with --scale {trainer.spec.scale} needs at least "
                f"{least}; increase it, or use --metrics psnr ssim swd --best-by swd"
            )
        if name in SOURCE_METRICS and (config.data.formats[0].channels != 3 or trainer.spec.scale != 1):
            raise ConfigError(
                f"--metrics includes {name}, which compares the output with the source, but they differ in size or "
                "channels; omit it"
            )
        reason = missing(name) if name in MANUAL_WEIGHTS else None
        reason = pretrained.missing(name) if name in pretrained.NETWORKS else reason
        if reason:
            raise ConfigError(f"--metrics includes {name}: {reason}")
    if config.validation.best_by not in ("auto", *names):
        raise ConfigError(f"--best-by is {config.validation.best_by}, which needs pairs; use swd")
    return names


def check_held_out(trainer: Trainer, held_out: int) -> None:
    """Raise ConfigError if this many held-out images are too few for the settings."""
    if trainer.config.validation.patience and not held_out:
        raise ConfigError("--patience needs validation images, but none are held out; give --val or --held-out")
    of_sets = [name for name in trainer.config.validation.metrics if name in ("fid", "kid", *pretrained.SETS)]
    if of_sets and held_out == 1:
        raise ConfigError(
            f"--metrics includes {of_sets[0]}, which compares sets, but only 1 image is held out; hold out 2 or more"
        )


class Validation(Callback):
    """Validates the EMA generator on held-out images, at regular fractions of the budget.

    With a time budget, validation takes time from training: it is skipped if, lasting as long as the last one, it would
    bring the time for validation above `MAX_TIME_FRACTION` of this process's time so far. The one at the end of the
    budget is never skipped. With a budget of images none is skipped, so that the best snapshot does not depend on the
    clock, and a resumed run equals an uninterrupted one.

    Args:
        run: the run to validate.
        training_data: its held-out images; without any there is no validation.
        logger: for the results.

    Raises:
        ConfigError: a metric cannot be computed here.
    """

    def __init__(self, run: Run, training_data: TrainingData, logger: Logger):
        self.run, self.logger = run, logger
        config = run.config
        self.names = measured_names(run.trainer, training_data.held_out_count)
        self.deciding = selection_metrics(config, training_data.held_out_count)
        self._rounds = config.validation.validations
        if training_data.held_out is None or not run.fabric.is_global_zero:
            self._rounds = 0
        self._done = math.floor(run.progress.share * self._rounds)
        self._seconds = self._last_seconds = 0.0
        if self._rounds and training_data.held_out is not None:
            batch = training_data.batch(training_data.held_out, (config.seed,), run.fabric.device)
            source_bits, target_bits = (pixels.bits for pixels in config.data.formats)
            self._source_BHWC = signal_to_pixels(batch.source_BCHW, source_bits)
            self._truth_BCHW = unit(signal_to_pixels(batch.target_BCHW, target_bits))
            self._label_B = batch.label_B
            self._diagnostics = Diagnostics(run, training_data)
            self._pretrained = pretrained.PretrainedScores(run.fabric.device)

    @property
    def should_stop(self) -> bool:
        """Whether there has been no new best for `patience` validations."""
        patience = self.run.config.validation.patience
        return patience > 0 and self.run.best.get("since", 0) >= patience

    def on_train_start(self) -> None:
        """Validate the untrained networks, as a baseline."""
        if self._rounds and not self.run.progress.steps:
            began = monotonic()
            self.logger.measured(self.measure(), best=False)
            self._took(monotonic() - began)

    def on_train_batch_end(self, rejected: tuple[str, ...]) -> None:
        """Validate when due, and save the networks if they are the best so far."""
        due = math.floor(self.run.progress.share * self._rounds)
        if due <= self._done:
            return
        self._done = due
        if due == self._rounds or self._affordable():
            began = monotonic()
            self._round()
            self._took(monotonic() - began)

    def _affordable(self) -> bool:
        """Whether there is time for another validation."""
        if self.run.config.budget.max_images is not None:
            return True
        session = self.run.progress.seconds_here + self._last_seconds
        return self._seconds + self._last_seconds <= MAX_TIME_FRACTION * session

    def _took(self, seconds: float) -> None:
        self._seconds += seconds
        self._last_seconds = seconds

    def _round(self) -> None:
        result_BCHW = self._results()
        metrics = self._scores(result_BCHW)
        before = self.run.best
        best = self._note(metrics)
        if best:
            try:
                self.run.save_best()
            except SnapshotError as error:
                self.run.best = before  # what is on disk
                best = False
                self.logger.on_message(f"the best snapshot was not saved: {error}")
        self.logger.measured(metrics, best=best)
        self.logger.diagnosed(self._diagnostics.read(result_BCHW, self._truth_BCHW))

    def _note(self, metrics: dict[str, float]) -> bool:
        """Count towards patience; returns whether all selection metrics are better than the best so far."""
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
        """The metrics by name, as the exported model would score."""
        return self._scores(self._results())

    @torch.inference_mode()
    def _scores(self, result_BCHW: Tensor) -> dict[str, float]:
        return {name: self._metric(name, result_BCHW) for name in self.names}

    @torch.inference_mode()
    def _results(self) -> Tensor:
        """Outputs of the EMA generator for the held-out images, in [0, 1]."""
        translator = pixel_translator(self.run.generator, self.run.trainer.spec)
        count = len(self._source_BHWC)
        # One by one, because a batch of large images would need more memory than training itself.
        detail = full_detail(self.run.trainer.spec, self.run.fabric.device)
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
        assert name in MANUAL_WEIGHTS
        return score(name, result_BCHW, truth_BCHW)


def unit(pixels_BHWC: Tensor) -> Tensor:
    """uint8 or uint16 (B, H, W, C) -> float (B, C, H, W) in [0, 1]."""
    full = 255.0 if pixels_BHWC.dtype == torch.uint8 else 65535.0
    return pixels_BHWC.permute(0, 3, 1, 2).float() / full
