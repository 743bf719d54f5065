"""What a run shows and writes while it learns: progress bar, log lines, sample grids."""

import json
import math
from collections.abc import Mapping
from time import monotonic
from types import TracebackType
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from torchvision.utils import make_grid

from translate.errors import ImageError
from translate.images import Picture, write_picture
from translate.networks.pixels import PixelTranslator, pixels_to_signal, signal_to_pixels
from translate.trainers.base import Batch
from translate.trainers.run import Run

LOG_SECONDS = 5.0
"""Seconds between log lines (and between plain lines, ten times rarer, where there is no terminal)."""

GAP_GREY = 200
"""Colour of the gaps in a sample grid, 0 to 255."""


class Journal:
    """Context manager around training; call `step_done` after every step.

    Args:
        run: what is reported on.
        samples: fixed source and target pictures for the grids.
        console: where the bar goes.
    """

    def __init__(self, run: Run, samples: Batch, console: Console):
        self.run, self.samples, self.console = run, samples, console
        self.folder = run.folder / "samples"
        self.log_path = run.folder / "log.jsonl"
        self._sums: dict[str, torch.Tensor] = {}
        self._steps = 0
        self._last_time = monotonic()
        self._last_images = run.progress.images_seen
        self._last_plain = -math.inf
        self._grids_done = math.floor(run.progress.share * run.config.sample_grids)
        self._rejected: set[str] = set()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f}% {task.fields[status]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._row = self._bar.add_task("training", total=None, status="")

    def __enter__(self) -> "Journal":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def step_done(self, rejected: tuple[str, ...]) -> None:
        """Take note of a step; log and draw when it is time."""
        for line in rejected:
            if line not in self._rejected:
                self._rejected.add(line)
                self._say(f"passed over: {line}")
                self._append({"rejected": line})
        # Sums stay on the device; reading them every step would make a GPU wait.
        for name, value in self.run.losses.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value.clone()
        self._steps += 1
        if monotonic() - self._last_time >= LOG_SECONDS:
            self.log()
        grids_due = math.floor(self.run.progress.share * self.run.config.sample_grids)
        if grids_due > self._grids_done:
            self._grids_done = grids_due
            self.draw()

    def log(self) -> None:
        """Write the means since the last line to the log and to the bar."""
        if not self._steps:
            return
        progress, now = self.run.progress, monotonic()
        losses = {name: round(float(value) / self._steps, 5) for name, value in self._sums.items()}
        speed = (progress.images_seen - self._last_images) / max(now - self._last_time, 1e-9)
        self._append(
            {
                "images": progress.images_seen,
                "seconds": round(progress.seconds_used, 2),
                "share": round(progress.share, 5),
                "lr_factor": round(progress.lr_factor(), 5),
                "images_per_second": round(speed, 3),
                "bad_steps": self.run.bad_steps,
                "losses": losses,
            }
        )
        status = self._status(losses, speed)
        self._bar.update(self._row, total=1.0, completed=progress.share, status=status)
        if not self.console.is_terminal and now - self._last_plain >= 10 * LOG_SECONDS:
            self._say(f"{100 * progress.share:3.0f}% {status}")
            self._last_plain = now
        self._sums, self._steps, self._last_time, self._last_images = {}, 0, now, progress.images_seen

    def draw(self) -> None:
        """Write a grid with one row a sample: source, result of the averaged generator, truth."""
        generator = self.run.average.network
        translator = PixelTranslator(generator, self.run.trainer.spec.size_multiple, self.run.trainer.spec.scale)
        with torch.inference_mode():
            source_BHWC = signal_to_pixels(self.samples.source_BCHW)
            # One by one: a batch of large pictures would need more memory than training itself.
            result_BHWC = torch.cat([translator(source_BHWC[i : i + 1]) for i in range(len(source_BHWC))])
        triples = torch.stack([source_BHWC, result_BHWC, signal_to_pixels(self.samples.target_BCHW)], dim=1)
        tiles_BCHW = triples.flatten(0, 1).permute(0, 3, 1, 2)
        grid_CHW = make_grid(tiles_BCHW, nrow=3, padding=4, pad_value=GAP_GREY)
        grid_HWC = grid_CHW.permute(1, 2, 0).contiguous().cpu().numpy()
        path = self.folder / f"{self.run.progress.images_seen:09d}.png"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_picture(path, Picture(grid_HWC, None))
        except (OSError, ImageError) as error:
            self._say(f"no sample grid: {error}")  # a full disk must not end the run for a picture

    def _status(self, losses: Mapping[str, float], speed: float) -> str:
        progress = self.run.progress
        left = progress.seconds_here / max(progress.share - self._share_before, 1e-9) * (1.0 - progress.share)
        shown = "  ".join(f"{name.split('.')[1]} {value:.3f}" for name, value in losses.items())
        return f"{shown}  {speed:.1f} images/s  {_clock(left)} left"

    @property
    def _share_before(self) -> float:
        config, progress = self.run.config, self.run.progress
        if config.max_images is not None:
            return progress.images_before / config.max_images
        return progress.seconds_before / (config.max_seconds or 1.0)

    def _append(self, line: dict[str, Any]) -> None:
        try:
            with self.log_path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            self._say(f"no log line: {error}")

    def _say(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)


def sample_batch(photos_BHWC: torch.Tensor, make_source: Any, seed: int, device: torch.device | str) -> Batch:
    """Fixed pictures for the grids, as the trainer would see them."""
    target_BCHW = pixels_to_signal(photos_BHWC.to(device))
    return Batch(make_source(target_BCHW, torch.Generator().manual_seed(seed)), target_BCHW)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
