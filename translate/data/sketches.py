"""Line drawings made from photographs on the fly, for training without any drawing at hand.

One edge detector with one setting teaches a network one kind of line; drawn by hand or by another detector,
the same shoe comes out blank. So everything about the line varies from picture to picture: how much detail
is drawn, how thick, how dark, how steady, and what is left out.

Shape suffixes: B batch, H height, W width.
"""

from math import pi

import torch
from kornia.filters import gaussian_blur2d
from kornia.morphology import dilation
from torch import Generator, Tensor
from torch.nn import functional as F

_AROUND = ((0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1))
"""(down, across) in eight directions, in steps of 45 degrees from right towards down."""


def draw_sketches(photo_B3HW: Tensor, generator: Generator) -> Tensor:
    """Draw each photograph as dark lines on white paper.

    Every picture gets its own smoothing, threshold, stroke width, wobble, gaps and ink, all drawn from
    `generator`, so equal seeds give equal drawings. Works in one batch without waiting for the device.

    Args:
        photo_B3HW: float, range [-1, 1].
        generator: source of randomness, on the CPU.

    Returns:
        sketch_B3HW: float, range [-1, 1], three equal channels; 1 is paper.
    """
    lines_B1HW = _wobble(_edges(photo_B3HW, generator), generator)
    lines_B1HW = _leave_out(lines_B1HW, generator)
    lines_B1HW = _pen(lines_B1HW, generator)
    ink_B111 = _uniform(photo_B3HW, generator, 0.0, 0.5)
    # Half of all drawings are pure black: what pens, scanners and edge detectors make.
    ink_B111 = ink_B111 * _chance(photo_B3HW, generator, 0.5)
    paper_B1HW = 1.0 - 2.0 * lines_B1HW * (1.0 - ink_B111)
    return paper_B1HW.expand(-1, 3, -1, -1).contiguous()


def _uniform(like_BCHW: Tensor, generator: Generator, low: float, high: float) -> Tensor:
    """One number per picture, (B, 1, 1, 1), uniform in [low, high)."""
    return _draw(like_BCHW.shape[0], generator, low, high).to(like_BCHW, non_blocking=True)


def _draw(batch: int, generator: Generator, low: float, high: float) -> Tensor:
    """As `_uniform`, left on the CPU."""
    return torch.rand(batch, 1, 1, 1, generator=generator) * (high - low) + low


def _chance(like_BCHW: Tensor, generator: Generator, probability: float) -> Tensor:
    """One 0 or 1 per picture, (B, 1, 1, 1); 1 with the given probability."""
    return (_uniform(like_BCHW, generator, 0.0, 1.0) < probability).to(like_BCHW.dtype)


def _noise(like_BCHW: Tensor, channels: int, cells: int, generator: Generator) -> Tensor:
    """Smooth noise (B, channels, H, W), standard normal at `cells` x `cells` points and bicubic between."""
    coarse = torch.randn(like_BCHW.shape[0], channels, cells, cells, generator=generator)
    coarse = coarse.to(like_BCHW, non_blocking=True)
    return F.interpolate(coarse, like_BCHW.shape[-2:], mode="bicubic", align_corners=False)


def _edges(photo_B3HW: Tensor, generator: Generator) -> Tensor:
    """Thin edges, 0 or 1, (B, 1, H, W): Canny's ridges above a threshold of the picture's own strongest edges."""
    # Each channel mixture sees other edges: a red logo on blue vanishes in plain grey.
    batch = photo_B3HW.shape[0]
    mix_B311 = torch.rand(batch, 3, 1, 1, generator=generator).to(photo_B3HW, non_blocking=True) + 0.2
    grey_B1HW = (photo_B3HW * mix_B311).sum(dim=1, keepdim=True) / mix_B311.sum(dim=1, keepdim=True)
    # The blur looks at its strengths before it moves them: left on the CPU, that does not wait for the device.
    sigma_B111 = torch.exp(_draw(batch, generator, -0.4, 1.35))  # 0.7 to 3.9 pixels
    smooth_B1HW = gaussian_blur2d(grey_B1HW, 17, sigma_B111.view(-1, 1).expand(-1, 2), border_type="replicate")
    # Without hysteresis Canny needs no loop over the data; it leaves gaps in lines, as drawings have them.
    ridges_B1HW = _ridges(gaussian_blur2d(smooth_B1HW, 3, (0.5, 0.5)))
    strongest_B111 = ridges_B1HW.flatten(1).quantile(0.995, dim=1).view(-1, 1, 1, 1)
    # Squaring the draw makes detailed drawings and sparse ones about equally frequent.
    share_B111 = 0.06 + 0.6 * _uniform(photo_B3HW, generator, 0.0, 1.0).square()
    # The floor keeps the noise of flat paper from becoming lines.
    return (ridges_B1HW > (share_B111 * strongest_B111).clamp_min(0.02)).to(photo_B3HW.dtype)


