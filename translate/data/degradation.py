"""Small pictures made from large ones on the fly, for training super-resolution.

Networks must learn from what files hold: pictures reduced as every program does it, in whole levels, and, if
wanted, blurred by a lens, noisy from a sensor and compressed for the web.

Shape suffixes: B batch, C channels, H height, W width.
"""

import torch
from kornia.enhance import jpeg_codec_differentiable
from kornia.filters import gaussian_blur2d
from torch import Generator, Tensor
from torch.nn import functional as F

from translate.networks.pixels import pixels_to_signal, signal_to_pixels

BLUR = (0.2, 2.0)
"""Least and greatest standard deviation of the blur, in pixels of the large picture."""

NOISE = (1.0, 20.0)
"""Least and greatest standard deviation of the noise, in 8-bit levels."""

QUALITY = (30.0, 95.0)
"""Least and greatest JPEG quality."""


def reduce_bicubic(photo_BCHW: Tensor, scale: int, *, bits: int = 8) -> Tensor:
    """Divide both sides by `scale` with antialiased bicubic interpolation, as Pillow's BICUBIC does.

    Within one level of Pillow, but for harsh edges at black or white: there Pillow clips between its two passes and
    may be a few levels off the exact result, which this is.

    Args:
        photo_BCHW: float, range [-1, 1], sides divisible by `scale`.
        scale: at least 1.
        bits: 8 or 16, of the file that the small picture could come from.

    Returns:
        (B, C, H / scale, W / scale), float32 in [-1, 1], rounded to the 2**bits levels that the file can hold.

    Raises:
        ValueError: a side is not divisible by `scale`; the large and the small picture would not lie on each other.
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
    """Blur, reduce as `reduce_bicubic` does, add noise, compress: each picture its own strengths, in this order.

    Works in one batch without waiting for the device. Equal seeds give equal results on the same kind
    of device. With all three at 0 it is
    `reduce_bicubic`.

    Args:
        photo_BCHW: float, range [-1, 1], sides divisible by `scale`.
        generator: source of randomness, on the CPU.
        scale: at least 1.
        blur: probability of a Gaussian blur of the large picture, its strength within `BLUR`.
        noise: probability of Gaussian noise on the small picture, its strength within `NOISE`.
        jpeg: probability of JPEG compression of the small picture, its quality within `QUALITY`. Without effect unless
            there are three channels, which are taken for red, green and blue.
        bits: as in `reduce_bicubic`.

    Returns:
        (B, C, H / scale, W / scale), float32 in [-1, 1], rounded to the 2**bits levels that a file can hold.

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
    """Clamp and round to what so many bits can hold."""
    return pixels_to_signal(signal_to_pixels(signal_BCHW, bits), bits).contiguous()


def _uniform(batch: int, generator: Generator, limits: tuple[float, float]) -> Tensor:
    """One number per picture, (B,) on the CPU, uniform in the limits."""
    low, high = limits
    return torch.rand(batch, generator=generator) * (high - low) + low


def _where(probability: float, generator: Generator, changed_BCHW: Tensor, plain_BCHW: Tensor) -> Tensor:
    """Take each picture from `changed_BCHW` with the given probability, else from `plain_BCHW`."""
    chosen_B = _uniform(plain_BCHW.shape[0], generator, (0.0, 1.0)) < probability
    return torch.where(chosen_B.to(plain_BCHW.device, non_blocking=True).view(-1, 1, 1, 1), changed_BCHW, plain_BCHW)


def _blurred(photo_BCHW: Tensor, generator: Generator) -> Tensor:
    # The blur looks at its strengths before it moves them: left on the CPU, that does not wait for the device.
    sigma_B = _uniform(photo_BCHW.shape[0], generator, BLUR)
    # 13 pixels reach three standard deviations of the strongest blur to either side.
    return gaussian_blur2d(photo_BCHW, 13, sigma_B.view(-1, 1).expand(-1, 2), border_type="replicate")


def _noisy(small_BCHW: Tensor, generator: Generator) -> Tensor:
    # The signal is 2 wide where a file has 255 levels.
    sigma_B = _uniform(small_BCHW.shape[0], generator, NOISE).to(small_BCHW, non_blocking=True) * (2.0 / 255.0)
    # One number a pixel is too much to bring to the device without waiting, so the device draws them itself.
    there = Generator(small_BCHW.device).manual_seed(int(torch.randint(2**62, (), generator=generator)))
    noise_BCHW = torch.randn(small_BCHW.shape, generator=there, device=small_BCHW.device)
    return small_BCHW + sigma_B.view(-1, 1, 1, 1) * noise_BCHW


def _compressed(small_B3HW: Tensor, generator: Generator) -> Tensor:
    # The codec looks at the qualities before it moves them: left on the CPU, that does not wait for the device.
    quality_B = _uniform(small_B3HW.shape[0], generator, QUALITY)
    unit_B3HW = (small_B3HW.clamp(-1.0, 1.0) + 1.0) / 2.0
    return jpeg_codec_differentiable(unit_B3HW, quality_B) * 2.0 - 1.0
