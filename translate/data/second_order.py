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

from translate.data.degradation import reduce_bicubic
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


def degrade_twice(photo_BCHW: Tensor, generator: Generator, scale: int, *, clean: float = 0.0, bits: int = 8) -> Tensor:
    """Two rounds of blur, resize, noise and JPEG; the order of the last steps of the second round is random.

    Kinds and strengths are random for each image, independent of the rest of the batch. Does not synchronise with the
    device. Equal seeds give equal results on the same kind of device.

    Args:
        photo_BCHW: float, range [-1, 1], sides divisible by `scale`.
        generator: random generator, on the CPU.
        scale: at least 1.
        clean: fraction of the images, chosen at random, that are only reduced, by `reduce_bicubic`.
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
    # Drawn only if there are clean ones, so that without them equal seeds give what they always gave.
    spared = (torch.rand(len(photo_BCHW), generator=generator) < clean).tolist() if clean else [False] * len(seeds)
    # Between the first and the last resize the sizes differ, so images are processed one by one.
    pictures = [
        reduce_bicubic(photo_1CHW, scale, bits=bits)
        if whole
        else pixels_to_signal(signal_to_pixels(_degraded(photo_1CHW, own, scale), bits), bits)
        for photo_1CHW, own, whole in zip(photo_BCHW.split(1), generators, spared, strict=True)
    ]
    return torch.cat(pictures).contiguous()


def _degraded(photo_1CHW: Tensor, generator: Generator, scale: int) -> Tensor:
    """Both rounds for one image; input and output in [-1, 1]."""
    height, width = photo_1CHW.shape[-2:]
    size = (height // scale, width // scale)
    picture_1CHW = _round((photo_1CHW + 1.0) / 2.0, generator, FIRST, (height, width))
    picture_1CHW = _compressed(picture_1CHW, generator)
    picture_1CHW = _round(picture_1CHW, generator, SECOND, size)
    # Half of the images are resized and sharpened before compression, half after it.
    if _uniform(generator, 0.0, 1.0) < 0.5:
        picture_1CHW = _compressed(_reduced(picture_1CHW, generator, size), generator)
    else:
        picture_1CHW = _reduced(_compressed(picture_1CHW, generator), generator, size)
    return picture_1CHW * 2.0 - 1.0


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
    """Filter with a kernel that is equal when turned by 180 degrees, by its Fourier transform.

    That takes the same time for all kernels; with large ones, a convolution takes ten times as long on a CPU.
    """
    reach = kernel_KK.shape[0] // 2
    padded_1CHW = F.pad(picture_1CHW, (reach,) * 4, mode="replicate")
    height, width = padded_1CHW.shape[2:]
    # Sides without large prime factors.
    sides = [-(-side // 16) * 16 for side in (height, width)]
    kernel = torch.fft.rfft2(kernel_KK.to(picture_1CHW, non_blocking=True), sides)
    filtered_1CHW = torch.fft.irfft2(torch.fft.rfft2(padded_1CHW, sides) * kernel, sides)
    return filtered_1CHW[..., 2 * reach : height, 2 * reach : width]


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


def _compressed(picture_1CHW: Tensor, generator: Generator) -> Tensor:
    """JPEG; input and output in [0, 1]."""
    quality = torch.tensor([_uniform(generator, *QUALITY)])
    if picture_1CHW.shape[1] != 3:
        return picture_1CHW
    # The codec reads the quality before it moves it to the device: left on the CPU, this does not synchronise.
    return jpeg_codec_differentiable(picture_1CHW.clamp(0.0, 1.0), quality)
