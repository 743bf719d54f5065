"""The only pixel I/O: decode, orient, colour, alpha, bit depth, resize, encode.

Array names carry their shape: H height, W width, C channels. All pixels are uint8 in [0, 255].
"""

import os
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from translate.errors import ImageError
from translate.files import atomic_path

READABLE = {".png", ".jpg", ".jpeg", ".webp"}
"""Suffixes (lower case) of the files we read and write."""

BYTES_PER_DECODED_PIXEL = 12
"""Memory a picture needs while it is read: Pillow's 4 bytes, our arrays, and the turned or blended copy."""

Pixels = NDArray[np.uint8]
"""uint8 array of pixels; the variable's suffix says its shape."""

_WHITE = 255
_BAND = 256
_DIM = 8.0
"""Brightness added to both sides of a ratio, of 255: what was black has no detail to multiply."""
_MOST_GAIN = 2.0
"""Detail of a place that becomes much brighter is mostly noise."""
_EXIF_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Picture:
    """A decoded picture: colours and, where the file has it, opacity.

    rgb_HWC: (H, W, 3) uint8. alpha_HW: (H, W) uint8, 255 is opaque, or None for an opaque picture.
    """

    rgb_HWC: Pixels
    alpha_HW: Pixels | None = None

    @classmethod
    def from_array(cls, array: Pixels) -> "Picture":
        """Make a picture of a grey (H, W), RGB (H, W, 3) or RGBA (H, W, 4) uint8 array.

        Raises:
            ImageError: another shape or type.
        """
        if array.dtype != np.uint8:
            raise ImageError(f"picture array has type {array.dtype}, expected uint8 in 0..255; convert it first")
        if array.ndim == 2:
            return cls(np.stack([array] * 3, axis=-1))
        if array.ndim == 3 and array.shape[2] == 3:
            return cls(array)
        if array.ndim == 3 and array.shape[2] == 4:
            return cls(np.ascontiguousarray(array[..., :3]), np.ascontiguousarray(array[..., 3]))
        raise ImageError(f"picture array has shape {array.shape}, expected (H, W), (H, W, 3) or (H, W, 4)")

    def to_array(self) -> Pixels:
        """Return (H, W, 3), or (H, W, 4) when there is alpha."""
        if self.alpha_HW is None:
            return self.rgb_HWC
        return np.dstack([self.rgb_HWC, self.alpha_HW])

    @property
    def height(self) -> int:
        """Rows in pixels."""
        return self.rgb_HWC.shape[0]

    @property
    def width(self) -> int:
        """Columns in pixels."""
        return self.rgb_HWC.shape[1]


def read_picture(path: Path, *, max_pixels: int | None = None) -> Picture:
    """Read a PNG, JPEG or WebP file, turned upright, as 8-bit RGB with its alpha.

    What the bytes are decides, not the suffix. 16-bit grey is scaled to 8 bits; grey, palette and CMYK
    become RGB; of an animation the first frame is taken. `max_pixels` limits height * width, checked
    before the pixels are decoded; None takes what the free memory holds.

    Raises:
        ImageError: not such a picture, damaged, too large, or not readable; the message names the path.
    """
    limit = available_memory_bytes() // BYTES_PER_DECODED_PIXEL if max_pixels is None else max_pixels
    try:
        with path.open("rb") as handle:
            return _read(handle, path, limit)
    except MemoryError:
        raise ImageError(f"{path}: not enough memory to decode it; close other programs or make it smaller") from None
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror or error}); check the name and the rights") from None


