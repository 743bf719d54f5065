"""What a network costs: the numbers in it and the work of one picture."""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from export.to_onnx import optional_inputs
from translate.spec import ModelSpec

SIDE = 256
"""Height and width in pixels of the picture whose work is counted."""


def parameters(generator: nn.Module) -> int:
    """How many numbers were learnt."""
    return sum(weight.numel() for weight in generator.parameters())


def gmacs(translator: nn.Module, spec: ModelSpec) -> float:
    """10^9 multiply-adds for one picture of 256 x 256 pixels going in, to four digits.

    Convolutions and matrix products are counted, which is all but a few hundredths. Every knob is given, as in the
    exported graph, which has one path for all its settings.

    Args:
        translator: pixels (N, H, W, C) in and out, on the CPU.
        spec: its contract.
    """
    kind = torch.uint8 if spec.input_bits == 8 else torch.uint16
    image_NHWC = torch.zeros(1, SIDE, SIDE, spec.input_channels, dtype=kind)
    knobs = {name: torch.from_numpy(value) for name, value in optional_inputs(spec).items()}
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        translator(image_NHWC, **knobs)
    return float(f"{counter.get_total_flops() / 2e9:.4g}")  # a multiply-add is two operations
