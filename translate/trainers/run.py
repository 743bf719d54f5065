"""The state of a training run: networks, optimisers, average, progress; saved and restored as one."""

import dataclasses
import importlib
import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from translate.errors import ConfigError, DataError
from translate.trainers.average import Average
from translate.trainers.base import Term, TrainConfig, Trainer
from translate.trainers.budget import Progress
from translate.trainers.snapshot import FILE_NAME, Header, load_state, under, write_snapshot

MAX_BAD_STEPS = 20
"""So many updates of one network in a row without a finite loss end the run; fewer are skipped."""


def load_object(path: str) -> object:
    """`module:name` -> the object."""
    module, name = path.split(":")
    return getattr(importlib.import_module(module), name)


def make_fabric(config: TrainConfig) -> Fabric:
    """Device and precision for the settings, on one device.

    Raises:
        ConfigError: a GPU is asked for and there is none.
    """
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device is cuda, but torch finds no CUDA GPU; use --device cpu or auto")
    device = config.device if config.device != "auto" else ("cuda" if torch.cuda.is_available() else "cpu")
    if config.precision == "auto":
        # On a processor without bfloat16 instructions the emulation is several times slower than float32.
        fast_bf16 = torch.cuda.is_bf16_supported(including_emulation=False) if device == "cuda" else _cpu_has_bf16()
        bf16 = bool(fast_bf16)
    else:
        bf16 = config.precision == "bf16"
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    return Fabric(accelerator=device, devices=1, precision="bf16-mixed" if bf16 else "32-true")


def _cpu_has_bf16() -> bool:
    """Whether this processor multiplies bfloat16 matrices itself (AVX512-BF16 or AMX)."""
    try:
        flags = Path("/proc/cpuinfo").read_text().split()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


class Run:
    """Everything that changes while training, and `update`, which changes it.

    Args:
        trainer: the networks and the formula.
        header: task, trainer and data names for snapshots; progress is taken from it.
        folder: where snapshots go.
    """

    def __init__(self, trainer: Trainer, header: Header, folder: Path):
        self.fabric = make_fabric(trainer.config)
        self.trainer = trainer.to(self.fabric.device).to(memory_format=torch.channels_last)
        self.config = trainer.config
        self.header = header
        self.folder = folder
        self.average = Average(trainer.networks["generator"], self.config.ema_halflife_images)
        self.progress = Progress(
            self.config,
            images_seen=header.images_seen,
            images_before=header.images_seen,
            steps=header.steps,
            seconds_before=header.seconds_used,
        )
        self.parameters = {name: list(network.parameters()) for name, network in trainer.networks.items()}
        self.optimizers = {
            name: torch.optim.Adam(parameters, lr=0.0, betas=(0.5, 0.99), fused=True)
            for name, parameters in self.parameters.items()
        }
        self.losses: dict[str, Tensor] = {}
        """Latest value of each term, on the device, as `network.term`."""
        self.bad_steps_in_a_row = dict.fromkeys(self.parameters, 0)
        self.bad_steps = 0

    def update(self, network: str, terms: Mapping[str, Term]) -> None:
        """Improve `network` by one step on the weighted sum of the terms; skip it when that is not finite."""
        with torch.autocast(self.fabric.device.type, enabled=False):
            total = torch.stack([term.weight * term.value.float() for term in terms.values()]).sum()
            if not torch.isfinite(total):
                self._count_bad_step(network)
                return
            for name, term in terms.items():
                self.losses[f"{network}.{name}"] = term.value.detach().float()
            self.bad_steps_in_a_row[network] = 0
            optimizer = self.optimizers[network]
            for group in optimizer.param_groups:
                group["lr"] = self.trainer.learning_rates()[network] * self.progress.lr_factor()
            optimizer.zero_grad()
            # Only this network's parameters: a plain backward would leave stray gradients in the others.
            self.fabric.backward(total, inputs=self.parameters[network])
            optimizer.step()

    def _count_bad_step(self, network: str) -> None:
        self.bad_steps += 1
        self.bad_steps_in_a_row[network] += 1
        if self.bad_steps_in_a_row[network] >= MAX_BAD_STEPS:
            raise DataError(
                f"training broke down: the loss of the {network} was no finite number {MAX_BAD_STEPS} times in a row; "
                "start a new run with lower --generator-lr and --discriminator-lr (the last snapshot is intact)"
            )

    def advance(self, images: int) -> None:
        """Count a finished step and move the average."""
        self.progress.images_seen += images
        self.progress.steps += 1
        self.average.update(self.trainer.networks["generator"], images, self.progress.images_seen)

    @property
    def snapshot_path(self) -> Path:
        """Where the run is saved."""
        return self.folder / FILE_NAME

    def save(self) -> None:
        """Write the snapshot, whole or not at all.

        Raises:
            DataError: weights are no finite numbers; the previous snapshot is untouched.
            SnapshotError: the file system refuses; the previous snapshot is untouched.
        """
        progress, tensors = self.progress, self._tensors()
        if not all(tensor.isfinite().all() for tensor in tensors.values()):
            raise DataError(
                "training broke down: some weights are no finite numbers; "
                "start a new run with lower --generator-lr and --discriminator-lr (the last snapshot is intact)"
            )
        header = dataclasses.replace(
            self.header,
            images_seen=progress.images_seen,
            steps=progress.steps,
            seconds_used=progress.seconds_used,
            spec=dataclasses.asdict(self.trainer.spec),
        )
        write_snapshot(self.snapshot_path, header, tensors)

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {f"networks/{name}": tensor for name, tensor in _states(self.trainer.networks)}
        tensors |= {f"average/{name}": tensor for name, tensor in _states({"generator": self.average.network})}
        for name, optimizer in self.optimizers.items():
            for number, slots in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizers/{name}/{number}/{slot}": tensor for slot, tensor in slots.items()}
        tensors["rng/cpu"] = torch.get_rng_state()
        if self.fabric.device.type == "cuda":
            tensors["rng/cuda"] = torch.cuda.get_rng_state(self.fabric.device)
        return tensors

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Continue from what `save` wrote.

        Raises:
            SnapshotError: the tensors do not fit the networks.
        """
        for name, network in self.trainer.networks.items():
            load_state(network, f"networks/{name}", tensors)
        load_state(self.average.network, "average/generator", tensors)
        for name, optimizer in self.optimizers.items():
            self._restore_optimizer(optimizer, self.parameters[name], under(f"optimizers/{name}", tensors))
        torch.set_rng_state(tensors["rng/cpu"])
        if self.fabric.device.type == "cuda" and "rng/cuda" in tensors:
            torch.cuda.set_rng_state(tensors["rng/cuda"], self.fabric.device)

    @staticmethod
    def _restore_optimizer(
        optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter], slots: dict[str, Tensor]
    ) -> None:
        state: dict[int, dict[str, Tensor]] = {}
        for name, saved in slots.items():
            number, slot = name.split("/")
            like = parameters[int(number)]
            # Moments must lie in memory like their parameter, or the fused step pairs the wrong elements.
            tensor = saved if slot == "step" else torch.empty_like(like, dtype=saved.dtype).copy_(saved)
            state.setdefault(int(number), {})[slot] = tensor.detach()
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _states(networks: dict[str, nn.Module]) -> list[tuple[str, Tensor]]:
    return [
        (f"{name}/{key}", tensor) for name, network in networks.items() for key, tensor in network.state_dict().items()
    ]