def write_picture(path: Path, picture: Picture, *, quality: int = 92) -> None:
    """Write PNG, JPEG or WebP, chosen by the suffix; the file appears whole or not at all.

    `quality` (1..100) is for JPEG and WebP. JPEG has no alpha: the picture is laid on white.

    Raises:
        ImageError: unknown suffix, larger than the format allows, or the disk refuses.
    """
    suffix = path.suffix.lower()
    if suffix not in READABLE:
        raise ImageError(f"{path}: cannot write {suffix or 'a file without suffix'}; use .png, .jpg or .webp")
    try:
        with atomic_path(path) as temporary:
            if suffix == ".png":
                # On photographs level 2 takes a quarter of the time of the default 6 for files a fifth larger;
                # at 6, encoding would take longer than many networks do.
                Image.fromarray(picture.to_array()).save(temporary, "PNG", compress_level=2)
            elif suffix == ".webp":
                Image.fromarray(picture.to_array()).save(temporary, "WEBP", quality=quality)
            else:
                # Full colour resolution: generated pictures have sharp coloured edges that 4:2:0 smears.
                Image.fromarray(flatten(picture)).save(temporary, "JPEG", quality=quality, subsampling="4:4:4")
    except OSError as error:
        raise ImageError(f"{path}: cannot be written ({error.strerror or error}); check the disk and rights") from None
    except ValueError as error:
        raise ImageError(f"{path}: {suffix} cannot hold this picture ({error}); write .png instead") from None


def resize(image: Pixels, height: int, width: int) -> Pixels:
    """Resize (H, W) or (H, W, 3) uint8 to `height` x `width` with Lanczos (widened when shrinking, so no aliasing)."""
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS))


def fit_size(height: int, width: int, longer: int) -> tuple[int, int]:
    """Return (height, width) of the same aspect ratio whose longer side is `longer`; neither is below 1."""
    factor = longer / max(height, width)
    return max(1, round(height * factor)), max(1, round(width * factor))


def relight(picture: Pixels, before: Pixels, after: Pixels) -> Pixels:
    """Give a picture the change that a small copy of it went through, and keep its own fine detail.

    `after`, enlarged, plus what the picture has beyond `before`, enlarged; that detail is as strong as the place is
    bright, so the texture of a wall goes dark with the wall.

    Args:
        picture: (H, W, 3) uint8.
        before, after: (h, w, 3) uint8, the small copy and what became of it.

    Returns:
        (H, W, 3) uint8.
    """
    height, width = picture.shape[:2]
    before, after = resize(before, height, width), resize(after, height, width)
    changed = np.empty_like(picture)
    for top in range(0, height, _BAND):  # in bands, since floats take four times the memory
        rows = slice(top, top + _BAND)
        was, became = before[rows].astype(np.float32), after[rows].astype(np.float32)
        gain = (became.mean(axis=2, keepdims=True) + _DIM) / (was.mean(axis=2, keepdims=True) + _DIM)
        detail = (picture[rows] - was) * np.minimum(gain, _MOST_GAIN)
        changed[rows] = np.clip(np.rint(became + detail), 0, 255).astype(np.uint8)
    return changed


def flatten(picture: Picture, background: int = _WHITE) -> Pixels:
    """Lay the picture on a plain grey `background` (0 black, 255 white): (H, W, 3) uint8."""
    if picture.alpha_HW is None:
        return picture.rgb_HWC
    alpha_HW1 = picture.alpha_HW[..., None].astype(np.uint16)
    blended_HWC = picture.rgb_HWC * alpha_HW1 + background * (255 - alpha_HW1)
    return ((blended_HWC + 127) // 255).astype(np.uint8)


def available_memory_bytes() -> int:
    """Return how much memory this process may still take, in bytes.

    Linux: what the kernel says is available, or what the container's limit leaves if that is less.
    Elsewhere: half of the physical memory; 2 GiB where even that is unknown (Windows).
    """
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return _half_of_physical_memory()
    kibibytes = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    return int(min(kibibytes * 1024, _cgroup_headroom_bytes()))


def _half_of_physical_memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):
        return 2 << 30


