"""Line drawings made from photos on the fly, for training without real drawings.

With one edge detector and fixed settings, a network learns a single kind of line and fails on hand drawings and other
detectors. So three methods are mixed, and everything about the lines varies between images: detail, thickness,
darkness, steadiness and gaps.

Shape suffixes: B batch, N some pictures of it, C channels, H height, W width.
"""

from math import pi

import torch
from kornia.filters import gaussian_blur2d
from kornia.morphology import dilation
from torch import Generator, Tensor
from torch.nn import functional as F

_AROUND = ((0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1))
"""(down, across) in eight directions, in steps of 45 degrees from right towards down."""


SHARES = (0.45, 0.15, 0.4)
"""Probabilities of `draw_machine_edges`, `draw_soft_edges` and `draw_freehand`."""

FLAT = 0.03
"""Gradient magnitude up to which it counts as noise of flat areas; a step from white to black has up to 8."""

DRAWN_AT = 256
"""Image side in pixels that the lengths in `draw_soft_edges` and `draw_freehand` refer to; they scale with it."""


def draw_sketches(photo_BCHW: Tensor, generator: Generator) -> Tensor:
    """Draw each photo as dark lines on white, with one of three methods chosen at random by `SHARES`.

    All random numbers come from `generator`, so equal seeds give equal drawings. Does not synchronise with the device.

    Args:
        photo_BCHW: float, range [-1, 1]. The first three channels count, or the first one if there are fewer.
        generator: random generator, on the CPU.

    Returns:
        sketch_B3HW: float, range [-1, 1], three equal channels; 1 is white.
    """
    photo_B3HW = photo_BCHW[:, :3] if photo_BCHW.shape[1] >= 3 else photo_BCHW[:, :1].expand(-1, 3, -1, -1)
    chosen_B = torch.rand(photo_B3HW.shape[0], generator=generator)
    sketch_B3HW = torch.empty_like(photo_B3HW)
    low = 0.0
    for share, draw in zip(SHARES, (draw_machine_edges, draw_soft_edges, draw_freehand), strict=True):
        rows_N = ((chosen_B >= low) & (chosen_B < low + share)).nonzero()[:, 0]
        low += share
        if len(rows_N):
            rows_N = rows_N.to(photo_B3HW.device, non_blocking=True)
            sketch_B3HW[rows_N] = draw(photo_B3HW[rows_N], generator)
    return sketch_B3HW


def draw_machine_edges(photo_B3HW: Tensor, generator: Generator) -> Tensor:
    """Draw the result of an edge detector, with random smoothing, threshold, pen, wobble, gaps and ink for each image.

    Arguments and result as for `draw_sketches`.
    """
    lines_B1HW = _wobble(_edges(photo_B3HW, generator), generator)
    lines_B1HW = _leave_out(lines_B1HW, generator)
    return _ink(_pen(lines_B1HW, generator), generator)


def draw_soft_edges(photo_B3HW: Tensor, generator: Generator) -> Tensor:
    """Draw soft, thick and closed edges, like those of learnt detectors (HED: Xie and Tu, 2015).

    Dark where the gradient magnitude, summed over two scales, is large. Without non-maximum suppression, so lines are
    as wide as the brightness transition. Arguments and result as for `draw_sketches`.
    """
    unit = photo_B3HW.shape[-1] / DRAWN_AT
    grey_B1HW = _grey(photo_B3HW, generator)
    length_B1HW = torch.zeros_like(grey_B1HW)
    for sigma in (1.2 * unit, 2.5 * unit):
        # Each scale is normalised by its own maximum, otherwise the coarse one would hardly count.
        one_B1HW = (_gradient_length(_blur(grey_B1HW, max(sigma, 0.5))) - FLAT).clamp_min(0.0)
        length_B1HW = length_B1HW + one_B1HW / _strongest(one_B1HW) / 2.0
    limit_B111 = _uniform(photo_B3HW, generator, 0.12, 0.45)
    softness_B111 = _uniform(photo_B3HW, generator, 0.02, 0.1)
    # Minus the value of the sigmoid at zero gradient, so that the paper is white.
    paper_B111 = torch.sigmoid(-limit_B111 / softness_B111)
    lines_B1HW = torch.sigmoid((length_B1HW - limit_B111) / softness_B111)
    return _ink(((lines_B1HW - paper_B111) / (1.0 - paper_B111)).clamp_min(0.0), generator)


