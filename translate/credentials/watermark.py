"""An invisible watermark in the pixels of results: it stays where content credentials are lost, as with a screenshot.

The network is RivaGAN (Zhang et al., 2019, https://arxiv.org/abs/1909.01285), as the package `invisible-watermark`
0.2.0 carries it: two ONNX files under the MIT licence. The package is never imported, as it would load torch and
OpenCV; only the files are read. The watermark says that a picture was made here, and nothing else: all results hold the
same 32 bits.

The network sees a reduced picture, and what it adds is enlarged again, as in TrustMark (Bui et al., 2023,
https://arxiv.org/abs/2311.18297). So the time does not depend on the size of the picture, and neither does what is
found in an enlarged or reduced one.
"""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from translate.errors import ImageError
from translate.packages import Package
from translate.pictures.decode import decode
from translate.pictures.picture import Picture, Pixels

SIDE = 256
"""Longer side in pixels of what the networks see. The time grows with its square."""
STRENGTH = 1.5
"""What the network adds is multiplied by this, so that it outlives JPEG; see benchmarks/watermark.py."""
LEAST = 28
"""Bits of 32 that must be right for a watermark to be found: one in 100,000 random words has so many."""
INSTALL = "pip install --no-deps invisible-watermark==0.2.0"
"""Without its dependencies: torch and a second copy of OpenCV are not needed."""

_BITS = np.unpackbits(np.frombuffer(bytes.fromhex("9e3b51c4"), np.uint8)).astype(np.float32)[None]
"""(1, 32) float32 of 0 and 1, half of them 1: what all results say."""
_SHORTEST = 32
"""Shorter side in pixels of what the networks see, at least."""
_PACKAGE = Package("invisible-watermark", "imwatermark", f"run: {INSTALL}")
_SHA256 = {
    "rivagan_encoder.onnx": "66bc7814fadac7d686105c8ab26c6cf2cc8e40deb83e67bb6ef5b9de9b8ece0d",
    "rivagan_decoder.onnx": "6b006690cf352fa50a91a0b6d6241dbcded0a9957969e2c0665cf9a7011b3880",
}


def check_watermark() -> None:
    """Check that the networks are on this machine.

    Raises:
        MissingExtra: the package that holds them is not installed.
        ModelError: a file is missing there, or differs from the published one.
    """
    for name, digest in _SHA256.items():
        _PACKAGE.read(name, digest)


def available() -> bool:
    """Whether the package that holds the networks is installed."""
    return _PACKAGE.missing() is None


def watermarked(picture: Picture) -> Picture:
    """Add the watermark to the colours of a picture; its opacity stays as it is.

    Raises:
        MissingExtra, ModelError: as `check_watermark`.
    """
    rgb_HWC = picture.rgb_HWC
    most = np.iinfo(rgb_HWC.dtype).max
    seen_BCTHW = _seen(rgb_HWC)
    (made_BCTHW,) = _session("rivagan_encoder.onnx").run(None, {"frame": seen_BCTHW, "data": _BITS})
    added_CHW = (made_BCTHW - seen_BCTHW)[0, :, 0] * np.float32(STRENGTH * most / 2)
    result_HWC = np.empty_like(rgb_HWC)
    for channel in range(3):  # one at a time, for the sake of memory
        added_HW = _resized(added_CHW[channel], rgb_HWC.shape[1], rgb_HWC.shape[0])
        added_HW += rgb_HWC[..., channel]
        result_HWC[..., channel] = np.clip(np.rint(added_HW, out=added_HW), 0, most)
    return replace(picture, rgb_HWC=result_HWC)


def right_bits(rgb_HWC: Pixels) -> int:
    """How many of the 32 bits of the watermark a picture holds; without a watermark, about 16.

    Args:
        rgb_HWC: (H, W, 3) uint8 or uint16, sRGB.

    Raises:
        MissingExtra, ModelError: as `check_watermark`.
    """
    (found_BN,) = _session("rivagan_decoder.onnx").run(None, {"frame": _seen(rgb_HWC)})
    return int(((found_BN > 0.5) == (_BITS > 0.5)).sum())


def find(path: Path) -> bool | None:
    """Whether a file holds the watermark; None: it is no picture that can be read, or the networks are not installed.

    Raises:
        ModelError: as `check_watermark`.
    """
    if not available():
        return None
    try:
        return right_bits(decode(path).rgb_HWC) >= LEAST
    except ImageError:
        return None


def _seen(rgb_HWC: Pixels) -> NDArray[np.float32]:
    """What the networks see: a film of one frame, (1, 3, 1, h, w) float32, -1 to 1, the longer side `SIDE`."""
    height, width = rgb_HWC.shape[:2]
    factor = SIDE / max(height, width)
    size = [max(_SHORTEST, round(side * factor)) for side in (width, height)]
    planes = [_resized(rgb_HWC[..., channel].astype(np.float32), *size) for channel in range(3)]
    return np.stack(planes)[None, :, None] * np.float32(2 / np.iinfo(rgb_HWC.dtype).max) - 1


def _resized(plane_HW: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    return np.array(Image.fromarray(plane_HW).resize((width, height), Image.Resampling.BICUBIC))


@cache
def _session(name: str) -> Any:
    import onnxruntime as _onnxruntime  # pyright: ignore[reportMissingTypeStubs]

    onnxruntime: Any = _onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # workers convert several pictures at once
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(_PACKAGE.read(name, _SHA256[name]), options, providers=["CPUExecutionProvider"])
