"""Snapshots of a run: one safetensors file with all tensors, and everything else as JSON in its header.

Names of the tensors:

    trainer/<state dict key>                    networks and other state of the trainer
    average/<network>/<state dict key>          exponential moving averages of the generators
    optimizers/<player>/<parameter>/<slot>      Adam's moments and step count

There is no random state: the random numbers of every step are determined by the seed and the number of images seen.
"""

import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, cast, get_origin

import safetensors
import safetensors.torch
from torch import Tensor, nn

from translate.errors import SnapshotError
from translate.files import atomic_path

FORMAT = 2
"""Version of the layout above, increased when an old reader would misread a new file."""

HEADER_KEY = "translate.run"

FILE_NAME = "snapshot.safetensors"

BEST_NAME = "best.safetensors"
"""The EMAs only, at the best validation so far; for export, not for resuming."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """The contents of a snapshot apart from tensors."""

    task: str
    trainer: str
    """`module:Class`."""
    config: dict[str, Any]
    data: str
    """Folder of training images."""
    validation: str = ""
    """Folder of validation images; empty if some of `data` are held out."""
    files: str = ""
    """Digest of the names of all files, training and held-out ones separately."""
    split: str = ""
    """How pictures are held out: `content`, `none`, or empty for runs from before, of which each k-th is."""
    images_seen: int
    steps: int
    seconds_used: float
    """Of the budget, over all resumes."""
    best: dict[str, Any] = field(default_factory=dict[str, Any])
    """`metric`, `value`, `images` and `since` (validations without improvement)."""
    spec: dict[str, Any] = field(default_factory=dict[str, Any])
    """The `ModelSpec` of the model in training, for readers without our code."""


def write_snapshot(path: Path, header: Header, tensors: dict[str, Tensor]) -> None:
    """Write a snapshot atomically.

    Raises:
        SnapshotError: the file cannot be written; the previous snapshot is intact.
    """
    text = json.dumps({"format": FORMAT, **header.__dict__})
    # Convolution weights in channels_last are dense but not contiguous, which safetensors does not support.
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        with atomic_path(path) as temporary:
            safetensors.torch.save_file(plain, temporary, metadata={HEADER_KEY: text})
            temporary.chmod(0o644)  # the library creates files that only their owner can read
    except (OSError, safetensors.SafetensorError) as error:
        raise SnapshotError(
            f"cannot write {path}: {error}; free some disk space, or check the write permissions"
        ) from None


def read_header(path: Path) -> Header:
    """Read only the JSON header.

    Raises:
        SnapshotError: missing, damaged, or of another version.
    """
    if path.parent.is_file():
        raise SnapshotError(f"{path.parent} is a file, not a run; give the --out folder of a run that has started")
    if not path.is_file():
        raise SnapshotError(f"{path.parent} has no {FILE_NAME}; give the --out folder of a run that has started")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(HEADER_KEY)
    except (OSError, safetensors.SafetensorError) as error:
        raise SnapshotError(f"{path} is damaged ({error}); start the run again") from None
    if text is None:
        raise SnapshotError(f"{path} was not written by translate; give the --out folder of a run")
    try:
        found = json.loads(text)
        version = found.pop("format")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise SnapshotError(f"{path} is damaged (its {HEADER_KEY} cannot be read); start the run again") from None
    if version != FORMAT:
        raise SnapshotError(
            f"{path} has format {version!r}, but this version reads format {FORMAT}; use the version that wrote it"
        )
    try:
        header = Header(**found)
    except TypeError as error:
        raise SnapshotError(f"{path} is damaged ({error}); start the run again") from None
    for one in fields(header):
        kind = get_origin(one.type) or one.type
        value = getattr(header, one.name)
        if not isinstance(value, (int, float) if kind is float else cast(type, kind)) or isinstance(value, bool):
            raise SnapshotError(f"{path} is damaged ({one.name} is {value!r}); start the run again")
    return header


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read all tensors, to the CPU. Call `read_header` first, which reports problems with the file."""
    return safetensors.torch.load_file(path)


def under(prefix: str, tensors: dict[str, Tensor], mark: str = "/") -> dict[str, Tensor]:
    """The tensors whose name starts with `prefix` and the mark, with both removed from the name."""
    start = prefix + mark
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}


def take_over(
    network: nn.Module, name: str, folder: Path, tensors: dict[str, Tensor], *, other_scale: bool = False
) -> list[str] | None:
    """Load the weights of another run into `network`, its EMA if it has one; missing weights are left unchanged.

    Args:
        network: the network of the new run.
        name: of the network in its trainer.
        folder: of the other run, for messages.
        tensors: of the other run's snapshot.
        other_scale: that run has another upscaling factor: layers whose shape depends on it are not loaded.

    Returns:
        Names of the weights that were not loaded, or None if the other run has none of this network.

    Raises:
        SnapshotError: its weights have other shapes, or there are more of them.
    """
    found = {**under(f"trainer/{name}", tensors, "."), **under(f"average/{name}", tensors)}
    state = network.state_dict()
    if other_scale:
        found = {key: value for key, value in found.items() if key in state and state[key].shape == value.shape}
    advice = "use the same widths, blocks, channels, labels, styles and scale (and the same size for classic-unet)"
    for key in sorted(found):
        shape = tuple(state[key].shape) if key in state else "none"
        if shape != tuple(found[key].shape):
            raise SnapshotError(
                f"--start-from {folder}: its {name}.{key} has shape {tuple(found[key].shape)}, expected {shape}; "
                f"{advice}"
            )
    network.load_state_dict(found, strict=False)
    return [f"{name}.{key}" for key in state if key not in found] if found else None


def load_state(module: nn.Module, prefix: str, tensors: dict[str, Tensor]) -> None:
    """Load the tensors with the given prefix into `module`.

    Raises:
        SnapshotError: names or shapes do not fit the module.
    """
    try:
        module.load_state_dict(under(prefix, tensors))
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise SnapshotError(
            f"the snapshot does not fit this version's {prefix}: {reason}; "
            "use the version that wrote it, or start the run again"
        ) from None
