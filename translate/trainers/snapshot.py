"""A run on disk: one safetensors file with every tensor, and everything else as JSON in its header.

Names of the tensors:

    trainer/<state dict key>                    networks and whatever else a trainer keeps
    average/<network>/<state dict key>          exponential moving averages of the generators
    optimizers/<player>/<parameter>/<slot>      Adam's moments and step count

There is no state of random numbers: those of every step are fixed by the seed and the number of images seen.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor, nn

from translate.errors import SnapshotError
from translate.files import atomic_path

FORMAT = 2
"""Version of the layout above. Raised when an old reader would misunderstand a new file."""

HEADER_KEY = "translate.run"

FILE_NAME = "snapshot.safetensors"

BEST_NAME = "best.safetensors"
"""The averages alone, at the best measurement so far; for export, not for resuming."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a snapshot knows besides tensors."""

    task: str
    trainer: str
    """`module:Class`."""
    config: dict[str, Any]
    data: str
    """Folder of the pictures."""
    validation: str = ""
    """Folder of pictures to measure with; empty when some of `data` are held out."""
    files: str = ""
    """Digest of the names of all pictures, held-out ones apart."""
    images_seen: int
    steps: int
    seconds_used: float
    """Of the budget, over all resumes."""
    best: dict[str, Any] = field(default_factory=dict[str, Any])
    """`metric`, `value`, `images` and `since` (measurements without a better one)."""
    spec: dict[str, Any] = field(default_factory=dict[str, Any])
    """The `ModelSpec` of what is being trained, for readers without our code."""


def write_snapshot(path: Path, header: Header, tensors: dict[str, Tensor]) -> None:
    """Write whole or not at all.

    Raises:
        SnapshotError: the file system refuses; the previous snapshot is untouched.
    """
    text = json.dumps({"format": FORMAT, **header.__dict__})
    # Convolution weights in channels_last are dense but not contiguous, which the format cannot hold.
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        with atomic_path(path) as temporary:
            safetensors.torch.save_file(plain, temporary, metadata={HEADER_KEY: text})
            temporary.chmod(0o644)  # the library makes files that only their owner can read
    except (OSError, safetensors.SafetensorError) as error:
        raise SnapshotError(
            f"cannot write {path}: {error}; make room, or give yourself the right to write there"
        ) from None


def read_header(path: Path) -> Header:
    """Read the JSON part only.

    Raises:
        SnapshotError: missing, damaged, or of another version.
    """
    if not path.is_file():
        raise SnapshotError(f"{path.parent} holds no {FILE_NAME}; name the --out folder of a run that has begun")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(HEADER_KEY)
    except (OSError, safetensors.SafetensorError) as error:
        raise SnapshotError(f"{path} is damaged ({error}); start the run again") from None
    if text is None:
        raise SnapshotError(f"{path} was not written by translate; name the folder given to --out in training")
    try:
        found = json.loads(text)
        version = found.pop("format")
    except (ValueError, KeyError, TypeError, AttributeError):
        raise SnapshotError(f"{path} is damaged (its {HEADER_KEY} cannot be read); start the run again") from None
    if version != FORMAT:
        raise SnapshotError(
            f"{path} has format {version}, this version reads format {FORMAT}; use the version that wrote it"
        )
    try:
        return Header(**found)
    except TypeError as error:
        raise SnapshotError(f"{path} is damaged ({error}); start the run again") from None


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read every tensor, to the CPU. Call `read_header` first, which reports what is wrong with the file."""
    return safetensors.torch.load_file(path)


def under(prefix: str, tensors: dict[str, Tensor], mark: str = "/") -> dict[str, Tensor]:
    """The tensors whose name starts with `prefix` and the mark, without these."""
    start = prefix + mark
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}


def take_over(
    network: nn.Module, name: str, folder: Path, tensors: dict[str, Tensor], *, other_scale: bool = False
) -> list[str] | None:
    """Give `network` what another run has learnt under its name, averaged where it is; the rest stays as it is.

    Args:
        network: the one that begins.
        name: of the network in its trainer.
        folder: of the other run, for messages.
        tensors: of the other run's snapshot.
        other_scale: that run enlarged by another factor: layers whose shape depends on it begin untrained.

    Returns:
        Names of what is not taken from the other run, or None if it has nothing of this network.

    Raises:
        SnapshotError: its weights have other shapes, or there are more of them.
    """
    learnt = {**under(f"trainer/{name}", tensors, "."), **under(f"average/{name}", tensors)}
    state = network.state_dict()
    if other_scale:
        learnt = {key: value for key, value in learnt.items() if key in state and state[key].shape == value.shape}
    advice = "give this run the same widths, blocks, channels, labels, styles and scale (and a classic-unet's size)"
    for key in sorted(learnt):
        shape = tuple(state[key].shape) if key in state else "none"
        if shape != tuple(learnt[key].shape):
            raise SnapshotError(
                f"--start-from {folder}: its {name}.{key} has shape {tuple(learnt[key].shape)}, expected {shape}; "
                f"{advice}"
            )
    network.load_state_dict(learnt, strict=False)
    return [f"{name}.{key}" for key in state if key not in learnt] if learnt else None


def load_state(module: nn.Module, prefix: str, tensors: dict[str, Tensor]) -> None:
    """Fill `module` from the tensors below `prefix`.

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