def _ridges(grey_B1HW: Tensor) -> Tensor:
    """Length of the gradient where no neighbour along it has a longer one, else 0, (B, 1, H, W).

    As kornia's `canny` has it, which waits for the device to bring its Sobel kernel there.
    """
    height, width = grey_B1HW.shape[-2:]
    sobel_33 = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
    sobel_2133 = torch.stack([sobel_33, sobel_33.T])[:, None].to(grey_B1HW, non_blocking=True)
    gradient_B2HW = F.conv2d(F.pad(grey_B1HW, (1, 1, 1, 1), mode="replicate"), sobel_2133)
    across_B1HW, down_B1HW = gradient_B2HW.split(1, dim=1)
    length = (F.pad(across_B1HW * across_B1HW + down_B1HW * down_B1HW, (1, 1, 1, 1)) + 1e-6).sqrt()
    length_B1HW = length[..., 1:-1, 1:-1]
    around_B8HW = torch.cat([length[..., 1 + y : 1 + y + height, 1 + x : 1 + x + width] for y, x in _AROUND], dim=1)
    towards_B1HW = (torch.atan2(down_B1HW, across_B1HW) * (4 / pi)).round().long() % 8
    ridge_B1HW = length_B1HW > length[..., :1, :1]  # the padding is flat
    for direction_B1HW in (towards_B1HW, (towards_B1HW + 4) % 8):
        neighbour_B1HW = around_B8HW.gather(1, direction_B1HW)
        # Of two equal pixels across a step one remains: the left or the upper.
        bears_B1HW = (direction_B1HW == 0) | (direction_B1HW == 2)
        ridge_B1HW &= (length_B1HW > neighbour_B1HW) | (bears_B1HW & (length_B1HW == neighbour_B1HW))
    return length_B1HW * ridge_B1HW


def _wobble(lines_B1HW: Tensor, generator: Generator) -> Tensor:
    """Bend the lines by up to a few pixels, as an unsteady hand does."""
    height, width = lines_B1HW.shape[-2:]
    amount_B111 = _uniform(lines_B1HW, generator, 0.0, 1.6) * _chance(lines_B1HW, generator, 0.6)
    x_BHW, y_BHW = (_noise(lines_B1HW, 2, 9, generator) * amount_B111).unbind(dim=1)
    shift_BHW2 = torch.stack([x_BHW * (2.0 / width), y_BHW * (2.0 / height)], dim=3)
    straight_23 = torch.eye(2, 3, dtype=lines_B1HW.dtype, device=lines_B1HW.device)
    straight_B23 = straight_23.expand(lines_B1HW.shape[0], -1, -1)
    grid_BHW2 = F.affine_grid(straight_B23, list(lines_B1HW.shape), align_corners=False)
    # Nearest keeps thin lines whole; bilinear would fade them by the luck of half-pixel shifts.
    return F.grid_sample(lines_B1HW, grid_BHW2 + shift_BHW2, mode="nearest", align_corners=False)


def _leave_out(lines_B1HW: Tensor, generator: Generator) -> Tensor:
    """Erase parts of the lines, from nothing to about a third."""
    limit_B111 = _uniform(lines_B1HW, generator, 0.4, 2.5)
    keep_B1HW = _noise(lines_B1HW, 1, 12, generator) < limit_B111
    return lines_B1HW * keep_B1HW


def _pen(lines_B1HW: Tensor, generator: Generator) -> Tensor:
    """Draw the thin lines with pens of 1 to 5 pixels, crisp or soft."""
    chosen_B111 = _uniform(lines_B1HW, generator, 0.0, 1.0)
    # A thick pen over fine detail makes a black blot, so only sparse drawings are given one.
    sparse_B111 = lines_B1HW.mean(dim=(1, 2, 3), keepdim=True) < 0.05
    drawn_B1HW = lines_B1HW
    for number, (size, reach) in enumerate(((3, 1), (3, 2), (5, 3))):
        # Footprint of the pen tip: the pixels within `reach` steps of its middle.
        axis = torch.arange(size, device=lines_B1HW.device) - size // 2
        tip = ((axis[:, None].abs() + axis[None, :].abs()) <= reach).to(lines_B1HW.dtype)
        thick_B1HW = dilation(lines_B1HW, tip, border_type="geodesic")
        # Half of the drawings keep the one-pixel line, the rest share the three thicker pens.
        drawn_B1HW = torch.where((chosen_B111 > 0.5 + number / 6) & sparse_B111, thick_B1HW, drawn_B1HW)
    soft_B1HW = gaussian_blur2d(drawn_B1HW, 5, (0.7, 0.7), border_type="replicate")
    # A soft one-pixel line would be faint everywhere; give back the ink that the blur spread.
    soft_B1HW = (1.6 * soft_B1HW).clamp(max=1.0)
    return torch.where(_chance(lines_B1HW, generator, 0.4) > 0, soft_B1HW, drawn_B1HW)