def draw_freehand(photo_B3HW: Tensor, generator: Generator) -> Tensor:
    """Imitate drawing by hand: the outline and a few inner lines, smooth, distorted, with gaps and double strokes.

    The outline is that of everything not white; images without a white background get inner lines only. Arguments and
    result as for `draw_sketches`.
    """
    unit = photo_B3HW.shape[-1] / DRAWN_AT
    thing_B1HW = ((1.0 - photo_B3HW).amax(dim=1, keepdim=True) > 0.12).to(photo_B3HW.dtype)
    smooth_B1HW = _blur(thing_B1HW, 2.5 * unit)
    outline_B1HW = (_ridges(smooth_B1HW) > 0.3 * _strongest(_gradient_length(smooth_B1HW))).to(photo_B3HW.dtype)
    ridges_B1HW = _ridges(_blur(_grey(photo_B3HW, generator), 3.0 * unit))
    share_B111 = _uniform(photo_B3HW, generator, 0.25, 0.8)
    inside_B1HW = (ridges_B1HW > (share_B111 * _strongest(ridges_B1HW)).clamp_min(0.02)) & (smooth_B1HW > 0.9)
    lines_B1HW = torch.maximum(outline_B1HW, _long(inside_B1HW.to(photo_B3HW.dtype), unit))
    drawn_B1HW = _hand(_stroke(lines_B1HW, unit, generator), 1.0, generator)
    # A few wide gaps.
    drawn_B1HW = drawn_B1HW * (_noise(lines_B1HW, 1, 5, generator) < _uniform(lines_B1HW, generator, 1.0, 4.0))
    # A second, slightly displaced stroke over parts of the first, which gives double lines.
    again_B1HW = _hand(drawn_B1HW, 0.25, generator) * (_noise(lines_B1HW, 1, 5, generator) > 0.6)
    again_B1HW = again_B1HW * _chance(lines_B1HW, generator, 0.5)
    return _ink(torch.maximum(drawn_B1HW, again_B1HW), generator)


def _ink(lines_B1HW: Tensor, generator: Generator) -> Tensor:
    """Render lines from 0 to 1 as ink on white paper, (B, 3, H, W)."""
    ink_B111 = _uniform(lines_B1HW, generator, 0.0, 0.5)
    # Half of the drawings are pure black, as from pens, scanners and edge detectors.
    ink_B111 = ink_B111 * _chance(lines_B1HW, generator, 0.5)
    paper_B1HW = 1.0 - 2.0 * lines_B1HW * (1.0 - ink_B111)
    return paper_B1HW.expand(-1, 3, -1, -1).contiguous()


def _grey(photo_B3HW: Tensor, generator: Generator) -> Tensor:
    """A random mixture of the channels for each image."""
    # Each mixture shows other edges: a red logo on blue vanishes in plain grey.
    mix_B311 = torch.rand(photo_B3HW.shape[0], 3, 1, 1, generator=generator).to(photo_B3HW, non_blocking=True) + 0.2
    return (photo_B3HW * mix_B311).sum(dim=1, keepdim=True) / mix_B311.sum(dim=1, keepdim=True)


def _blur(x_B1HW: Tensor, sigma: float) -> Tensor:
    size = 2 * max(1, round(2.5 * sigma)) + 1
    return gaussian_blur2d(x_B1HW, size, (sigma, sigma), border_type="replicate")


def _strongest(x_B1HW: Tensor) -> Tensor:
    """High quantile, (B, 1, 1, 1), with a lower limit so that noise does not count."""
    return x_B1HW.flatten(1).quantile(0.995, dim=1).view(-1, 1, 1, 1).clamp_min(5.0 * FLAT)


def _long(lines_B1HW: Tensor, unit: float) -> Tensor:
    """Remove short pieces of thin lines, because nobody draws specks."""
    sigma = 4.0 * unit
    # An infinite line, blurred, has the value (2 pi)**-0.5 / sigma at its centre.
    return lines_B1HW * (_blur(lines_B1HW, sigma) > 0.75 * (2.0 * pi) ** -0.5 / sigma)


def _stroke(lines_B1HW: Tensor, unit: float, generator: Generator) -> Tensor:
    """Thicken thin lines to 1 to 4.5 pixels at `DRAWN_AT`, with soft edges, so that they can be warped."""
    width_B111 = _uniform(lines_B1HW, generator, 1.0, 4.5) * unit
    # The line is blurred and thresholded where its profile has the width of the pen.
    sigma = max(1.5 * unit, 0.7)
    near_B1HW = _blur(lines_B1HW, sigma)
    # The profile of a long thin line after blurring is a Gaussian of this height.
    height = (2.0 * pi) ** -0.5 / sigma
    level_B111 = height * torch.exp(-((width_B111 / 2.0) ** 2) / (2.0 * sigma**2))
    return ((near_B1HW - level_B111) / (0.35 * height) + 0.5).clamp(0.0, 1.0)


