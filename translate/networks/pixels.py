"""Conversion between stored pixels and network signals: the only torch code that depends on the range.

Shape suffixes: B batch, K batch or 1, C channels, H height, W width, D condition.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.networks.condition import condition_vector


def pixels_to_signal(pixels_BHWC: Tensor, bits: int = 8) -> Tensor:
    """Integers (B, H, W, C), 0 to 2**bits - 1 -> float32 (B, C, H, W), -1 to 1."""
    half = (2**bits - 1) / 2
    return pixels_BHWC.permute(0, 3, 1, 2).float() / half - 1.0


def signal_to_pixels(signal_BCHW: Tensor, bits: int = 8) -> Tensor:
    """float (B, C, H, W), clamped to -1 to 1 -> uint8 or uint16 (B, H, W, C), rounded half to even."""
    full = float(2**bits - 1)
    levels_BCHW = ((signal_BCHW.float() + 1.0) * (full / 2)).clamp(0.0, full).round()
    return levels_BCHW.to(torch.uint8 if bits == 8 else torch.uint16).permute(0, 2, 3, 1)


def signal_to_levels(signal_BCHW: Tensor) -> Tensor:
    """float, -1 to 1 -> float, 0 to 255, neither clamped nor rounded: the input range of pretrained networks."""
    return (signal_BCHW + 1.0) * 127.5


class PixelTranslator(nn.Module):
    """A generator with stored pixels of any size as input and output: the graph that is exported.

    in:  image: uint8 (or uint16) (N, H, W, C), H and W at least 1.
         label: int64 (K,), class label to generate; only if `labels` is not 0.
         style: float32 (K, S), standard normal or zero; only if `style_size` is not 0.
         detail: float32 (K,), 0 to 1; only if `detail` is true.
    out: uint8 (or uint16) (N, H * scale, W * scale, C).

    Args:
        generator: (B, C, H, W) in [-1, 1] -> (B, C, H * scale, W * scale), H and W divisible by `size_multiple`;
            with a condition (K, labels + S + detail) if there is any.
        size_multiple: the generator needs both sides to be divisible by it.
        scale: output side over input side.
        labels, style_size: sizes of two optional inputs; None means label 0 and the default style.
        detail: whether there is a third optional input; None means 0.
        bits: bit depth of input and output.
        default_style: `style_size` numbers; empty means zeros.
    """

    def __init__(
        self,
        generator: nn.Module,
        size_multiple: int,
        scale: int = 1,
        labels: int = 0,
        style_size: int = 0,
        bits: tuple[int, int] = (8, 8),
        detail: bool = False,
        default_style: tuple[float, ...] = (),
    ):
        super().__init__()
        self.generator, self.size_multiple, self.scale = generator, size_multiple, scale
        self.labels, self.style_size, self.bits, self.detail = labels, style_size, bits, detail
        self.default_style = default_style

    def forward(
        self,
        image: Tensor,
        label: Tensor | None = None,
        style: Tensor | None = None,
        detail: Tensor | None = None,
    ) -> Tensor:
        height, width = image.shape[1], image.shape[2]
        signal_BCHW = pixels_to_signal(image, self.bits[0])
        # Not `-height % size_multiple`: a U-Net is exported in three quarters of the time, because the exporter
        # simplifies quotients, but not remainders. Of positive numbers, because ONNX divides towards zero.
        multiple = self.size_multiple
        below, right = ((side + multiple - 1) // multiple * multiple - side for side in (height, width))
        # Replicate padding, because unlike reflection it is defined for a side of one pixel.
        padded_BCHW = F.pad(signal_BCHW, (0, right, 0, below), mode="replicate")
        if style is None and self.default_style:
            style = torch.tensor([self.default_style], device=image.device)
        condition_KD = condition_vector(self.labels, self.style_size, label, style, image.device, self.detail, detail)
        result_BCHW = self.generator(padded_BCHW) if condition_KD is None else self.generator(padded_BCHW, condition_KD)
        return signal_to_pixels(result_BCHW[:, :, : height * self.scale, : width * self.scale], self.bits[1])
