"""ICC profiles made of a curve for each channel and a matrix, computed in floats (ICC.1:2022, 8.3, 10.6, 10.18).

Array names carry their shape: H height, W width, C colours, N 1 for grey or 3.
"""

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from translate.picture import BAND, Pixels

_FROM_D50 = np.linalg.inv(
    # Columns: red, green and blue of sRGB seen under D50, as sRGB's own profiles give them.
    np.array([[0.43604, 0.38512, 0.14305], [0.22249, 0.71690, 0.06061], [0.01392, 0.09706, 0.71391]])
)
_LEVELS = np.linspace(0.0, 1.0, 65536)


@dataclass(frozen=True)
class MatrixProfile:
    """What a profile says about its channels.

    curves_NL: (N, 65536) float64 in [0, 1], light of every 16-bit level, never falling.
    matrix_33: the channels' light -> light of linear sRGB; None for grey.
    """

    curves_NL: NDArray[np.float64]
    matrix_33: NDArray[np.float64] | None


def parse_matrix_profile(icc: bytes) -> MatrixProfile | None:
    """Read a grey or RGB profile; None when it is made of tables (which count for more), or of anything else."""
    try:
        tags = _tags(icc)
        space = icc[16:20]
        if space not in (b"GRAY", b"RGB ") or any(tag in tags for tag in (b"A2B0", b"A2B1", b"D2B0", b"D2B1")):
            return None
        if icc[20:24] != b"XYZ ":
            return None
        names = [b"k"] if space == b"GRAY" else [b"r", b"g", b"b"]
        curves_NL = np.stack([_curve(tags[name + b"TRC"]) for name in names])
        if not (np.diff(curves_NL) >= 0).all() or (curves_NL[:, 0] == curves_NL[:, -1]).any():  # nan is refused too
            return None
        if space == b"GRAY":
            return MatrixProfile(curves_NL, None)
        return MatrixProfile(curves_NL, _FROM_D50 @ np.stack([_xyz(tags[name + b"XYZ"]) for name in names], axis=1))
    except (KeyError, ValueError, ZeroDivisionError, struct.error):
        return None


def to_linear_srgb(pixels_HWN: Pixels, profile: MatrixProfile) -> Pixels:
    """Convert uint16 from the profile's colours to sRGB: (H, W, 3) uint16."""
    height, width, channels = pixels_HWN.shape
    rgb_HWC = np.empty((height, width, 3), np.uint16)
    curves_NL = profile.curves_NL.astype(np.float32)
    for top in range(0, height, BAND):
        rows = slice(top, top + BAND)
        light_HWN = np.stack([curves_NL[n][pixels_HWN[rows, :, n]] for n in range(channels)], axis=-1)
        if profile.matrix_33 is not None:
            light_HWN = light_HWN @ profile.matrix_33.T.astype(np.float32)
        rgb_HWC[rows] = np.rint(_encode(np.clip(light_HWN, 0.0, 1.0)) * 65535)
    return rgb_HWC


def from_linear_srgb(rgb_HWC: Pixels, profile: MatrixProfile) -> Pixels | None:
    """Convert uint16 from sRGB to the profile's colours: (H, W, 3) uint16; None when its matrix has no inverse."""
    try:
        back_33 = np.linalg.inv(np.eye(3) if profile.matrix_33 is None else profile.matrix_33)
    except np.linalg.LinAlgError:
        return None
    light_L = _decode(_LEVELS)
    found_HWC = np.empty(rgb_HWC.shape, np.uint16)
    for top in range(0, len(rgb_HWC), BAND):
        rows = slice(top, top + BAND)
        light_HWC = light_L[rgb_HWC[rows]] @ back_33.T
        for channel, curve_L in enumerate(profile.curves_NL):
            found_HWC[rows, :, channel] = np.rint(np.interp(light_HWC[..., channel], curve_L, _LEVELS) * 65535)
    return found_HWC


def _decode(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Light of sRGB's levels, both in [0, 1] (IEC 61966-2-1)."""
    return np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)


def _encode(light: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def _tags(icc: bytes) -> dict[bytes, bytes]:
    (count,) = struct.unpack_from(">I", icc, 128)
    tags: dict[bytes, bytes] = {}
    for number in range(min(count, 100)):
        name, offset, size = struct.unpack_from(">4sII", icc, 132 + 12 * number)
        tags[name] = icc[offset : offset + size]
    return tags


def _xyz(tag: bytes) -> NDArray[np.float64]:
    if tag[:4] != b"XYZ ":
        raise ValueError
    return np.array(struct.unpack_from(">3i", tag, 8)) / 65536


def _curve(tag: bytes) -> NDArray[np.float64]:
    """Light of 65536 levels, by a curveType or a parametricCurveType."""
    if tag[:4] == b"para":
        return _parametric(tag)
    if tag[:4] != b"curv":
        raise ValueError
    (count,) = struct.unpack_from(">I", tag, 8)
    if count == 0:
        return _LEVELS
    if 12 + 2 * count > len(tag):
        raise ValueError
    points = np.array(struct.unpack_from(f">{count}H", tag, 12))
    if count == 1:
        return _LEVELS ** (points[0] / 256)
    return np.interp(_LEVELS, np.linspace(0.0, 1.0, count), points / 65535)


def _parametric(tag: bytes) -> NDArray[np.float64]:
    (kind,) = struct.unpack_from(">H", tag, 8)
    if kind > 4:
        raise ValueError
    count = (1, 3, 4, 5, 7)[kind]
    numbers = [number / 65536 for number in struct.unpack_from(f">{count}i", tag, 12)]
    # All kinds are (a X + b) ** g + e from X = d on and c X + f below.
    g, a, b, c, d, e, f = numbers + [0.0] * (7 - count)
    if kind == 0:
        a = 1.0
    if kind in (1, 2):
        c, d, e, f = 0.0, -b / a, c, c
    with np.errstate(all="ignore"):  # what is no number is refused by the caller
        curve_L: NDArray[np.float64] = np.maximum(a * _LEVELS + b, 0.0) ** g + e
        light_L = np.where(d <= _LEVELS, curve_L, c * _LEVELS + f)
    return np.clip(light_L, 0.0, 1.0)
