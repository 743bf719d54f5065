"""What the numbers of pixels mean: by the file's ICC profile, by its description in numbers, or neither -> sRGB.

Array names carry their shape: H height, W width, N channels as found (1 grey, 3 RGB, 4 CMYK ink).
"""

from typing import Any, BinaryIO

import numpy as np
from PIL.ImageFile import ImageFile

from translate.pictures.coded_colours import (
    CodedColours,
    from_h273,
    from_png,
    peak_of,
    profile_of,
    to_full_range,
    tone_mapped,
)
from translate.pictures.icc import cmyk_to_rgb, srgb_profile, to_srgb
from translate.pictures.metadata.isobmff import read_nclx
from translate.pictures.metadata.png import read_colours
from translate.pictures.picture import Pixels


class SourceColours:
    """How the colours of one file become sRGB.

    Args:
        icc: the file's profile.
        coded: what counts if it outranks the profile, or there is none, or one that is damaged or does not fit the
            channels.
    """

    icc: bytes | None = None
    """Profile to convert back to: that of the file, or one made of its numbers. That of sRGB if there is no way back,
    as after tone mapping; None if the file says nothing, or sRGB in numbers."""
    notes: tuple[str, ...] = ()
    """What was left out or changed, a few words each."""
    is_hdr: bool = False
    """Whether bands of a picture have to be measured before the first is converted."""

    def __init__(self, icc: bytes | None, coded: CodedColours | None = None) -> None:
        self._profile, self._coded, self._used = icc, coded, None
        self._peak = 0.0
        self.icc = icc
        if icc is None or (coded is not None and coded.outranks_icc):
            self._use_numbers()

    def _use_numbers(self) -> None:
        self._profile = self.icc = None
        coded = self._used = self._coded
        if coded is None:
            return
        if coded.unknown:
            primaries, transfer = coded.unknown
            self.notes += (f"its colours (primaries {primaries}, transfer {transfer} of H.273) were taken for sRGB",)
        elif coded.is_hdr:
            self.is_hdr, self.icc = True, srgb_profile()
            self.notes += (f"its HDR colours ({coded.transfer}) were tone-mapped to sRGB",)
        elif not coded.is_srgb:
            self._profile = self.icc = profile_of(coded)

    def measure(self, pixels_HWN: Pixels) -> None:
        """Look at some pixels of an HDR picture for its brightest light."""
        if self._used is not None:
            self._peak = max(self._peak, peak_of(self._in_full_range(pixels_HWN), self._used))

    def to_srgb(self, pixels_HWN: Pixels) -> Pixels:
        """Convert (H, W, N) uint8 or uint16 to (H, W, 3) of the same type; unless measured, it is the whole picture."""
        if self._profile is not None:
            rgb_HWC = to_srgb(self._in_full_range(pixels_HWN), self._profile)
            if rgb_HWC is not None:
                return rgb_HWC
            self.notes += ("its colour profile is unusable and was left out",)
            self._use_numbers()
            return self.to_srgb(pixels_HWN)
        pixels_HWN = self._in_full_range(pixels_HWN)
        if self._used is not None and self.is_hdr:
            return tone_mapped(pixels_HWN, self._used, self._peak or peak_of(pixels_HWN, self._used))
        if pixels_HWN.shape[2] == 4:
            return cmyk_to_rgb(pixels_HWN)
        return np.repeat(pixels_HWN, 3, axis=2) if pixels_HWN.shape[2] == 1 else pixels_HWN

    def _in_full_range(self, pixels_HWN: Pixels) -> Pixels:
        stretched = self._used is not None and not self._used.full_range
        return to_full_range(pixels_HWN) if stretched else pixels_HWN


def coded_in(file: BinaryIO, kind: str) -> CodedColours | None:
    """Return the colours that a PNG or AVIF file says in numbers, which Pillow does not tell, and rewind the file."""
    found = None
    if kind == "PNG":
        found = from_png(read_colours(file))
    elif kind == "AVIF":
        nclx = read_nclx(file)
        found = nclx and from_h273(*nclx)
    file.seek(0)
    return found


def coded_by_pillow(image: ImageFile) -> CodedColours | None:
    """Return the colours that an open HEIC file says in numbers."""
    nclx: Any = image.info.get("nclx_profile")
    return from_h273(nclx["color_primaries"], nclx["transfer_characteristics"]) if nclx else None
