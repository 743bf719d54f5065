"""Puts content credentials (C2PA) into results, with c2pa-python; never uses the network.

Measured: 1 to 2 ms of a core and 4 KB for a small picture; in memory two to three times the size of the file.
"""

import json
import mmap
import threading
from collections.abc import Mapping
from functools import cache, cached_property, lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from translate.credentials.identity import OFF, ON, Identity, anchors, identity_of
from translate.credentials.library import c2pa, context, said
from translate.credentials.manifest import Maker, definition, ingredient
from translate.errors import ConfigError, ImageError, require
from translate.machine import available_memory_bytes
from translate.pictures.formats import FORMATS, HEAD_BYTES, recognise

_IMAGES = ("PNG", "JPEG", "WebP", "AVIF", "TIFF", "GIF")
SIGNED: Mapping[str, str] = {
    **{suffix: f"image/{one.name.lower()}" for one in FORMATS if one.name in _IMAGES for suffix in one.suffixes},
    ".mp4": "video/mp4",
    ".mov": "video/quicktime",
}
"""Suffix (lower case) of the results that hold credentials -> media type."""

MARK = b"jumdc2pa\x00\x11\x00\x10\x80\x00\x00\xaa\x00\x38\x9b\x71"
"""What the credentials in a file begin with (C2PA specification 2.2, 11.1.4.2); no format compresses them."""

_MEMORY = 3
"""Bytes of memory for each byte of a file that is signed: 2 measured with PNG, TIFF and MP4, 3 with JPEG."""
_ONE_FILE = threading.Lock()
"""Large files are signed one at a time, for the sake of memory."""


def check_credentials(credentials: str) -> None:
    """Check a value of `--credentials`; a certificate of the user by signing with it, that of the machine not at all.

    Raises:
        MissingExtra: the extra `credentials` is not installed.
        ConfigError: the certificate or its key cannot be used, see `translate.credentials.identity.read_identity`.
    """
    if credentials == OFF:
        return
    require("credentials", "c2pa", "cryptography")
    if credentials != ON:
        _try_out(identity_of(credentials), credentials)


def why_unsigned(suffix: str, pages: int = 1) -> str:
    """Why a result holds no credentials, as a note for the user; empty if it does.

    Args:
        suffix: of the result.
        pages: how many it has.
    """
    kind = suffix.lower().removeprefix(".").upper()
    if suffix.lower() in (".tif", ".tiff") and pages > 1:
        # They would be one more directory without a picture (specification, A.3.2), which libtiff and Pillow refuse.
        return (
            "has several pages, and with content credentials many programs could not read it; its XMP says how it was "
            "made"
        )
    if suffix.lower() in SIGNED:
        return ""
    if kind in ("MKV", "WEBM"):
        return f"{kind} cannot hold content credentials, MP4 can; a tag says how it was made"
    return f"{kind} cannot hold content credentials; PNG can"


def has_credentials(data: Path | bytes) -> bool:
    """Whether a file has content credentials inside, without reading them."""
    if isinstance(data, bytes):
        return MARK in data
    try:
        with data.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as found:
            return found.find(MARK) >= 0
    except (OSError, ValueError):  # ValueError: an empty file
        return False


def media_type(data: Path | bytes, name: str) -> str:
    """The media type of a file, of a picture by its first bytes, of a film by its suffix; empty if unknown."""
    head = data[:HEAD_BYTES] if isinstance(data, bytes) else _head(data)
    found = recognise(head)
    if found is not None and not found.weak:
        return f"image/{found.name.lower().replace('jpeg 2000', 'jp2')}"
    known = {".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/quicktime", ".avi": "video/x-msvideo"}
    return known.get(Path(name).suffix.lower(), "")


class Signer:
    """Signs the results of a model. Thread-safe.

    For an identity see `translate.credentials.identity.identity_of`.
    """

    def __init__(self, identity: Identity, maker: Maker) -> None:
        self._identity, self.maker = identity, maker

    def stamp(self, title: str, data: Path | bytes, sha256: str, *, private: bool) -> "Stamp":
        """What signs the results made of one input.

        Args:
            title: name of the file, without folders.
            data: the file, or its bytes.
            sha256: of it, hexadecimal.
            private: whether to leave out the title, and the input's own credentials, which may hold a location and
                thumbnails.
        """
        return Stamp(self, title, data, sha256, private)

    @cached_property
    def native(self) -> Any:
        """The signer of c2pa-python."""
        return _native(self._identity)


