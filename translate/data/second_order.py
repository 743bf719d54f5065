"""Second-order degradation: two rounds of blur, resizing, noise and compression, as in files in the wild.

Wang, Xie, Dong and Shan, "Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure Synthetic Data", 2021,
section 3, with the ranges of the authors' code, without the plateau-shaped blur kernels.

Shape suffixes: B batch, C channels, H height, W width, K side of a kernel.
"""

from math import cos, pi, sin
from typing import NamedTuple

import torch
from kornia.enhance import jpeg_codec_differentiable
from torch import Generator, Tensor
from torch.nn import functional as F

from translate.networks.pixels import pixels_to_signal, signal_to_pixels

KERNELS = tuple(range(7, 22, 2))
"""Sizes of the blur kernels, in pixels."""

QUALITY = (30.0, 95.0)
"""Minimum and maximum JPEG quality."""


class Stage(NamedTuple):
    """Parameters of one round; probabilities from 0 to 1."""

    blur: float
    """Probability of a blur."""
    sigma: tuple[float, float]
    """Range of the standard deviation of the blur along each axis, in pixels."""
    larger: float
    """Probability of upscaling."""
    smaller: float
    """Probability of downscaling; otherwise the size stays."""
    factor: tuple[float, float]
    """Minimum and maximum scale factor."""
    noise: tuple[float, float]
    """Standard deviation of Gaussian noise, in 8-bit levels."""
    grains: tuple[float, float]
    """Strength of Poisson noise, 1 for 256 photons at white."""


FIRST = Stage(1.0, (0.2, 3.0), 0.2, 0.7, (0.15, 1.5), (1.0, 30.0), (0.05, 3.0))
SECOND = Stage(0.8, (0.2, 1.5), 0.3, 0.4, (0.3, 1.2), (1.0, 25.0), (0.05, 2.5))


def degrade_twice(photo_BCHW: Tensor, generator: Generator, scale: int, *, bits: int = 8) -> Tensor:
    """Two rounds of blur, resize, noise and JPEG; the order of the last steps of the second round is random.

    Kinds and strengths are random for each image, independent of the rest of the batch. Does not synchronise with the
    device. Equal seeds give equal results on the same kind of device.

    Args:
        photo_BCHW: float, range [-1, 1], sides divisible by `scale`.
        generator: random generator, on the CPU.
        scale: at least 1.
        bits: 8 or 16, bit depth of the result.

    Returns:
        (B, C, H / scale, W / scale), float32 in [-1, 1], quantised to 2**bits levels. JPEG is applied only if there are
        three channels, which are assumed to be RGB.

    Raises:
        ValueError: a side is not divisible by `scale`.
    """
    height, width = photo_BCHW.shape[-2:]
    if height % scale or width % scale:
        raise ValueError(f"found {height} x {width}, expected sides divisible by {scale}")
    seeds = torch.randint(2**62, (len(photo_BCHW),), generator=generator).tolist()
    generators = [Generator().manual_seed(seed) for seed in seeds]
    # Between the first and the last resize the sizes differ, so images are processed one by one, except by the codec.
    pictures = list(((photo_BCHW + 1.0) / 2.0).split(1))
    pictures = [_round(picture, own, FIRST, (height, width)) for picture, own in zip(pictures, generators, strict=True)]
    pictures = _compressed(pictures, generators)
    size = (height // scale, width // scale)
    pictures = [_round(picture, own, SECOND, size) for picture, own in zip(pictures, generators, strict=True)]
    # Half of the images are resized and sharpened before compression, half after it.
    before = [_uniform(own, 0.0, 1.0) < 0.5 for own in generators]
    for step in (True, False):
        chosen = [number for number, reduced in enumerate(before) if reduced == step]
        for number in chosen:
            pictures[number] = _reduced(pictures[number], generators[number], size) if step else pictures[number]
        compressed = _compressed([pictures[number] for number in chosen], [generators[number] for number in chosen])
        for number, picture in zip(chosen, compressed, strict=True):
            pictures[number] = picture if step else _reduced(picture, generators[number], size)
    return pixels_to_signal(signal_to_pixels(torch.cat(pictures) * 2.0 - 1.0, bits), bits).contiguous()


def _round(picture_1CHW: Tensor, generator: Generator, stage: Stage, size: tuple[int, int]) -> Tensor:
    """Blur, resize to `size` times a random factor, noise; input and output in [0, 1]."""
    picture_1CHW = _maybe_blurred(picture_1CHW, generator, stage)
    picture_1CHW = _resized(picture_1CHW, _drawn_size(size, generator, stage), generator)
    return _noisy(picture_1CHW, generator, stage)


def _reduced(picture_1CHW: Tensor, generator: Generator, size: tuple[int, int]) -> Tensor:
    return _ringing(_resized(picture_1CHW, size, generator), generator)


def _uniform(generator: Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))


def _chosen(generator: Generator, count: int) -> int:
    return int(torch.randint(count, (), generator=generator))


def _maybe_blurred(picture_1CHW: Tensor, generator: Generator, stage: Stage) -> Tensor:
    if _uniform(generator, 0.0, 1.0) >= stage.blur:
        return picture_1CHW
    side = KERNELS[_chosen(generator, len(KERNELS))]
    if _uniform(generator, 0.0, 1.0) < 0.1:
        return _filtered(picture_1CHW, _sinc(side, generator))
    return _filtered(picture_1CHW, _gaussian(side, generator, stage.sigma))


