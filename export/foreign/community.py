"""Super-resolution and restoration models of the community (see OpenModelDB), through the library spandrel.

Shape suffixes: B batch, C channels, H height, W width.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from translate.errors import ModelError, require


class Community(nn.Module):
    """A model of spandrel with the signal range of this program.

    in:  (B, in_channels, H, W) in [-1, 1], H and W divisible by `size_multiple`.
    out: (B, out_channels, H * scale, W * scale).
    """

    receptive_field: int | None = None
    working_size: int | None = None

    def __init__(self, found: Any):
        """`found`: an `ImageModelDescriptor`."""
        super().__init__()
        self.network = found.model
        self.scale = found.scale
        self.in_channels, self.out_channels = found.input_channels, found.output_channels
        needed = found.size_requirements
        self.size_multiple = max(1, needed.multiple_of)
        self.min_size = max(8, needed.minimum or 0)
        tags = f" ({', '.join(found.tags)})" if found.tags else ""
        for part in self.network.modules():
            # SPAN folds its kernels anew in every run, by assigning to weights, which cannot be exported.
            if hasattr(part, "update_params"):
                part.update_params()
                part.update_params = _nothing
        self.title = f"{found.architecture.name}{tags}"

    def forward(self, x_BCHW: Tensor, condition_BD: None = None) -> Tensor:
        return self.network((x_BCHW + 1.0) * 0.5) * 2.0 - 1.0


def _nothing() -> None:
    """In place of what has been done for good."""


def community_of(state: Mapping[str, Tensor], path: Path) -> Community | None:
    """The network of `state`, with its weights; None if spandrel does not know it. `path`: its file, for messages.

    Raises:
        MissingExtra: spandrel is not installed.
        ModelError: it is known, but does not make one picture from one picture.
    """
    require("import", "spandrel")
    from spandrel import ImageModelDescriptor, ModelLoader, UnsupportedModelError

    try:
        found = ModelLoader("cpu").load_from_state_dict(dict(state))
    except UnsupportedModelError:
        return None
    if not isinstance(found, ImageModelDescriptor):
        raise ModelError(
            f"{path} is a {found.architecture.name} model, which takes more than one picture; choose another"
        )
    return Community(found)
