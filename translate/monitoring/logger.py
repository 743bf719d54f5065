"""Logger of a training run: progress bar, log lines, sample grids."""

import json
import math
from collections.abc import Collection, Mapping, Sequence
from time import monotonic
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from translate.errors import DataError, ImageError, one_line
from translate.monitoring.log import append_line, machine_facts, read_log
from translate.monitoring.samples import Samples
from translate.monitoring.tensorboard import Curves
from translate.monitoring.warnings import (
    CHECKS,
    EARLY,
    EARLY_STEPS,
    Readings,
    TrainingWarning,
    Trends,
    warnings_of,
)
from translate.pictures.operations import Picture, write_picture
from translate.trainers.adversarial import AdversarialGame
from translate.training.batches import TrainingData
from translate.training.callback import Callback
from translate.training.run import Run

LOG_SECONDS = 5.0
"""Seconds between log lines. Without a terminal, a status line is printed ten times less often."""


class Logger(Callback):
    """Progress bar, log lines and sample grids. Silent in all processes but the first.

    The log has one JSON object per line, whose `event` is `start` (of a process), `progress`, `validation`, `health`
    (the diagnostics behind the warnings), `warning` (`lit`: whether it is active from here on) or `rejected` (an
    unusable file).

    Args:
        run: the run to log.
        training_data: source of the sample images.
        console: for the progress bar.
    """

    def __init__(self, run: Run, training_data: TrainingData, console: Console):
        self.run, self.console = run, console
        self.silent = not run.fabric.is_global_zero
        wanted = not self.silent and run.config.validation.sample_grids > 0
        self.samples = Samples(run, training_data) if wanted else None
        self.folder = run.folder / "samples"
        self.log_path = run.folder / "log.jsonl"
        seen = run.progress.images_seen
        self.curves = Curves(run.folder / "tensorboard", enabled=not self.silent, start=seen)
        self._counts = {"train": len(training_data.stream), "held_out": training_data.held_out_count}
        self._sums: dict[str, torch.Tensor] = {}
        self._counts_of: dict[str, int] = {}
        self._steps = 0
        self._last_time = monotonic()
        self._last_images = seen
        self._last_plain = -math.inf
        self._log_failed = False
        self._trends = Trends(measured=run.config.settings().get("adversarial") != "wgan-gp")
        self._games = {name: part for name, part in run.trainer.named_modules() if isinstance(part, AdversarialGame)}
        self._active: dict[str, str] = {}
        self._said: set[str] = set()
        self._grids_done = math.floor(run.progress.share * run.config.validation.sample_grids)
        self._rejected: set[str] = set()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f}% {task.fields[status]}"),
            console=console,
            disable=self.silent or not console.is_terminal,
        )
        self._row = self._bar.add_task("training", total=None, status="")

    def on_train_start(self) -> None:
        """Log the start of this process."""
        self._bar.start()
        self._append(
            {
                "event": "start",
                "images": self.run.progress.images_seen,
                "pictures": self._counts,
                "machine": machine_facts(self.run.fabric.device, self.run.fabric.world_size),
            }
        )
        if self.run.progress.images_seen and not self.silent:
            self._restore()

    def _restore(self) -> None:
        """Restore trends and active warnings from the log of earlier processes."""
        try:
            log = read_log(self.log_path)
        except DataError:
            return  # the run was moved without its log
        before = 0
        for line in log.progress:
            # Missing in old logs.
            self._trends.add(line.get("losses", {}), line.get("gradients", {}), line["images"] - before)
            before = line["images"]
        self._said = {line["name"] for line in log.warnings}
        self._active = {line["name"]: line["text"] for line in log.warnings if line["lit"]}

    def on_train_end(self) -> None:
        """Log the steps since the last line."""
        self.log()

    def teardown(self) -> None:
        """Restore the terminal and close the event file."""
        self._bar.stop()
        self.curves.close()

    def on_train_batch_end(self, rejected: tuple[str, ...]) -> None:
        """Accumulate the losses of a step; log and draw when due."""
        for line in rejected:
            if line not in self._rejected:
                self._rejected.add(line)
                self.on_message(one_line(f"skipped: {line}"))
                self._append({"event": "rejected", "file": line})
        for name, game in self._games.items():
            if game.result_gradient is not None:
                self.run.losses[f"{name}.gradient"] = game.result_gradient
                game.result_gradient = None
        # Sums stay on the device, because reading them at every step would stall a GPU. A skipped step counts as zero.
        for name, value in self.run.losses.items():
            value = torch.nan_to_num(value, nan=0.0, posinf=0.0, neginf=0.0)
            self._sums[name] = self._sums[name] + value if name in self._sums else value.clone()
            self._counts_of[name] = self._counts_of.get(name, 0) + 1
        self.run.losses.clear()  # terms of every eighth step must not be counted at every step
        self._steps += 1
        if monotonic() - self._last_time >= LOG_SECONDS:
            self.log()
        grids_due = math.floor(self.run.progress.share * self.run.config.validation.sample_grids)
        if grids_due > self._grids_done:
            self._grids_done = grids_due
            self.draw()

    def measured(self, metrics: Mapping[str, float], *, best: bool) -> None:
        """Log the validation metrics."""
        progress = self.run.progress
        rounded = {name: round(value, 5) for name, value in metrics.items()}
        line = {"event": "validation", "images": progress.images_seen, "seconds": round(progress.seconds_used, 2)}
        self._append({**line, "share": round(progress.share, 5), "metrics": rounded, "best": best})
        self.curves.add("held out", metrics, progress.images_seen)
        measured = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        self.on_message(f"{100 * progress.share:3.0f}% held out: {measured}{'  (best so far)' if best else ''}")

    def diagnosed(self, readings: Readings) -> None:
        """Log the diagnostics and show new warnings."""
        if readings:
            rounded = {name: round(value, 4) for name, value in readings.items()}
            self._append({"event": "health", "images": self.run.progress.images_seen, "readings": rounded})
            self.curves.add("health", readings, self.run.progress.images_seen)
        progress = self.run.progress
        if progress.share >= EARLY and progress.steps >= EARLY_STEPS:
            self._warn(warnings_of(readings), CHECKS)

    def _warn(self, warnings: Sequence[TrainingWarning], names: Collection[str]) -> None:
        """Show each warning once in a run, and log what begins and ends, among the warnings with these names."""
        images, now = self.run.progress.images_seen, dict(warnings)
        for name in names:
            before, text = self._active.pop(name, None), now.get(name)
            if text is not None:
                self._active[name] = text
            if text is not None and name not in self._said:
                self._said.add(name)
                self.on_message(f"warning: {text}")
            if (text is None) != (before is None):
                change = {"name": name, "lit": text is not None, "text": text or before}
                self._append({"event": "warning", "images": images, **change})

    def log(self) -> None:
        """Log the means since the last line and update the progress bar."""
        if not self._steps or self.silent:
            return
        progress, now = self.run.progress, monotonic()
        means = {name: round(float(value) / self._counts_of[name], 5) for name, value in self._sums.items()}
        speed = (progress.images_seen - self._last_images) / max(now - self._last_time, 1e-9)
        losses = {name: value for name, value in means.items() if not name.endswith(".gradient")}
        gradients = {name.split(".")[0]: value for name, value in means.items() if name not in losses}
        ratio: dict[str, float] = {}
        if gradients.get("discriminator") and "generator" in gradients:
            ratio = {"gradient_ratio": round(gradients["generator"] / gradients["discriminator"], 5)}
        self._append(
            {
                "event": "progress",
                "images": progress.images_seen,
                "seconds": round(progress.seconds_used, 2),
                "share": round(progress.share, 5),
                "lr_factor": round(self.run.lr_factor, 5),
                "images_per_second": round(speed, 3),
                "bad_steps": int(self.run.bad_steps),
                "losses": losses,
                "gradients": gradients,
                **ratio,
            }
        )
        self._trends.add(losses, gradients, progress.images_seen - self._last_images)
        self._warn(self._trends.warnings(), Trends.NAMES)
        self.curves.add("training", {**means, **ratio, "images_per_second": speed}, progress.images_seen)
        status = self._status(losses, speed)
        self._bar.update(self._row, total=1.0, completed=progress.share, status=status)
        if not self.console.is_terminal and now - self._last_plain >= 10 * LOG_SECONDS:
            self.on_message(f"{100 * progress.share:3.0f}% {status}")
            self._last_plain = now
        self._counts_of.clear()
        self._sums, self._steps, self._last_time, self._last_images = {}, 0, now, progress.images_seen

    def draw(self) -> None:
        """Write a grid with one row per sample: source, output of the EMA generator, and the target if there is one."""
        if self.samples is None:
            return
        grid_HWC = self.samples.grid()
        path = self.folder / f"{self.run.progress.images_seen:09d}.png"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_picture(path, Picture(grid_HWC, None))
        except (OSError, ImageError) as error:
            self.on_message(f"cannot write the sample grid: {error}")  # a full disk must not end the run

    def _status(self, losses: Mapping[str, float], speed: float) -> str:
        progress = self.run.progress
        left = progress.seconds_here / max(progress.share - self._share_before, 1e-9) * (1.0 - progress.share)
        shown = "  ".join(f"{name.split('.')[1]} {value:.3f}" for name, value in losses.items())
        return f"{shown}  {speed:.1f} images/s  {_clock(left)} left"

    @property
    def _share_before(self) -> float:
        config, progress = self.run.config, self.run.progress
        if config.budget.max_images is not None:
            return progress.images_before / config.budget.max_images
        return progress.seconds_before / (config.budget.max_seconds or 1.0)

    def _append(self, line: dict[str, Any]) -> None:
        if self.silent:
            return
        try:
            append_line(self.log_path, json.dumps(line))
        except OSError as error:
            if not self._log_failed:
                self.on_message(f"cannot write the log: {error}")
            self._log_failed = True

    def on_message(self, text: str) -> None:
        """Print a line."""
        if not self.silent:
            self.console.print(text, markup=False, highlight=False, soft_wrap=True)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
