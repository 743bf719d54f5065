"""Finds the network that a state dict belongs to, from nothing but the names and shapes of its tensors."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from export.foreign.community import community_of
from export.foreign.norms import Statistics
from export.foreign.resnet import ResNet, resnet_of
from export.foreign.unet import UNet, unet_of
from translate.errors import ModelError

SHOWN = 3
"""How many of the nearest networks are named when none fits."""

_USUAL: Mapping[str, Callable[[], nn.Module]] = {
    "U-Net 256 of pix2pix": lambda: _usual_unet(8),
    "U-Net 128 of pix2pix": lambda: _usual_unet(7),
    "ResNet-9 of CycleGAN": lambda: _usual_resnet(2, 9),
    "ResNet-6 of CycleGAN": lambda: _usual_resnet(2, 6),
    "ResNet-9 of CUT": lambda: _usual_resnet(2, 9, blur=True),
    "global generator of pix2pixHD": lambda: _usual_resnet(4, 9),
}


@dataclass(frozen=True)
class Recognised:
    """A generator with its weights."""

    generator: Any
    """`nn.Module` with the interface described in `translate.networks`, and also `in_channels`, `out_channels`,
    `min_size` and `working_size`, as in `ModelSpec`, and `title`, what it is for people, such as `U-Net, 8 levels,
    width 64, instance normalisation`."""
    task: str
    """The task that such networks are usually trained for."""


def recognise(state: Mapping[str, Tensor], path: Path, statistics: Statistics = "picture") -> Recognised:
    """The network of `state`, with its weights, in float32 and in evaluation mode.

    Args:
        state: the result of `read_state`.
        path: its file, for messages.
        statistics: for batch normalisation.

    Raises:
        ModelError: no network has these weights; the message names the nearest ones and the first difference. Or some
            are NaN or infinite.
    """
    with torch.device("meta"):
        guesses = [guess for guess in (unet_of(state, statistics), resnet_of(state, statistics)) if guess]
        guess = next((guess for guess in guesses if not _differences(guess, state)), None)
    if guess is not None:
        guess.load_state_dict(dict(state), assign=True)
        _refuse_broken(guess, path)
        return Recognised(guess.eval(), "pix2pix" if isinstance(guess, UNet) else "cyclegan")
    # Names that begin like those of the classic code: spandrel would not know them either.
    found = None if guesses else community_of(state, path)
    if found is not None:
        _refuse_broken(found, path)
        return Recognised(found.eval(), "super-resolution" if found.scale > 1 else "pix2pix")
    with torch.device("meta"):
        near = {f"{guess.title}, as the file looks": guess for guess in guesses}
        raise ModelError(_nearest(near | {name: usual() for name, usual in _USUAL.items()}, state, path))


def _usual_unet(levels: int) -> UNet:
    widths = [min(64 * 2**level, 512) for level in range(levels)]
    return UNet(3, 3, widths, norm="batch", bias=False, statistics="picture")


def _usual_resnet(steps: int, blocks: int, *, blur: bool = False) -> ResNet:
    return ResNet(
        3, 3, 64, steps, blocks,
        blur_down=blur, blur_up=blur, norm="instance", bias=True, dropout=False, statistics="picture",
    )  # fmt: skip


def _refuse_broken(network: nn.Module, path: Path) -> None:
    """Refuse weights that are NaN or infinite: the file would do the same as the network, and be of no use."""
    for name, weight in network.named_parameters():
        if not weight.isfinite().all():
            raise ModelError(
                f"{path}: {name} has values that are not numbers (NaN or infinity), as after a training that has "
                "diverged; take an earlier checkpoint"
            )


def _differences(network: nn.Module, state: Mapping[str, Tensor]) -> list[str]:
    """What `state` lacks, has too much or in another shape or type, each as a few words."""
    wanted = network.state_dict()
    there = {name: (tensor, state[name]) for name, tensor in wanted.items() if name in state}
    return [
        # Batches were not counted before PyTorch 0.4.1, and the count is never used.
        *(f"{name} is missing" for name in wanted if name not in state and not name.endswith(".num_batches_tracked")),
        *(
            f"{name} is {tuple(other.shape)} instead of {tuple(tensor.shape)}"
            for name, (tensor, other) in there.items()
            if tensor.shape != other.shape
        ),
        *(
            f"{name} is {other.dtype} instead of {tensor.dtype}"
            for name, (tensor, other) in there.items()
            if tensor.is_floating_point() != other.is_floating_point()
        ),
        *(f"{name} is one too many" for name in state if name not in wanted),
    ]


def _nearest(networks: Mapping[str, nn.Module], state: Mapping[str, Tensor], path: Path) -> str:
    """The message when nothing fits."""
    differences = {name: _differences(network, state) for name, network in networks.items()}
    closest = sorted(differences.items(), key=lambda item: len(item[1]))[:SHOWN]
    words = "; ".join(f"{name} (differences: {len(found)}, first: {found[0]})" for name, found in closest)
    return f"{path} fits no network known here; nearest: {words}"
