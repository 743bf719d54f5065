"""Sample grids: outputs for the same few images, drawn repeatedly during training.

Shape suffixes: B batch, H height, W width, C channels.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from translate.networks.pixels import signal_to_pixels
from translate.trainers.base import full_detail, pixel_translator
from translate.training.batches import TrainingData
from translate.training.run import Run

ROWS = 8
"""Maximum number of rows of a sample grid."""

STYLES = 3
"""Number of random styles shown beside the mean style, for models with styles."""

GAP = 4
"""Pixels between the pictures of a sample grid, and around them."""

GAP_GREY = 200
"""Grey level of the gaps in a sample grid, 0 to 255."""


class Samples:
    """Fixed held-out images (training images if none are held out) and their translations.

    Args:
        run: the EMA generator is taken from it.
        training_data: source of the images.
    """

    def __init__(self, run: Run, training_data: TrainingData):
        self.run = run
        raw = training_data.samples(ROWS)
        batch = training_data.batch(raw, (run.config.seed,), run.fabric.device)
        self._source_BHWC = signal_to_pixels(batch.source_BCHW, run.config.data.formats[0].bits)
        self._label_B = batch.label_B
        # With unpaired data the target shows something else, which would be confusing beside the output.
        self._truth_BHWC = None
        if run.trainer.paired:
            self._truth_BHWC = signal_to_pixels(batch.target_BCHW, run.config.data.formats[1].bits)
        size = run.trainer.spec.style_size
        generator = torch.Generator().manual_seed(run.config.seed)
        self._styles = [torch.zeros(1, size), *torch.randn(STYLES, 1, size, generator=generator)] if size else [None]

    @torch.inference_mode()
    def grid(self) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """uint8 (H, W, 3): one row per sample with the source, the output (in each style), and the target."""
        columns = [self._source_BHWC, *(self._results(style) for style in self._styles)]
        if self._truth_BHWC is not None:
            columns.append(self._truth_BHWC)
        shown = [_shown(column_BHWC) for column_BHWC in columns]
        side = shown[-1].shape[-2:]
        shown = [F.interpolate(column_BCHW, side, mode="nearest") for column_BCHW in shown]
        rows_CHW = [
            torch.cat([F.pad(tile_CHW, (GAP, 0, GAP, 0), value=GAP_GREY) for tile_CHW in row], dim=2)
            for row in zip(*shown, strict=True)
        ]
        grid_CHW = F.pad(torch.cat(rows_CHW, dim=1), (0, GAP, 0, GAP), value=GAP_GREY)
        return grid_CHW.permute(1, 2, 0).to(torch.uint8).contiguous().cpu().numpy()

    def _results(self, style: Tensor | None) -> Tensor:
        spec, device = self.run.trainer.spec, self.run.fabric.device
        translator = pixel_translator(self.run.generator, spec)
        style = None if style is None else style.to(device)
        detail = full_detail(spec, device)
        # One by one, because a batch of large images would need more memory than training itself.
        return torch.cat(
            [
                translator(
                    self._source_BHWC[i : i + 1], self._label_B[i : i + 1] if spec.labels else None, style, detail
                )
                for i in range(len(self._source_BHWC))
            ]
        )


def _shown(pixels_BHWC: Tensor) -> Tensor:
    """Any pixels as float (B, 3, H, W), 0 to 255: grey is repeated, and extra channels are dropped."""
    levels_BCHW = pixels_BHWC.permute(0, 3, 1, 2).float()
    if pixels_BHWC.dtype != torch.uint8:
        levels_BCHW = (levels_BCHW / 257.0).round()
    if levels_BCHW.shape[1] < 3:
        return levels_BCHW[:, :1].expand(-1, 3, -1, -1)
    return levels_BCHW[:, :3]
