"""The state of a training run: networks, optimisers, EMAs and progress, saved and restored together."""

import dataclasses
import logging
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from translate.errors import ConfigError, DataError
from translate.networks.running_stats import SyncedBuffers
from translate.trainers.adversarial_state import ReferenceBatch
from translate.trainers.base import Term, Trainer
from translate.trainers.config import TrainConfig
from translate.training.budget import Progress
from translate.training.distributed import average_over_processes, broadcast_from_first
from translate.training.ema import EMA
from translate.training.fabric import Fabric
from translate.training.optimisers import OPTIMISERS, ExtraAdam
from translate.training.snapshot import BEST_NAME, FILE_NAME, Header, load_state, under, write_snapshot

MAX_BAD_STEPS = 20
"""Number of consecutive non-finite updates of one player that ends the run; fewer are skipped."""

HEALTH_INTERVAL = 10
"""Steps between checks of the number of bad steps, which synchronise with the GPU."""

ADVICE = "start a new run with lower --generator-lr and --discriminator-lr (the last snapshot is intact)"


def make_fabric(config: TrainConfig) -> Fabric:
    """Device and precision for the settings: one device, or one per process started by torchrun.

    Raises:
        ConfigError: a GPU is requested, but there is none.
    """
    if config.machine.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device is cuda, but torch found no CUDA GPU; use --device cpu or auto")
    device = config.machine.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if config.machine.precision == "auto":
        # Without bfloat16 instructions the emulation is several times slower than float32.
        fast_bf16 = torch.cuda.is_bf16_supported(including_emulation=False) if device == "cuda" else _cpu_has_bf16()
        bf16 = bool(fast_bf16)
    else:
        bf16 = config.machine.precision == "bf16"
    if device == "cuda":
        # Image sizes are fixed, so convolution algorithms are benchmarked once. With bfloat16 the rest may use TF32.
        torch.backends.cudnn.benchmark = True
        exact = config.machine.precision == "32"
        torch.set_float32_matmul_precision("highest" if exact else "high")
        torch.backends.cudnn.allow_tf32 = not exact
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    world, here = (int(os.environ.get(name, "1")) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    fabric = Fabric(
        accelerator=device,
        devices=here,
        num_nodes=world // here,
        # Only used to start processes. Gradients are averaged in `Run.update`, because DDP's hooks expect one backward
        # pass per forward pass, and here two players share a forward pass.
        strategy="ddp" if world > 1 else "auto",
        precision="bf16-mixed" if bf16 else "32-true",
    )
    fabric.launch()
    return fabric


def _cpu_has_bf16() -> bool:
    """Whether this processor has instructions for bfloat16 matrix products (AVX512-BF16 or AMX)."""
    try:
        flags = Path("/proc/cpuinfo").read_text().split()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


class Run:
    """Everything that changes during training, and `update`, which changes it.

    Args:
        trainer: the networks and their losses.
        header: task, trainer and data for snapshots, and the progress so far.
        folder: for snapshots.

    Raises:
        ConfigError: the device does not exist, or the batch cannot be divided among the processes.
    """

    def __init__(self, trainer: Trainer, header: Header, folder: Path):
        self.config = trainer.config
        self.fabric = make_fabric(self.config)
        optimisation = self.config.optimisation
        batch, parts = optimisation.batch_size, self.fabric.world_size * optimisation.accumulate
        if batch % parts:
            raise ConfigError(
                f"--batch-size is {batch}; {self.fabric.world_size} processes with --accumulate "
                f"{optimisation.accumulate} need a multiple of {parts}"
            )
        self.config.check_part(batch // parts)
        self.trainer = trainer.to(self.fabric.device).to(memory_format=torch.channels_last)
        self.header = header
        self.folder = folder
        self.averages = {
            network: EMA(trainer.get_submodule(network), optimisation.ema_halflife_images)
            for network in trainer.directions.values()
        }
        self.progress = Progress(
            self.config,
            images_seen=header.images_seen,
            images_before=header.images_seen,
            steps=header.steps,
            seconds_before=header.seconds_used,
        )
        self.best = dict(header.best)
        """`metric`, `value`, `images` and `since` (validations without improvement); empty before the first one."""
        self.parameters = {
            player: weights
            for player in trainer.players
            if (weights := [weight for network in trainer.networks_of(player) for weight in network.parameters()])
        }
        self.optimizers = {
            player: OPTIMISERS[optimisation.optimiser](
                weights, lr=0.0, betas=(optimisation.adam_beta1, optimisation.adam_beta2), fused=True
            )
            for player, weights in self.parameters.items()
        }
        if self.config.machine.compile:
            for player in self.parameters:
                for network in trainer.networks_of(player):
                    network.compile()
        self.losses: dict[str, Tensor] = {}
        """Latest value of each term, on the device, as `player.term`, and gradient norms as `player.gradient`. With
        gradient accumulation, the mean over the parts of the batch that have the term."""
        self._counts: dict[str, Counter[str]] = {player: Counter() for player in self.parameters}
        """How many parts of the current batch had each term."""
        self.parts_left = dict.fromkeys(self.parameters, self.config.optimisation.accumulate)
        zero = torch.zeros((), device=self.fabric.device)
        self.bad_steps = zero.clone()
        self.bad_steps_in_a_row = {player: zero.clone() for player in self.parameters}

    @property
    def generator(self) -> nn.Module:
        """The EMA generator of the forward direction, used for samples, validation and export."""
        return self.averages[self.trainer.directions["forward"]].network

    @property
    def lr_factor(self) -> float:
        """The current factor on all peak learning rates."""
        return self.progress.lr_factor(self.trainer.lr_share(self.progress.share))

    def synchronise(self) -> None:
        """Copy the networks of the first process to all, since later only gradients are averaged."""
        modules = (self.trainer, *(average.network for average in self.averages.values()))
        broadcast_from_first(self.fabric, [tensor for module in modules for tensor in module.state_dict().values()])

    def update(self, player: str, terms: Mapping[str, Term]) -> None:
        """Update `player` by one step on the weighted sum of the terms; skipped if the gradient is not finite.

        With gradient accumulation the step is taken after the last part of the batch. Does not synchronise with the
        device.
        """
        with torch.autocast(self.fabric.device.type, enabled=False):
            total = torch.stack([term.weight * term.value.float() for term in terms.values()]).sum()
            for name, term in terms.items():
                self._note(player, f"{player}.{name}", term.value.detach().float())
            # Only this player's parameters: a plain backward would also accumulate gradients in the other networks.
            self.fabric.backward(total / self.config.optimisation.accumulate, inputs=self.parameters[player])
            self.parts_left[player] -= 1
            if not self.parts_left[player]:
                self.parts_left[player] = self.config.optimisation.accumulate
                self._take_step(player)

    def _note(self, player: str, name: str, value: Tensor) -> None:
        """Take a term of one part of the batch into the mean in `losses`."""
        counts = self._counts[player]
        counts[name] += 1
        if counts[name] > 1:
            value = self.losses[name] + (value - self.losses[name]) / counts[name]
        self.losses[name] = value

    def _take_step(self, player: str) -> None:
        self._counts[player].clear()
        gradients = [weight.grad for weight in self.parameters[player] if weight.grad is not None]
        average_over_processes(self.fabric, gradients)
        norm = torch.nn.utils.get_total_norm(gradients)
        bad = 1.0 - torch.isfinite(norm).float()
        self.losses[f"{player}.gradient"] = norm
        self.bad_steps += bad
        in_a_row = self.bad_steps_in_a_row[player]
        in_a_row.add_(bad).mul_(bad)
        optimizer = self.optimizers[player]
        for group in optimizer.param_groups:
            group["lr"] = self.trainer.learning_rates()[player] * self.lr_factor
        # The fused optimiser's own way, made for GradScaler, to skip a step by a flag on the device.
        optimizer.found_inf, optimizer.grad_scale = bad, None  # pyright: ignore[reportAttributeAccessIssue]
        if isinstance(optimizer, ExtraAdam):
            optimizer.extrapolating = self.progress.steps % 2 == 0
        optimizer.step()
        optimizer.zero_grad()
        # One autocast region spans both players, and would keep using the cached 16-bit copies of the old weights.
        torch.clear_autocast_cache()

    def check_health(self) -> None:
        """Raise DataError if training has diverged. Synchronises with the device."""
        for player, count in self.bad_steps_in_a_row.items():
            if count >= MAX_BAD_STEPS:
                raise DataError(
                    f"training diverged: the loss of the {player} was not finite "
                    f"{MAX_BAD_STEPS} times in a row; {ADVICE}"
                )

    def advance(self, images: int) -> None:
        """Count a finished step and update the EMAs."""
        synced = [part for part in self.trainer.modules() if isinstance(part, SyncedBuffers)]
        average_over_processes(self.fabric, [buffer for part in synced for buffer in part.buffers()])
        for part in self.trainer.modules():
            if isinstance(part, ReferenceBatch) and part.taken:
                broadcast_from_first(self.fabric, list(part.buffers()))
                part.taken = False
        self.progress.images_seen += images
        self.progress.steps += 1
        if self.progress.steps == 1:
            self.synchronise()  # state taken from the first batch
        for name, average in self.averages.items():
            average.update(self.trainer.get_submodule(name), images, self.progress.images_seen)
        if self.progress.steps % HEALTH_INTERVAL == 0:
            self.check_health()

    @property
    def snapshot_path(self) -> Path:
        """File of the snapshot."""
        return self.folder / FILE_NAME

    def save(self) -> None:
        """Write the snapshot atomically.

        Raises:
            DataError: weights are not finite; the previous snapshot is intact.
            SnapshotError: the file cannot be written; the previous snapshot is intact.
        """
        self.check_health()
        write_snapshot(self.snapshot_path, self._header(), _finite({**self._averaged(), **self._trained()}))

    def save_best(self) -> None:
        """Write the EMA networks as the best snapshot, atomically; raises like `save`."""
        write_snapshot(self.folder / BEST_NAME, self._header(), _finite(self._averaged()))

    def _header(self) -> Header:
        return dataclasses.replace(
            self.header,
            images_seen=self.progress.images_seen,
            steps=self.progress.steps,
            seconds_used=self.progress.seconds_used,
            best=self.best,
            spec=dataclasses.asdict(self.trainer.spec),
        )

    def _averaged(self) -> dict[str, Tensor]:
        return {
            f"average/{name}/{key}": tensor
            for name, average in self.averages.items()
            for key, tensor in average.network.state_dict().items()
        }

    def _trained(self) -> dict[str, Tensor]:
        tensors = {f"trainer/{key}": tensor for key, tensor in self.trainer.state_dict().items()}
        for name, optimizer in self.optimizers.items():
            for number, slots in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizers/{name}/{number}/{slot}": tensor for slot, tensor in slots.items()}
        return tensors

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Restore the state written by `save`.

        Raises:
            SnapshotError: the tensors do not fit the networks.
        """
        load_state(self.trainer, "trainer", tensors)
        for name, average in self.averages.items():
            load_state(average.network, f"average/{name}", tensors)
        for name, optimizer in self.optimizers.items():
            self._restore_optimizer(optimizer, self.parameters[name], under(f"optimizers/{name}", tensors))

    @staticmethod
    def _restore_optimizer(
        optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter], slots: dict[str, Tensor]
    ) -> None:
        state: dict[int, dict[str, Tensor]] = {}
        for name, saved in slots.items():
            number, slot = name.split("/")
            like = parameters[int(number)]
            # Moments must have the memory format of their parameter, or the fused step pairs the wrong elements.
            # Copied, because tensors read from the file stay mapped to it, and the file will be replaced.
            tensor = saved.clone() if slot == "step" else torch.empty_like(like, dtype=saved.dtype).copy_(saved)
            state.setdefault(int(number), {})[slot] = tensor.detach()
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _finite(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    if not all(tensor.isfinite().all() for tensor in tensors.values()):
        raise DataError(f"training diverged: some weights are not finite; {ADVICE}")
    return tensors
