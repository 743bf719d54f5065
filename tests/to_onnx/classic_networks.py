"""Generators written from the layouts of the classic code base, with its names of weights."""

from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Norm = Any
BATCH, INSTANCE = nn.BatchNorm2d, partial(nn.InstanceNorm2d, affine=False, track_running_stats=False)
NONE = nn.Identity


class TheirLevel(nn.Module):
    def __init__(self, outer: int, inner: int, norm: Norm, deeper: nn.Module | None, given: int | None, made: int = 3):
        super().__init__()
        self.outermost, bias = given is not None, norm is INSTANCE
        down = nn.Conv2d(given or outer, inner, 4, 2, 1, bias=bias)
        if given is not None:
            layers = [down, deeper, nn.ReLU(True), nn.ConvTranspose2d(2 * inner, made, 4, 2, 1), nn.Tanh()]
        elif deeper is None:
            up = nn.ConvTranspose2d(inner, outer, 4, 2, 1, bias=bias)
            layers = [nn.LeakyReLU(0.2, True), down, nn.ReLU(True), up, norm(outer)]
        else:
            up = nn.ConvTranspose2d(2 * inner, outer, 4, 2, 1, bias=bias)
            layers = [nn.LeakyReLU(0.2, True), down, norm(inner), deeper]
            layers += [nn.ReLU(True), up, norm(outer), nn.Dropout(0.5)]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x) if self.outermost else torch.cat([x, self.model(x)], 1)


class TheirUNet(nn.Module):
    def __init__(self, levels: int, width: int, norm: Norm, given: int = 3):
        super().__init__()
        widths = [width * min(8, 2**level) for level in range(levels)]
        level = None
        for outer, inner in reversed(list(pairwise(widths))):
            level = TheirLevel(outer, inner, norm, level, None)
        self.model = TheirLevel(3, width, norm, level, given)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class TheirBlock(nn.Module):
    def __init__(self, width: int, norm: Norm, bias: bool, dropout: bool):
        super().__init__()
        layers = [nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3, bias=bias), norm(width), nn.ReLU(True)]
        layers += [nn.Dropout(0.5)] if dropout else []
        self.conv_block = nn.Sequential(
            *layers, nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3, bias=bias), norm(width)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)


class TheirDown(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        line = torch.tensor([1.0, 2.0, 1.0])
        self.register_buffer("filt", (torch.outer(line, line) / 16).repeat(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(nn.ReflectionPad2d(1)(x), self.get_buffer("filt"), stride=2, groups=x.shape[1])


class TheirUp(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        line = torch.tensor([1.0, 3.0, 3.0, 1.0])
        self.register_buffer("filt", (torch.outer(line, line) / 16).repeat(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        padded = nn.ReplicationPad2d(1)(x)
        return F.conv_transpose2d(padded, self.get_buffer("filt"), stride=2, padding=2, groups=x.shape[1])[
            :, :, 1:, 1:
        ][:, :, :-1, :-1]


def their_resnet(
    blocks: int,
    width: int,
    norm: Norm,
    *,
    steps: int = 2,
    blur: bool = False,
    dropout: bool = False,
) -> nn.Module:
    bias = norm is INSTANCE
    layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(3, width, 7, bias=bias), norm(width), nn.ReLU(True)]
    for step in range(steps):
        wide = width * 2 ** (step + 1)
        layers += [nn.Conv2d(wide // 2, wide, 3, 1 if blur else 2, 1, bias=bias), norm(wide), nn.ReLU(True)]
        layers += [TheirDown(wide)] if blur else []
    layers += [TheirBlock(width * 2**steps, norm, bias, dropout) for _ in range(blocks)]
    for step in range(steps):
        wide = width * 2 ** (steps - step)
        if blur:
            layers += [TheirUp(wide), nn.Conv2d(wide, wide // 2, 3, 1, 1, bias=bias)]
        else:
            layers.append(nn.ConvTranspose2d(wide, wide // 2, 3, 2, 1, 1, bias=bias))
        layers += [norm(wide // 2), nn.ReLU(True)]
    layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh()]
    network = nn.Module()
    network.model = nn.Sequential(*layers)
    network.forward = network.model.forward
    return network


NETWORKS = {
    "U-Net 128": lambda: TheirUNet(7, 2, BATCH),
    "U-Net 256": lambda: TheirUNet(8, 2, BATCH),
    "U-Net 512": lambda: TheirUNet(9, 1, BATCH),
    "U-Net 128 of four channels, instance": lambda: TheirUNet(7, 2, INSTANCE, given=4),
    "U-Net 128 without normalisation": lambda: TheirUNet(7, 2, NONE),
    "ResNet-6": lambda: their_resnet(6, 4, INSTANCE),
    "ResNet-6 without normalisation": lambda: their_resnet(6, 4, NONE),
    "ResNet-9": lambda: their_resnet(9, 4, INSTANCE),
    "ResNet-9, batch, dropout": lambda: their_resnet(9, 4, BATCH, dropout=True),
    "CUT": lambda: their_resnet(9, 4, INSTANCE, blur=True),
    "pix2pixHD": lambda: their_resnet(9, 2, INSTANCE, steps=4),
}
