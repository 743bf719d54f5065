"""Colours that a file says in numbers, not by a profile: PNG's cICP, sRGB, gAMA and cHRM, AVIF's and HEIC's nclx.

Primaries and transfer functions are those of ITU-T H.273. Up to the range of sRGB the numbers become an ICC profile
(`profile_of`), which is then used like one from a file. HDR (PQ and HLG, ITU-R BT.2100) is tone-mapped:

1. The transfer function gives light, of which 203 cd/m2 is white (reference white of ITU-R BT.2408); HLG is shown on a
   display of 1000 cd/m2 (BT.2100, table 5).
2. A matrix makes linear sRGB of it.
3. Where a picture is brighter than white, the largest of R, G and B is compressed by the EETF of ITU-R BT.2390 (5.4.1:
   a Hermite spline above a knee, in PQ) from the brightest value in the picture to white; the other two follow in
   proportion, so that hues stay. A picture that is nowhere brighter is not changed.
4. What lies outside sRGB is clipped.

Array names carry their shape: H height, W width, C colours, N channels as found (1 grey, 3 RGB).
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from translate.pictures.picture import BAND, Pixels, white_of

Point = tuple[float, float]
Primaries = tuple[Point, Point, Point, Point]
"""Chromaticities (CIE 1931 x, y) of red, green, blue and white."""
Transfer = Literal["sRGB", "PQ", "HLG"] | float
"""A number is the exponent of a pure power."""

_D65, _C, _DCI = (0.3127, 0.3290), (0.310, 0.316), (0.314, 0.351)
SRGB: Primaries = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), _D65)
_P3 = (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)
_PRIMARIES: dict[int, Primaries] = {
    1: SRGB,
    2: SRGB,
    4: ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), _C),
    5: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), _D65),
    6: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),
    7: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),
    8: ((0.681, 0.319), (0.243, 0.692), (0.145, 0.049), _C),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65),
    10: ((1.0, 0.0), (0.0, 1.0), (0.0, 0.0), (1 / 3, 1 / 3)),
    11: (*_P3, _DCI),
    12: (*_P3, _D65),
    22: ((0.630, 0.340), (0.295, 0.605), (0.155, 0.077), _D65),
}
"""H.273, table 2. Unspecified (2) is taken for sRGB."""
_TRANSFERS: dict[int, Transfer] = {
    **dict.fromkeys((1, 2, 6, 7, 11, 12, 13, 14, 15), "sRGB"),
    **{4: 2.2, 5: 2.8, 8: 1.0, 16: "PQ", 17: 2.6, 18: "HLG"},
}
"""H.273, table 3. The curves of video (BT.709 and its kin) are those of cameras, not of displays; pictures that carry
them are shown as sRGB everywhere, and so they are here."""
_NEAR_SRGB = 0.05
"""How far, in proportion, gAMA may be from 1/2.2 and still mean sRGB: libpng's threshold (PNG_GAMMA_THRESHOLD)."""
_SAME = 0.002
"""How far chromaticities may be from those of sRGB and still be them: files round."""
_D50 = (0.9642, 1.0, 0.8249)
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_WHITE = 203.0
"""cd/m2 that become white."""
_NAMES = {12: "Display P3", 9: "Rec. 2020"}


@dataclass(frozen=True)
class CodedColours:
    """What the numbers say."""

    primaries: Primaries = SRGB
    transfer: Transfer = "sRGB"
    full_range: bool = True
    """Whether black is 0 and white the largest value; if not they are 16 and 235 of 8 bits, as in video."""
    outranks_icc: bool = False
    """Whether it counts even where there is a profile."""
    unknown: tuple[int, int] | None = None
    """Code points that mean nothing here; the colours are taken for sRGB."""

    @property
    def is_hdr(self) -> bool:
        """Whether it can be brighter than white."""
        return self.transfer in ("PQ", "HLG")

    @property
    def is_srgb(self) -> bool:
        """Whether nothing has to be converted, apart from the range."""
        far = np.abs(np.subtract(self.primaries, SRGB)).max()
        return self.transfer == "sRGB" and bool(far <= _SAME)


def from_h273(primaries: int, transfer: int) -> CodedColours:
    """Return the colours with these code points; `unknown` if they are reserved, or not supported (logarithmic)."""
    if primaries not in _PRIMARIES or transfer not in _TRANSFERS:
        return CodedColours(unknown=(primaries, transfer))
    return CodedColours(_PRIMARIES[primaries], _TRANSFERS[transfer])


