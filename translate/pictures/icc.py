"""Colour profiles (ICC): a file's colours to sRGB and back.

Relative colorimetric with black point compensation, by LittleCMS: 8 bits directly (within one level of 255), 16 bits
by libvips by way of XYZ (within three levels of 255 in the darkest colours, 0.1 on average): the direct way would put
them on a coarse grid, off by up to 20 levels.

Array names carry their shape: H height, W width, C colours, N channels as found (1 grey, 3 RGB, 4 CMYK ink).
"""

from functools import cache, lru_cache
from io import BytesIO
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageCms

from translate.pictures.libvips import from_array, to_array, vips, with_profile
from translate.pictures.picture import BAND, Pixels, white_of

_cms: Any = ImageCms  # its hints are not complete

_SPACES = {"GRAY": ("L", 1), "RGB": ("RGB", 3), "CMYK": ("CMYK", 4)}
"""ICC's names of colour spaces -> Pillow's mode, channels."""
_NEAR = 1
"""A profile whose colours are all this near to sRGB, of 255, is taken for sRGB, and the pixels stay as they are."""
_MADE = b"\x07\xea\x00\x01\x00\x01" + bytes(6)
"""Date inside the profile that we write: the same bytes every day."""


@cache
def srgb_profile() -> bytes:
    """Return a profile of sRGB to put into files."""
    made: bytes = ImageCms.ImageCmsProfile(_cms.createProfile("sRGB")).tobytes()
    return made[:24] + _MADE + made[36:]


def to_srgb(pixels_HWN: Pixels, icc: bytes) -> Pixels | None:
    """Convert from the profile's colours to sRGB; None when the profile is damaged or does not fit the channels.

    Args:
        pixels_HWN: grey, RGB or CMYK (white is full ink), uint8 or uint16.
        icc: the profile. For grey also an RGB profile.

    Returns:
        (H, W, 3) of the same type, or None.
    """
    profile = _open(icc)
    if profile is None:
        return None
    mode, channels = _SPACES[_space(profile)]
    if pixels_HWN.shape[2] == 1 and channels == 3:
        pixels_HWN = np.repeat(pixels_HWN, 3, axis=2)
    if pixels_HWN.shape[2] != channels:
        return None
    if mode == "RGB" and _is_srgb(icc):
        return pixels_HWN
    if pixels_HWN.dtype == np.uint8:
        return _transform(profile, _srgb(), mode, pixels_HWN)
    return _by_libvips(pixels_HWN, icc, srgb_profile()) if _transform_of(profile, _srgb(), mode) else None


def from_srgb(rgb_HWC: Pixels, icc: bytes) -> Pixels | None:
    """Convert sRGB to the colours of an RGB profile: (H, W, 3) of the same type.

    None when the profile is not one of RGB or has no way back (some of scanners and cameras).
    """
    profile = _open(icc)
    if profile is None or _space(profile) != "RGB":
        return None
    if _is_srgb(icc):
        return rgb_HWC
    if rgb_HWC.dtype == np.uint8:
        return _transform(_srgb(), profile, "RGB", rgb_HWC)
    return _by_libvips(rgb_HWC, srgb_profile(), icc) if _transform_of(_srgb(), profile, "RGB") else None


def cmyk_to_rgb(ink_HW4: Pixels) -> Pixels:
    """RGB (H, W, 3) of CMYK without a profile: the light that each ink and black let through, multiplied."""
    white = white_of(ink_HW4)
    rgb_HWC = np.empty((*ink_HW4.shape[:2], 3), ink_HW4.dtype)
    for top in range(0, len(ink_HW4), BAND):
        light_HW4 = white - ink_HW4[top : top + BAND].astype(np.uint32)
        rgb_HWC[top : top + BAND] = (light_HW4[..., :3] * light_HW4[..., 3:] + white // 2) // white
    return rgb_HWC


@cache
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(BytesIO(srgb_profile()))


def _open(icc: bytes) -> ImageCms.ImageCmsProfile | None:
    try:
        profile = ImageCms.ImageCmsProfile(BytesIO(icc))
    except OSError:
        return None
    return profile if _space(profile) in _SPACES else None


def _space(profile: Any) -> str:
    try:
        return profile.profile.xcolor_space.strip()
    except UnicodeDecodeError:  # a damaged profile
        return ""


@lru_cache(maxsize=16)
def _is_srgb(icc: bytes) -> bool:
    levels = np.linspace(0, 255, 18).round().astype(np.uint8)
    cube_HWC = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(18, -1, 3)
    profile = _open(icc)
    found_HWC = None if profile is None else _transform(profile, _srgb(), "RGB", cube_HWC)
    return found_HWC is not None and int(np.abs(found_HWC.astype(int) - cube_HWC).max()) <= _NEAR


def _transform(
    source: ImageCms.ImageCmsProfile, target: ImageCms.ImageCmsProfile, mode: str, pixels_HWN: Pixels
) -> Pixels | None:
    """8 bits, in bands: Pillow's copies are larger than the pixels."""
    transform = _transform_of(source, target, mode)
    if transform is None:
        return None
    height, width = pixels_HWN.shape[:2]
    rgb_HWC = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, BAND):
        band_HWN = np.ascontiguousarray(pixels_HWN[top : top + BAND])
        band = Image.frombuffer(mode, (width, len(band_HWN)), band_HWN.tobytes(), "raw", mode, 0, 1)
        rgb_HWC[top : top + BAND] = np.asarray(ImageCms.applyTransform(band, transform))
    return rgb_HWC


def _transform_of(
    source: ImageCms.ImageCmsProfile, target: ImageCms.ImageCmsProfile, mode: str
) -> ImageCms.ImageCmsTransform | None:
    """None when one of the profiles cannot be used."""
    intent, flags = ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION
    try:
        return ImageCms.buildTransform(source, target, mode, "RGB", intent, flags)
    except ImageCms.PyCMSError:
        return None


_Interpretation = Literal["grey16", "rgb16", "cmyk"]
_INTERPRETATIONS: dict[int, _Interpretation] = {1: "grey16", 3: "rgb16", 4: "cmyk"}


def _by_libvips(pixels_HWN: Pixels, source: bytes, target: bytes) -> Pixels | None:
    """uint16 from one profile's colours to another's, by way of XYZ."""
    options: dict[str, Any] = {"intent": "relative", "black_point_compensation": True}
    image = from_array(pixels_HWN, _INTERPRETATIONS[pixels_HWN.shape[2]])
    try:
        light = with_profile(image, source).icc_import(embedded=True, pcs="xyz", **options)
        found_HWC = to_array(with_profile(light, target).icc_export(depth=16, **options))
    except (vips().Error, ValueError):
        return None
    return found_HWC if found_HWC.shape[2] == 3 else None