def _hand(lines_B1HW: Tensor, amount: float, generator: Generator) -> Tensor:
    """Warp the whole drawing smoothly; with `amount` 1 by a few hundredths of the side."""
    batch, _, height, width = lines_B1HW.shape
    numbers_B6 = torch.randn(batch, 6, generator=generator).to(lines_B1HW, non_blocking=True)
    straight_23 = torch.eye(2, 3, dtype=lines_B1HW.dtype, device=lines_B1HW.device)
    affine_B23 = straight_23 + amount * 0.03 * numbers_B6.view(batch, 2, 3)
    grid_BHW2 = F.affine_grid(affine_B23, [batch, 1, height, width], align_corners=False)
    # Low-frequency warps change proportions, small high-frequency ones imitate a trembling hand.
    slow_B2HW, quick_B2HW = _noise(lines_B1HW, 2, 4, generator), _noise(lines_B1HW, 2, 14, generator)
    bend_B2HW = amount * (0.03 * slow_B2HW + 0.004 * quick_B2HW)
    return F.grid_sample(lines_B1HW, grid_BHW2 + bend_B2HW.permute(0, 2, 3, 1), align_corners=False)


def _uniform(like_BCHW: Tensor, generator: Generator, low: float, high: float) -> Tensor:
    """One number per image, (B, 1, 1, 1), uniform in [low, high)."""
    return _draw(like_BCHW.shape[0], generator, low, high).to(like_BCHW, non_blocking=True)


def _draw(batch: int, generator: Generator, low: float, high: float) -> Tensor:
    """Like `_uniform`, but on the CPU."""
    return torch.rand(batch, 1, 1, 1, generator=generator) * (high - low) + low


def _chance(like_BCHW: Tensor, generator: Generator, probability: float) -> Tensor:
    """One 0 or 1 per image, (B, 1, 1, 1); 1 with the given probability."""
    return (_uniform(like_BCHW, generator, 0.0, 1.0) < probability).to(like_BCHW.dtype)


def _noise(like_BCHW: Tensor, channels: int, cells: int, generator: Generator) -> Tensor:
    """Smooth noise (B, channels, H, W): standard normal on a `cells` x `cells` grid, bicubic interpolation."""
    coarse = torch.randn(like_BCHW.shape[0], channels, cells, cells, generator=generator)
    coarse = coarse.to(like_BCHW, non_blocking=True)
    return F.interpolate(coarse, like_BCHW.shape[-2:], mode="bicubic", align_corners=False)


def _edges(photo_B3HW: Tensor, generator: Generator) -> Tensor:
    """Thin edges, 0 or 1, (B, 1, H, W): Canny's ridges above a threshold relative to the strongest edges."""
    grey_B1HW = _grey(photo_B3HW, generator)
    # The blur reads its strengths before it moves them to the device: left on the CPU, this does not synchronise.
    sigma_B111 = torch.exp(_draw(photo_B3HW.shape[0], generator, -0.4, 1.35))  # 0.7 to 3.9 pixels
    smooth_B1HW = gaussian_blur2d(grey_B1HW, 17, sigma_B111.view(-1, 1).expand(-1, 2), border_type="replicate")
    # Without hysteresis Canny needs no loop over the data, and leaves gaps in lines as drawings have.
    ridges_B1HW = _ridges(gaussian_blur2d(smooth_B1HW, 3, (0.5, 0.5)))
    strongest_B111 = ridges_B1HW.flatten(1).quantile(0.995, dim=1).view(-1, 1, 1, 1)
    # Squaring the random number makes detailed and sparse drawings about equally frequent.
    share_B111 = 0.06 + 0.6 * _uniform(photo_B3HW, generator, 0.0, 1.0).square()
    # The minimum keeps noise in flat areas from becoming lines.
    return (ridges_B1HW > (share_B111 * strongest_B111).clamp_min(0.02)).to(photo_B3HW.dtype)


def _gradient(grey_B1HW: Tensor) -> Tensor:
    """Sobel gradient, (B, 2, H, W): horizontal, vertical."""
    sobel_33 = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
    sobel_2133 = torch.stack([sobel_33, sobel_33.T])[:, None].to(grey_B1HW, non_blocking=True)
    return F.conv2d(F.pad(grey_B1HW, (1, 1, 1, 1), mode="replicate"), sobel_2133)


def _gradient_length(grey_B1HW: Tensor) -> Tensor:
    return (_gradient(grey_B1HW).square().sum(dim=1, keepdim=True) + 1e-6).sqrt()