def from_png(chunks: Mapping[bytes, bytes]) -> CodedColours | None:
    """Return what the chunks cICP, sRGB, gAMA and cHRM say, by PNG-3's order of precedence (4.3); None: nothing.

    A profile comes after cICP and before the others. gAMA near 1/2.2 is sRGB's curve, whose approximation it is.

    Args:
        chunks: name -> body.
    """
    coded = _from_cicp(chunks.get(b"cICP", b""))
    if coded is not None or not chunks:
        return coded
    if b"sRGB" in chunks:
        return CodedColours()
    gamma, primaries = 0.0, SRGB
    if len(chunks.get(b"gAMA", b"")) == 4:
        gamma = struct.unpack(">I", chunks[b"gAMA"])[0] / 100_000
    if len(chunks.get(b"cHRM", b"")) == 32:
        numbers = [number / 100_000 for number in struct.unpack(">8I", chunks[b"cHRM"])]
        white, red, green, blue = zip(numbers[::2], numbers[1::2], strict=True)
        primaries = (red, green, blue, white)
    transfer: Transfer = "sRGB"
    if 0.05 <= gamma <= 20 and abs(gamma * 2.2 - 1) > _NEAR_SRGB:
        transfer = 1 / gamma
    return CodedColours(primaries if _is_possible(primaries) else SRGB, transfer)


def _from_cicp(body: bytes) -> CodedColours | None:
    """What PNG's chunk cICP says; None if it cannot be used, so that the next one counts."""
    if len(body) != 4 or body[2] != 0 or body[3] > 1 or 2 in body[:2]:
        return None
    found = from_h273(body[0], body[1])
    return None if found.unknown else replace(found, full_range=body[3] == 1, outranks_icc=True)


@lru_cache(maxsize=16)
def profile_of(colours: CodedColours) -> bytes:
    """Return an ICC profile (version 4) of such RGB colours, of full range and not HDR."""
    if colours.transfer == "sRGB":
        curve = _parametric(3, (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045))
    else:
        curve = _parametric(0, (float(colours.transfer),))
    number = next((number for number, one in _PRIMARIES.items() if one == colours.primaries), 0)
    name = _NAMES.get(number, "RGB") + ("" if colours.transfer == "sRGB" else f", gamma {colours.transfer:.4g}")
    adapted = _adaptation(_xyz(colours.primaries[3]), np.array(_D50))
    tags = {
        b"desc": _text(name),
        b"cprt": _text("CC0"),
        b"wtpt": b"XYZ " + bytes(4) + _fixed(_D50),
        b"chad": b"sf32" + bytes(4) + _fixed(adapted.ravel().tolist()),
    }
    for letter, column in zip("rgb", (adapted @ _to_xyz(colours.primaries)).T, strict=True):
        tags[f"{letter}XYZ".encode()] = b"XYZ " + bytes(4) + _fixed(column.tolist())
        tags[f"{letter}TRC".encode()] = curve
    table, body = struct.pack(">I", len(tags)), b""
    for tag, value in tags.items():
        value += bytes(-len(value) % 4)
        table += tag + struct.pack(">II", 132 + 12 * len(tags) + len(body), len(value))
        body += value
    head = struct.pack(">I4sI", 128 + len(table) + len(body), bytes(4), 0x04300000) + b"mntrRGB XYZ "
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _fixed(_D50)
    return head.ljust(128, b"\0") + table + body


def to_full_range(pixels_HWN: Pixels) -> Pixels:
    """Stretch video levels (16 to 235 of 8 bits, 4096 to 60160 of 16) to all that the type holds."""
    scale, white = (white_of(pixels_HWN) + 1) // 256, white_of(pixels_HWN)
    levels = (np.arange(white + 1) - 16 * scale) * (white / (219 * scale))
    return np.clip(np.rint(levels), 0, white).astype(pixels_HWN.dtype)[pixels_HWN]


def peak_of(pixels_HWN: Pixels, colours: CodedColours) -> float:
    """Return the brightest value of R, G and B in an HDR picture, of which white is 1."""
    return max(
        (float(_light(pixels_HWN[top : top + BAND], colours).max()) for top in range(0, len(pixels_HWN), BAND)),
        default=0.0,
    )


def tone_mapped(pixels_HWN: Pixels, colours: CodedColours, peak: float) -> Pixels:
    """Convert HDR to sRGB, see above.

    Args:
        pixels_HWN: grey or RGB, uint8 or uint16, of full range.
        colours: with PQ or HLG.
        peak: the brightest value of the whole picture, see `peak_of`.

    Returns:
        (H, W, 3) of the same type.
    """
    white = white_of(pixels_HWN)
    rgb_HWC = np.empty((*pixels_HWN.shape[:2], 3), pixels_HWN.dtype)
    for top in range(0, len(pixels_HWN), BAND):
        light_HWC = _light(pixels_HWN[top : top + BAND], colours)
        if peak > 1:
            brightest_HW1 = light_HWC.max(axis=2, keepdims=True)
            light_HWC *= _compressed(brightest_HW1, peak) / np.maximum(brightest_HW1, 1e-9)
        light_HWC = np.clip(light_HWC, 0, 1)
        levels_HWC = np.where(light_HWC <= 0.0031308, light_HWC * 12.92, 1.055 * light_HWC ** (1 / 2.4) - 0.055)
        rgb_HWC[top : top + BAND] = np.rint(levels_HWC * white)
    return rgb_HWC


