"""Makes low-resolution images from photos on the fly, for training super-resolution.

They must look like real files: downscaled as by common programs, quantised, and, if wanted, with blur from a lens,
noise from a sensor and JPEG compression.

Shape suffixes: B batch, C channels, H height, W width.
"""

import torch
from kornia.enhance import jpeg_codec_differentiable
from kornia.filters import gaussian_blur2d
from torch import Generator, Tensor
from torch.nn import functional as F

from translate.networks.pixels import pixels_to_signal, signal_to_pixels

BLUR = (0.2, 2.0)
"""Minimum and maximum standard deviation of the blur, in pixels of the photo."""

NOISE = (1.0, 20.0)
"""Minimum and maximum standard deviation of the noise, in 8-bit levels."""

QUALITY = (30.0, 95.0)
"""Minimum and maximum JPEG quality."""


def reduce_bicubic(photo_BCHW: Tensor, scale: int, *, bits: int = 8) -> Tensor:
    """Downscale by `scale` with antialiased bicubic interpolation, like Pillow's BICUBIC.

    Within one level of Pillow, except for hard edges at black or white, where Pillow clips between its two passes and
    may be a few levels off the exact result, which this returns.

    Args:
        photo_BCHW: float, range [-1, 1], sides divisible by `scale`.
        scale: at least 1.
        bits: 8 or 16, bit depth of the result.

    Returns:
        (B, C, H / scale, W / scale), float32 in [-1, 1], quantised to 2**bits levels.

    Raises:
        ValueError: a side is not divisible by `scale`, so photo and result would not be aligned.
    """
    height, width = photo_BCHW.shape[-2:]
    if height % scale or width % scale:
        raise ValueError(f"found {height} x {width}, expected sides divisible by {scale}")
    size = (height // scale, width // scale)
    return _levels(F.interpolate(photo_BCHW, size, mode="bicubic", align_corners=False, antialias=True), bits)


def degrade(
    photo_BCHW: Tensor,
    generator: Generator,
    scale: int,
    blur: float = 0.0,
    noise: float = 0.0,
    jpeg: float = 0.0,
    *,
    bits: int = 8,
) -> Tensor:
    """Blur, downscale with `reduce_bicubic`, add noise, compress: in this order, with random strengths for each image.

    Batched and without synchronising with the device. Equal seeds give equal results on the same kind of device. With
    all three probabilities 0 it equals `reduce_bicubic`.

    Args:
        photo_BCHW: float, range [-1, 1], sides divisible by `scale`.
        generator: random generator, on the CPU.
        scale: at least 1.
        blur: probability of Gaussian blur before downscaling, with a strength within `BLUR`.
        noise: probability of Gaussian noise after downscaling, with a strength within `NOISE`.
        jpeg: probability of JPEG compression after downscaling, with a quality within `QUALITY`. No effect unless there
            are three channels, which are assumed to be RGB.
        bits: as for `reduce_bicubic`.

    Returns:
        (B, C, H / scale, W / scale), float32 in [-1, 1], quantised to 2**bits levels.

    Raises:
        ValueError: a side is not divisible by `scale`.
    """
    if blur > 0.0:
        photo_BCHW = _where(blur, generator, _blurred(photo_BCHW, generator), photo_BCHW)
    small_BCHW = reduce_bicubic(photo_BCHW, scale, bits=bits)
    if noise > 0.0:
        small_BCHW = _where(noise, generator, _noisy(small_BCHW, generator), small_BCHW)
    if jpeg > 0.0 and small_BCHW.shape[1] == 3:
        small_BCHW = _where(jpeg, generator, _compressed(small_BCHW, generator), small_BCHW)
    return _levels(small_BCHW, bits)


def _levels(signal_BCHW: Tensor, bits: int) -> Tensor:
    """Clamp and quantise to this many bits."""
    return pixels_to_signal(signal_to_pixels(signal_BCHW, bits), bits).contiguous()


def _uniform(batch: int, generator: Generator, limits: tuple[float, float]) -> Tensor:
    """One number per image, (B,) on the CPU, uniform in the limits."""
    low, high = limits
    return torch.rand(batch, generator=generator) * (high - low) + low


def _where(probability: float, generator: Generator, changed_BCHW: Tensor, plain_BCHW: Tensor) -> Tensor:
    """Take each image from `changed_BCHW` with the given probability, otherwise from `plain_BCHW`."""
    chosen_B = _uniform(plain_BCHW.shape[0], generator, (0.0, 1.0)) < probability
    return torch.where(chosen_B.to(plain_BCHW.device, non_blocking=True).view(-1, 1, 1, 1), changed_BCHW, plain_BCHW)


def _blurred(photo_BCHW: Tensor, generator: Generator) -> Tensor:
    # The blur reads its strengths before it moves them to the device: left on the CPU, this does not synchronise.
    sigma_B = _uniform(photo_BCHW.shape[0], generator, BLUR)
    # 13 pixels cover three standard deviations of the strongest blur on either side.
    return gaussian_blur2d(photo_BCHW, 13, sigma_B.view(-1, 1).expand(-1, 2), border_type="replicate")


def _noisy(small_BCHW: Tensor, generator: Generator) -> Tensor:
    # The signal range [-1, 1] corresponds to 255 levels.
    sigma_B = _uniform(small_BCHW.shape[0], generator, NOISE).to(small_BCHW, non_blocking=True) * (2.0 / 255.0)
    # One number per pixel is too much to transfer without synchronising, so the device draws them itself.
    there = Generator(small_BCHW.device).manual_seed(int(torch.randint(2**62, (), generator=generator)))
    noise_BCHW = torch.randn(small_BCHW.shape, generator=there, device=small_BCHW.device)
    return small_BCHW + sigma_B.view(-1, 1, 1, 1) * noise_BCHW


def _compressed(small_B3HW: Tensor, generator: Generator) -> Tensor:
    quality_B = _uniform(small_B3HW.shape[0], generator, QUALITY)
    unit_B3HW = (small_B3HW.clamp(-1.0, 1.0) + 1.0) / 2.0
    # The codec reads the qualities before it moves them to the device: left on the CPU, this does not synchronise.
    return jpeg_codec_differentiable(unit_B3HW, quality_B) * 2.0 - 1.0
