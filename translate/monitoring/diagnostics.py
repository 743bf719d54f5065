"""Diagnostics of a run: measures what the warnings are based on.

Training is not affected: networks run in evaluation mode, and the random state is restored.

Shape suffixes: B batch, C channels, H height, W width, N pictures, D numbers a picture.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from translate.data.dataset import RawBatch
from translate.data.thumbnails import thumbnail
from translate.metrics.diversity import mean_pairwise_difference
from translate.metrics.neighbours import nearest_neighbours
from translate.monitoring.warnings import (
    AUGMENTATION,
    DIVERSITY,
    FAKE_RIGHT,
    FEW_PICTURES,
    HELD_OUT_RIGHT,
    NEAREST,
    REAL_RIGHT,
)
from translate.pictures.picture import to_bits
from translate.trainers.adversarial_state import AugmentationController
from translate.trainers.base import Batch, Trial
from translate.training.batches import TrainingData
from translate.training.run import Run

SAMPLES = 16
"""Number of images of each kind that are given to the discriminators, and compared with one another."""

KNOWN = 256
"""Number of training images, evenly spread, among which the nearest is searched for."""


class Diagnostics:
    """Measures discriminator accuracy, diversity and memorisation, for `translate.monitoring.warnings`.

    Args:
        run: the run to diagnose.
        training_data: its data; some images must be held out.
    """

    def __init__(self, run: Run, training_data: TrainingData):
        assert training_data.held_out is not None
        self.run, self.training_data = run, training_data
        self._held_out = training_data.samples(SAMPLES)
        self._trained: RawBatch | None = None
        self._known_ND: np.ndarray | None = None

    @torch.no_grad()
    def read(self, result_BCHW: Tensor, truth_BCHW: Tensor) -> dict[str, float]:
        """Measure everything that can be measured.

        Args:
            result_BCHW: generated from the held-out sources, range [0, 1].
            truth_BCHW: as many real images of the target domain.
        """
        found = self._discriminated()
        controllers = [part for part in self.run.trainer.modules() if isinstance(part, AugmentationController)]
        if controllers:
            found[AUGMENTATION] = max(float(controller.probability) for controller in controllers)
        if len(result_BCHW) < FEW_PICTURES:
            found.pop(HELD_OUT_RIGHT, None)
            return found
        of_truth = mean_pairwise_difference(truth_BCHW[:SAMPLES])
        if of_truth:
            found[DIVERSITY] = mean_pairwise_difference(result_BCHW[:SAMPLES]) / of_truth
        of_truth = self._distance(truth_BCHW)
        if of_truth:
            found[NEAREST] = self._distance(result_BCHW) / of_truth
        return found

    def _discriminated(self) -> dict[str, float]:
        """Accuracy of the discriminators, averaged over all of them."""
        if self._trained is None:
            self._trained = self.training_data.stream.plain(SAMPLES)
        trainer = self.run.trainer
        with _undisturbed(trainer), self.run.fabric.autocast():
            trained = trainer.trials(self._batch(self._trained))
            held_out = trainer.trials(self._batch(self._held_out))
            rows = [_shares(*pair) for pair in zip(trained, held_out, strict=True)]
        if not rows:
            return {}
        means = np.mean(rows, axis=0)
        return dict(zip((REAL_RIGHT, FAKE_RIGHT, HELD_OUT_RIGHT), map(float, means), strict=True))

    def _batch(self, raw: RawBatch) -> Batch:
        run = self.run
        return self.training_data.batch(raw, (run.config.seed,), run.fabric.device, run.progress.share)

    def _distance(self, picture_BCHW: Tensor) -> float:
        """Median distance to the nearest training image."""
        if self._known_ND is None:
            known = self.training_data.stream.plain(KNOWN).target_BHWC.numpy()
            self._known_ND = np.stack([thumbnail(to_bits(image_HWC, 8)) for image_HWC in known])
        pictures = (picture_BCHW * 255.0).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        asked_ND = np.stack([thumbnail(image_HWC) for image_HWC in pictures])
        return float(np.median(nearest_neighbours(self._known_ND, asked_ND)[1]))


def _shares(trained: Trial, held_out: Trial) -> tuple[float, float, float]:
    """Accuracy on training images, on generated images and on held-out real images.

    The threshold is halfway between the mean scores of real and generated images, because GAN losses differ in what
    scores mean, and some have no threshold of their own. Mean over the patches, then over the scales.
    """
    rows: list[tuple[float, float, float]] = []
    real, fake, unseen = (
        trial.discriminator(picture_BCHW).scores
        for trial, picture_BCHW in (
            (trained, trained.real_BCHW),
            (trained, trained.fake_BCHW),
            (held_out, held_out.real_BCHW),
        )
    )
    for of_real, of_fake, of_unseen in zip(real, fake, unseen, strict=True):
        line = (of_real.mean() + of_fake.mean()) / 2
        shares = [(of_real > line), (of_fake < line), (of_unseen > line)]
        rows.append(tuple(float(share.float().mean()) for share in shares))  # pyright: ignore[reportArgumentType]
    return tuple(map(float, np.mean(rows, axis=0)))  # pyright: ignore[reportReturnType]


@contextmanager
def _undisturbed(network: nn.Module) -> Iterator[None]:
    """Run networks in evaluation mode, so that no buffer changes; restore the mode and the random state."""
    training = {part: part.training for part in network.modules()}
    state = torch.get_rng_state()
    network.eval()
    try:
        yield
    finally:
        for part, mode in training.items():
            part.training = mode
        torch.set_rng_state(state)