def _light(pixels_HWN: Pixels, colours: CodedColours) -> NDArray[np.float32]:
    """Light of HDR pixels in sRGB's primaries, of which 1 is white: (H, W, 3)."""
    matrix = _to_srgb(colours.primaries)
    light_HWC = _curve(colours.transfer == "PQ", white_of(pixels_HWN))[pixels_HWN]
    if light_HWC.shape[2] == 1:
        light_HWC = np.repeat(light_HWC, 3, axis=2)
    if colours.transfer == "PQ":
        return light_HWC @ matrix.T
    # HLG holds the light of the scene; a display's is that times a power of the luminance.
    luminance_HW1 = light_HWC @ _to_xyz(colours.primaries)[1].astype(np.float32)[:, None]
    return (light_HWC * luminance_HW1**0.2 * np.float32(1000 / _WHITE)) @ matrix.T


@cache
def _curve(pq: bool, white: int) -> NDArray[np.float32]:
    """Level -> light: of PQ relative to white, of HLG that of the scene, 0 to 1 (BT.2100, tables 4 and 5)."""
    signal = np.arange(white + 1) / white
    if pq:
        return (_from_pq(signal) / _WHITE).astype(np.float32)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12).astype(np.float32)


_M1, _M2, _C1, _C2, _C3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128


def _from_pq(signal: NDArray[np.floating]) -> NDArray[np.floating]:
    """Signal -> cd/m2."""
    power = signal ** (1 / _M2)
    return 10_000 * (np.maximum(power - _C1, 0) / (_C2 - _C3 * power)) ** (1 / _M1)


def _to_pq(light: NDArray[np.floating] | float) -> NDArray[np.floating]:
    """cd/m2 -> signal."""
    power = (np.asarray(light) / 10_000) ** _M1
    return ((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2


def _compressed(light: NDArray[np.floating], peak: float) -> NDArray[np.floating]:
    """The EETF of BT.2390 from `peak` to 1."""
    most = float(_to_pq(peak * _WHITE))
    target = float(_to_pq(_WHITE)) / most
    knee = 1.5 * target - 0.5
    signal = _to_pq(np.maximum(light, 0) * _WHITE) / most
    t = np.clip((signal - knee) / (1 - knee), 0, 1)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * target
    return _from_pq(np.where(signal < knee, signal, spline) * most) / _WHITE


def _xyz(point: Point) -> NDArray[np.float64]:
    """XYZ with this chromaticity and luminance 1 (with y 0, as CIE's own primaries have it, of sum 1)."""
    x, y = point
    return np.array([x, y, 1 - x - y]) / (y or 1)


def _to_xyz(primaries: Primaries) -> NDArray[np.float64]:
    """Linear RGB -> XYZ."""
    columns = np.stack([_xyz(point) for point in primaries[:3]], axis=1)
    return columns * np.linalg.solve(columns, _xyz(primaries[3]))


def _adaptation(white: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """XYZ under one white -> what looks the same under another (Bradford)."""
    return np.linalg.inv(_BRADFORD) @ np.diag((_BRADFORD @ target) / (_BRADFORD @ white)) @ _BRADFORD


def _to_srgb(primaries: Primaries) -> NDArray[np.float32]:
    """Linear RGB -> linear RGB of sRGB."""
    adapted = _adaptation(_xyz(primaries[3]), _xyz(_D65))
    return (np.linalg.inv(_to_xyz(SRGB)) @ adapted @ _to_xyz(primaries)).astype(np.float32)


def _is_possible(primaries: Primaries) -> bool:
    """Whether the colours of a strange file span a triangle around its white."""
    try:
        shares = np.linalg.solve(np.stack([_xyz(point) for point in primaries[:3]], axis=1), _xyz(primaries[3]))
    except np.linalg.LinAlgError:
        return False
    return primaries[3][1] > 0 and bool(np.isfinite(shares).all()) and bool((shares > 0).all())


def _parametric(kind: int, numbers: Sequence[float]) -> bytes:
    return b"para" + bytes(4) + struct.pack(">HH", kind, 0) + _fixed(numbers)


def _text(text: str) -> bytes:
    data = text.encode("utf-16-be")
    return b"mluc" + bytes(4) + struct.pack(">II", 1, 12) + b"enUS" + struct.pack(">II", len(data), 28) + data


def _fixed(numbers: Sequence[float]) -> bytes:
    return b"".join(struct.pack(">i", round(number * 65536)) for number in numbers)