def _ridges(grey_B1HW: Tensor) -> Tensor:
    """Gradient magnitude after non-maximum suppression, (B, 1, H, W).

    Like kornia's `canny`, which however synchronises with the device to move its Sobel kernel there.
    """
    height, width = grey_B1HW.shape[-2:]
    across_B1HW, down_B1HW = _gradient(grey_B1HW).split(1, dim=1)
    length = (F.pad(across_B1HW * across_B1HW + down_B1HW * down_B1HW, (1, 1, 1, 1)) + 1e-6).sqrt()
    length_B1HW = length[..., 1:-1, 1:-1]
    around_B8HW = torch.cat([length[..., 1 + y : 1 + y + height, 1 + x : 1 + x + width] for y, x in _AROUND], dim=1)
    towards_B1HW = (torch.atan2(down_B1HW, across_B1HW) * (4 / pi)).round().long() % 8
    ridge_B1HW = length_B1HW > length[..., :1, :1]  # the padding is flat
    for direction_B1HW in (towards_B1HW, (towards_B1HW + 4) % 8):
        neighbour_B1HW = around_B8HW.gather(1, direction_B1HW)
        # Of two equal pixels across a step, the left or the upper one remains.
        bears_B1HW = (direction_B1HW == 0) | (direction_B1HW == 2)
        ridge_B1HW &= (length_B1HW > neighbour_B1HW) | (bears_B1HW & (length_B1HW == neighbour_B1HW))
    return length_B1HW * ridge_B1HW


def _wobble(lines_B1HW: Tensor, generator: Generator) -> Tensor:
    """Displace the lines by up to a few pixels, like an unsteady hand."""
    height, width = lines_B1HW.shape[-2:]
    amount_B111 = _uniform(lines_B1HW, generator, 0.0, 1.6) * _chance(lines_B1HW, generator, 0.6)
    x_BHW, y_BHW = (_noise(lines_B1HW, 2, 9, generator) * amount_B111).unbind(dim=1)
    shift_BHW2 = torch.stack([x_BHW * (2.0 / width), y_BHW * (2.0 / height)], dim=3)
    straight_23 = torch.eye(2, 3, dtype=lines_B1HW.dtype, device=lines_B1HW.device)
    straight_B23 = straight_23.expand(lines_B1HW.shape[0], -1, -1)
    grid_BHW2 = F.affine_grid(straight_B23, list(lines_B1HW.shape), align_corners=False)
    # Nearest-neighbour sampling keeps thin lines intact; bilinear would fade them at half-pixel shifts.
    return F.grid_sample(lines_B1HW, grid_BHW2 + shift_BHW2, mode="nearest", align_corners=False)


def _leave_out(lines_B1HW: Tensor, generator: Generator) -> Tensor:
    """Erase parts of the lines, up to about a third."""
    limit_B111 = _uniform(lines_B1HW, generator, 0.4, 2.5)
    keep_B1HW = _noise(lines_B1HW, 1, 12, generator) < limit_B111
    return lines_B1HW * keep_B1HW


def _pen(lines_B1HW: Tensor, generator: Generator) -> Tensor:
    """Draw the thin lines with pens of 1 to 5 pixels, crisp or soft."""
    chosen_B111 = _uniform(lines_B1HW, generator, 0.0, 1.0)
    # Thick pens turn fine detail into a black blot, so they are only used for sparse drawings.
    sparse_B111 = lines_B1HW.mean(dim=(1, 2, 3), keepdim=True) < 0.05
    drawn_B1HW = lines_B1HW
    for number, (size, reach) in enumerate(((3, 1), (3, 2), (5, 3))):
        # Footprint of the pen tip: the pixels within `reach` steps of its centre.
        axis = torch.arange(size, device=lines_B1HW.device) - size // 2
        tip = ((axis[:, None].abs() + axis[None, :].abs()) <= reach).to(lines_B1HW.dtype)
        thick_B1HW = dilation(lines_B1HW, tip, border_type="geodesic")
        # Half of the drawings keep the one-pixel line, the rest share the three thicker pens.
        drawn_B1HW = torch.where((chosen_B111 > 0.5 + number / 6) & sparse_B111, thick_B1HW, drawn_B1HW)
    soft_B1HW = gaussian_blur2d(drawn_B1HW, 5, (0.7, 0.7), border_type="replicate")
    # A soft one-pixel line would be faint, so the loss of contrast by the blur is compensated.
    soft_B1HW = (1.6 * soft_B1HW).clamp(max=1.0)
    return torch.where(_chance(lines_B1HW, generator, 0.4) > 0, soft_B1HW, drawn_B1HW)