def _cgroup_headroom_bytes() -> float:
    """Limit of this process's control group less what it uses; infinite without a limit."""
    try:
        groups = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:  # not every sandbox has it
        return float("inf")
    for line in groups:
        _, controllers, group = line.split(":", 2)
        if controllers == "":
            root, limit_name, usage_name = "/sys/fs/cgroup", "memory.max", "memory.current"
        elif controllers == "memory":
            root, limit_name, usage_name = "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        # Inside a container the group named by /proc is often mounted as the root itself.
        for folder in (Path(root + group), Path(root)):
            try:
                limit = int((folder / limit_name).read_text())
                used = int((folder / usage_name).read_text())
                statistics = dict(entry.split() for entry in (folder / "memory.stat").read_text().splitlines())
            except (OSError, ValueError):  # no such group, or the limit is the word "max"
                continue
            # File cache counts as used but the kernel gives it back.
            return max(0, limit - used + int(statistics.get("inactive_file", 0)))
    return float("inf")


def _read(handle: BinaryIO, path: Path, limit: int) -> Picture:
    _silence_metadata_warnings()
    opener = _opener(handle, path)
    try:
        # The plugin itself, not Image.open: that one applies Pillow's process-wide MAX_IMAGE_PIXELS, which we
        # could only lift for every thread of the user's program. Our limit below decides instead.
        with opener(handle, str(path)) as image:
            width, height = image.size
            if width * height > limit:
                raise ImageError(
                    f"{path}: {width} x {height} pixels is too large, at most {limit / 1e6:.1f} megapixels "
                    "fit in memory here; make it smaller or use a machine with more memory"
                )
            image.load()
            return _to_picture(_upright(image), image.info.get("transparency"))
    except (ImageError, MemoryError):
        raise
    except Exception as error:
        # On damaged bytes Pillow raises whatever its parser trips over (SyntaxError, struct.error, ...).
        raise ImageError(f"{path}: damaged picture ({error}); replace it with a good copy") from None


def _opener(handle: BinaryIO, path: Path) -> Callable[[BinaryIO, str], ImageFile]:
    """Return the Pillow plugin for the file's first bytes: the allow-list of formats."""
    head = handle.read(12)
    handle.seek(0)
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return PngImageFile
    if head.startswith(b"\xff\xd8\xff"):
        return JpegImageFile
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return WebPImageFile
    found = "an empty file" if not head else "not a PNG, JPEG or WebP picture"
    raise ImageError(f"{path}: {found}; convert it to one of these or leave it out")


def _upright(image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
    except Exception:  # damaged metadata must not lose good pixels; Pillow's parser raises many types
        return image
    turn = _TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)


def _to_picture(image: Image.Image, transparency: object) -> Picture:
    """Convert any mode the three formats decode to. `transparency` is PNG's transparent colour, if any."""
    if image.mode.startswith("I;16"):
        grey_HW = np.asarray(image)
        rgb_HWC = np.stack([((grey_HW.astype(np.uint32) + 128) // 257).astype(np.uint8)] * 3, axis=-1)
        # The transparent grey is given in 16 bits: compared before scaling.
        alpha_HW = None if transparency is None else np.where(grey_HW == transparency, 0, 255).astype(np.uint8)
        return Picture(rgb_HWC, alpha_HW)
    if image.mode in ("RGBA", "LA", "PA") or transparency is not None:
        rgba_HWC = np.asarray(image.convert("RGBA"))
        return Picture(np.ascontiguousarray(rgba_HWC[..., :3]), np.ascontiguousarray(rgba_HWC[..., 3]))
    return Picture(np.asarray(image.convert("RGB")))


_filter_lock = threading.Lock()


def _silence_metadata_warnings() -> None:
    """Keep Pillow's warnings about damaged EXIF or animation headers off the user's screen.

    Neither matters for the pixels. `warnings.catch_warnings` is not safe in threads (two of them may restore
    each other's state), so this adds one narrow, lasting filter; adding it again only moves it to the front.
    """
    with _filter_lock:
        warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.\w+ImagePlugin")