class Stamp:
    """Signs the results made of one input; see `Signer.stamp`.

    `notes`: what the user should know, once something has been signed; one line each.
    """

    def __init__(self, signer: Signer, title: str, data: Path | bytes, sha256: str, private: bool) -> None:
        self._signer, self._title, self._data, self._sha256, self._private = signer, title, data, sha256, private
        self.notes: tuple[str, ...] = ()

    def signed(self, encoded: bytes, suffix: str) -> bytes:
        """Return a file with credentials; unchanged if its format has no place for them.

        Raises:
            ImageError: it cannot be signed.
        """
        if suffix.lower() not in SIGNED:
            self._note(why_unsigned(suffix))
            return encoded
        result = BytesIO()
        self._sign(BytesIO(encoded), result, SIGNED[suffix.lower()])
        return result.getvalue()

    def sign_file(self, path: Path, pages: int = 1) -> None:
        """Sign a file that nobody else uses yet, in place.

        Raises:
            ImageError: it cannot be signed.
            OSError: it cannot be written.
        """
        if why := why_unsigned(path.suffix, pages):
            self._note(why)
            return
        whole = path.with_name(f"{path.stem}.signed{path.suffix}")
        with _ONE_FILE:
            size, free = path.stat().st_size, available_memory_bytes()
            if _MEMORY * size > free:
                raise ImageError(
                    f"the result has {size >> 20} MiB, and {free >> 20} MiB of free memory are too few to sign it; "
                    "close other programs or give --credentials off"
                )
            try:
                with path.open("rb") as source, whole.open("wb+") as target:
                    self._sign(source, target, SIGNED[path.suffix.lower()])
                whole.replace(path)
            finally:
                whole.unlink(missing_ok=True)

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes = (*self.notes, text)

    def _sign(self, source: BinaryIO, target: BinaryIO, kind: str) -> None:
        """Sign, with the input's own credentials, or without if they are too damaged for that."""
        has = has_credentials(self._data)
        if has and self._private:
            self._note("its own content credentials were left out, as they may hold what was to be stripped")
        for keeps in (True, False) if has and not self._private else (False,):
            source.seek(0)
            target.seek(0)
            target.truncate()
            try:
                with self._builder(keeps=keeps) as builder:
                    builder.sign(self._signer.native, kind, source, target)
                return
            except c2pa().C2paError as error:
                reason = said(error)
                if not keeps:
                    raise ImageError(f"cannot be signed ({reason}); give --credentials off to do without") from None
                self._note(f"its own content credentials are damaged and were left out ({reason})")

    def _builder(self, *, keeps: bool) -> Any:
        """A builder that knows the input; `keeps`: with its own credentials."""
        claim = definition(self._signer.maker)
        title = "" if self._private else self._title
        own = ingredient(title, media_type(self._data, self._title), self._sha256)
        if not keeps:
            return c2pa().Builder(json.dumps({**claim, "ingredients": [own]}), context(checks=False))
        builder = c2pa().Builder(json.dumps(claim), context(checks=True, trust=anchors()))
        data = self._data
        with BytesIO(data) if isinstance(data, bytes) else data.open("rb") as stream:
            builder.add_ingredient(own, own.get("format", ""), stream)
        return builder


@lru_cache(maxsize=8)
def _native(identity: Identity) -> Any:
    try:
        return c2pa().Signer.from_info(
            c2pa().C2paSignerInfo(identity.algorithm.encode(), identity.chain, identity.key, None)
        )
    except c2pa().C2paError as error:
        raise ConfigError(f"the certificate cannot sign content credentials ({said(error)})") from None


@lru_cache(maxsize=8)
def _try_out(identity: Identity, name: str) -> None:
    """Sign a picture of one pixel and read it.

    Raises:
        ConfigError: that is refused.
    """
    from translate.credentials.verify import read

    advice = "it needs the key usage digitalSignature, and an extended key usage such as emailProtection"
    try:
        stamp = Signer(identity, Maker("", "", "")).stamp("", b"", "", private=True)
        faults = read(BytesIO(stamp.signed(_pixel(), ".png")), "image/png", "").faults
    except (ImageError, c2pa().C2paError) as error:
        faults = (str(error),)
    if faults:
        raise ConfigError(f"{name}: cannot sign content credentials ({faults[0]}); {advice}")


@cache
def _pixel() -> bytes:
    from PIL import Image

    buffer = BytesIO()
    Image.new("RGB", (1, 1)).save(buffer, "PNG")
    return buffer.getvalue()


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)
