"""Between stored pixels and what networks see: the only place in torch code that knows the range.

Shape suffixes: B batch, C channels, H height, W width.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def pixels_to_signal(pixels_BHWC: Tensor) -> Tensor:
    """uint8 (B, H, W, C), 0 to 255 -> float32 (B, C, H, W), -1 to 1."""
    return pixels_BHWC.permute(0, 3, 1, 2).float() / 127.5 - 1.0


def signal_to_pixels(signal_BCHW: Tensor) -> Tensor:
    """float (B, C, H, W), clamped to -1 to 1 -> uint8 (B, H, W, C), rounded half to even."""
    levels_BCHW = (signal_BCHW.float() + 1.0) * 127.5
    return levels_BCHW.clamp(0.0, 255.0).round().to(torch.uint8).permute(0, 2, 3, 1)


class PixelTranslator(nn.Module):
    """A generator that eats and returns stored pixels of any size: the graph that is exported.

    in:  uint8 (N, H, W, C), H and W at least 1.
    out: uint8 (N, H * scale, W * scale, C).

    Args:
        generator: (B, C, H, W) in [-1, 1] -> (B, C, H * scale, W * scale), H and W divisible by `size_multiple`.
        size_multiple: what the generator needs both sides to divide by.
        scale: output side over input side.
    """

    def __init__(self, generator: nn.Module, size_multiple: int, scale: int = 1):
        super().__init__()
        self.generator, self.size_multiple, self.scale = generator, size_multiple, scale

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[1], image.shape[2]
        signal_BCHW = pixels_to_signal(image)
        # The border pixel is repeated: unlike mirroring this is defined for a side of one pixel.
        below, right = -height % self.size_multiple, -width % self.size_multiple
        result_BCHW = self.generator(F.pad(signal_BCHW, (0, right, 0, below), mode="replicate"))
        return signal_to_pixels(result_BCHW[:, :, : height * self.scale, : width * self.scale])
