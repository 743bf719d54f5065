"""The cost of a network: number of parameters and multiply-adds per picture."""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from translate.inference.controls import default_inputs
from translate.spec import ModelSpec

SIDE = 256
"""Height and width in pixels of the input for which multiply-adds are counted."""


def parameters(generator: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(weight.numel() for weight in generator.parameters())


def gmacs(translator: nn.Module, spec: ModelSpec) -> float:
    """Billions of multiply-adds (GMACs) for one input of 256 x 256 pixels, to four significant digits.

    Counts convolutions and matrix products, which are all but a few percent. All controls are given, as in the exported
    graph, which has a single path for all settings.

    Args:
        translator: pixels (N, H, W, C) in and out, on the CPU.
        spec: its spec.
    """
    kind = torch.uint8 if spec.input_bits == 8 else torch.uint16
    image_NHWC = torch.zeros(1, SIDE, SIDE, spec.input_channels, dtype=kind)
    controls = {name: torch.from_numpy(value) for name, value in default_inputs(spec).items()}
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        translator(image_NHWC, **controls)
    return float(f"{counter.get_total_flops() / 2e9:.4g}")  # a multiply-add is two operations