def _gaussian(side: int, generator: Generator, limits: tuple[float, float]) -> Tensor:
    """Kernel (K, K) of sum 1, exp(-(v' S^-1 v / 2)^shape): isotropic or anisotropic, flat-topped or peaked.

    Generalised Gaussian of Liu, Zhang and Bovik; a shape of 1 is the Gaussian.
    """
    first = _uniform(generator, *limits)
    second = _uniform(generator, *limits) if _uniform(generator, 0.0, 1.0) < 0.3 else first
    turn = _uniform(generator, 0.0, pi)
    shape = _uniform(generator, 0.5, 4.0) if _uniform(generator, 0.0, 1.0) < 0.2 else 1.0
    axis_K = torch.arange(side) - side // 2
    along_KK = axis_K[None, :] * cos(turn) + axis_K[:, None] * sin(turn)
    across_KK = axis_K[:, None] * cos(turn) - axis_K[None, :] * sin(turn)
    kernel_KK = torch.exp(-(0.5 * ((along_KK / first) ** 2 + (across_KK / second) ** 2)).pow(shape))
    return kernel_KK / kernel_KK.sum()


def _sinc(side: int, generator: Generator) -> Tensor:
    """Circular low-pass kernel (K, K) of sum 1 with a sharp cut-off, which causes ringing like strong sharpening."""
    cutoff = _uniform(generator, pi / (3 if side < 13 else 5), pi)
    axis_K = torch.arange(side) - side // 2
    radius_KK = (axis_K[:, None] ** 2 + axis_K[None, :] ** 2).double().sqrt()
    kernel_KK = cutoff * torch.special.bessel_j1(cutoff * radius_KK) / (2.0 * pi * radius_KK)
    kernel_KK[side // 2, side // 2] = cutoff**2 / (4.0 * pi)
    return (kernel_KK / kernel_KK.sum()).float()


def _ringing(picture_1CHW: Tensor, generator: Generator) -> Tensor:
    side = KERNELS[_chosen(generator, len(KERNELS))]
    return _filtered(picture_1CHW, _sinc(side, generator)) if _uniform(generator, 0.0, 1.0) < 0.8 else picture_1CHW


def _filtered(picture_1CHW: Tensor, kernel_KK: Tensor) -> Tensor:
    reach = kernel_KK.shape[0] // 2
    padded = F.pad(picture_1CHW, (reach,) * 4, mode="replicate").transpose(0, 1)
    kernel_11KK = kernel_KK[None, None].to(picture_1CHW, non_blocking=True)
    return F.conv2d(padded, kernel_11KK).transpose(0, 1)


def _drawn_size(size: tuple[int, int], generator: Generator, stage: Stage) -> tuple[int, int]:
    """Height and width times a random factor of the stage."""
    kind = _uniform(generator, 0.0, 1.0)
    if kind < stage.larger:
        factor = _uniform(generator, 1.0, stage.factor[1])
    elif kind < stage.larger + stage.smaller:
        factor = _uniform(generator, stage.factor[0], 1.0)
    else:
        factor = 1.0
    return max(int(size[0] * factor), 1), max(int(size[1] * factor), 1)


def _resized(picture_1CHW: Tensor, size: tuple[int, int], generator: Generator) -> Tensor:
    """Area, bilinear or bicubic interpolation, the last two without antialiasing, as in many programs."""
    mode = ("area", "bilinear", "bicubic")[_chosen(generator, 3)]
    return F.interpolate(picture_1CHW, size, mode=mode, align_corners=None if mode == "area" else False)


def _noisy(picture_1CHW: Tensor, generator: Generator, stage: Stage) -> Tensor:
    """Add Gaussian or Poisson noise, per channel or grey, and clamp to [0, 1] as a sensor does."""
    picture_1CHW = picture_1CHW.clamp(0.0, 1.0)
    gaussian, grey = _uniform(generator, 0.0, 1.0) < 0.5, _uniform(generator, 0.0, 1.0) < 0.4
    seen = picture_1CHW.mean(dim=1, keepdim=True) if grey else picture_1CHW
    # One number per pixel is too much to transfer without synchronising, so the device draws them itself.
    there = Generator(seen.device).manual_seed(int(torch.randint(2**62, (), generator=generator)))
    if gaussian:
        sigma = _uniform(generator, *stage.noise) / 255.0
        noise = torch.randn(seen.shape, generator=there, device=seen.device) * sigma
    else:
        noise = (torch.poisson(seen * 256.0, generator=there) / 256.0 - seen) * _uniform(generator, *stage.grains)
    return (picture_1CHW + noise).clamp(0.0, 1.0)


def _compressed(pictures: list[Tensor], generators: list[Generator]) -> list[Tensor]:
    """JPEG for images (1, 3, H, W) in [0, 1] of any sizes, in one batch, because the codec has many small steps."""
    # The codec reads the qualities before it moves them to the device: left on the CPU, this does not synchronise.
    quality_B = torch.tensor([_uniform(generator, *QUALITY) for generator in generators])
    if not pictures or pictures[0].shape[1] != 3:
        return pictures
    # At least one block of margin for every image, so that the result does not depend on the sizes of the others.
    height, width = (16 + max(picture.shape[side] for picture in pictures) for side in (2, 3))
    padded_B3HW = torch.cat([_padded(picture.clamp(0.0, 1.0), height, width) for picture in pictures])
    coded_B3HW = jpeg_codec_differentiable(padded_B3HW, quality_B)
    coded = zip(coded_B3HW.split(1), pictures, strict=True)
    return [coded_13HW[..., : picture.shape[2], : picture.shape[3]] for coded_13HW, picture in coded]


def _padded(picture_1CHW: Tensor, height: int, width: int) -> Tensor:
    return F.pad(picture_1CHW, (0, width - picture_1CHW.shape[3], 0, height - picture_1CHW.shape[2]), mode="replicate")
