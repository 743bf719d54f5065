"""EXIF: what must change when the pixels do, and the way into and out of TIFF files.

EXIF is bytes that begin with a TIFF header. Only what must change is changed, in place: makers' notes hold offsets and
would break if they moved. Damaged EXIF is left out, never an error.
"""

import struct
from fractions import Fraction

from translate.pictures.metadata import iptc as iptc_records
from translate.pictures.metadata.exif_editor import EXIF_DIRECTORY, Editor
from translate.pictures.metadata.facts import Density, Facts
from translate.pictures.metadata.tiff_tags import (
    BYTE,
    RATIONAL,
    SHORT,
    UNDEFINED,
    Directory,
    Entry,
    Tiff,
    Value,
    pack,
    swapped,
)

_ORIENTATION = 0x0112
_LOCATION, _INTEROPERABILITY = 0x8825, 0xA005
"""Tags that point to the directory of the place (GPS), and to one inside EXIF's own."""
_COLOUR_SPACE = 0xA001
"""1 is sRGB, any other number is not."""
_WIDTHS, _HEIGHTS = {0x0100, 0xA002}, {0x0101, 0xA003}
_PLACES_IN_PICTURE = {0x9214, 0xA214}
"""Where the subject is, in pixels."""
_SENSOR = {0xA20E, 0xA20F}
"""Pixels per unit of the sensor."""
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 0x011A, 0x011B, 0x0128
_RESOLUTION = {_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT}
"""Pixels per inch or centimetre, which every TIFF has."""
_NO_UNIT, _INCH, _CENTIMETRE = 1, 2, 3
_XMP, _ICC, _IPTC, _PHOTOSHOP = 0x02BC, 0x8773, 0x83BB, 0x8649
_DESCRIBING = {
    *(0x010D, 0x010E, 0x010F, 0x0110, 0x011A, 0x011B, 0x0128, 0x0131, 0x0132, 0x013B, 0x013C),
    *(0x4746, 0x4749, 0x8298, 0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F),
}
"""Tags of a TIFF's first directory that say nothing about how its pixels are stored: title, maker, date, copyright."""
_MOST_BYTES = 16 << 20


def orientation(exif: bytes) -> int:
    """Return how the stored pixels lie, 1 to 8 (EXIF 2.32, 4.6.4); 0 if it is not said."""
    numbers = tiff_numbers(exif, _ORIENTATION)
    return numbers[0] if numbers and 1 <= numbers[0] <= 8 else 0


def upright(exif: bytes) -> bytes | None:
    """Return the EXIF of the same picture turned upright, without thumbnail; None if it is damaged."""
    turned = orientation(exif) > 1
    try:
        editor = Editor(exif)
        editor.remove_thumbnail()
        for entry in editor.main():
            if entry.tag == _ORIENTATION:
                editor.write_number(entry, 1)
        if turned:
            editor.remove(_PLACES_IN_PICTURE)
        return editor.result()
    except ValueError:
        return None


def marked_upright(data: bytes) -> bytes:
    """Return a TIFF file whose first directory says that its pixels are upright, if it says anything of it."""
    if orientation(data) <= 1:
        return data
    tiff, changed = Tiff(data), bytearray(data)
    for entry in tiff.entries(tiff.first)[0]:
        if entry.tag == _ORIENTATION:
            changed[entry.where : entry.where + entry.size] = (1).to_bytes(entry.size, tiff.byteorder)
    return bytes(changed)


def density(exif: bytes) -> Density | None:
    """Return the resolution that EXIF, or a TIFF file's first directory, gives; None if it gives none."""
    try:
        tiff = Tiff(exif)
        entries = {entry.tag: entry for entry in tiff.entries(tiff.first)[0] if entry.tag in _RESOLUTION}
        x, y = (tiff.fraction(entries[tag]) for tag in (_X_RESOLUTION, _Y_RESOLUTION))
        units = tiff.integers(entries[_RESOLUTION_UNIT]) if _RESOLUTION_UNIT in entries else ()
    except (ValueError, KeyError):
        return None
    unit = units[0] if units else _INCH
    inch = 2.54 if unit == _CENTIMETRE else 1.0
    return Density(x * inch, y * inch, absolute=unit != _NO_UNIT)


def with_density(exif: bytes | None, wanted: Density) -> bytes | None:
    """Return the EXIF with this resolution, if it says none, for files that have no other place; None if damaged."""
    if exif is None:
        return _header("<") + pack(_resolution(wanted, "<"), 8, "<")
    try:
        editor = Editor(exif)
        if not {entry.tag for entry in editor.main()} & _RESOLUTION:
            editor.append(_resolution(wanted, editor.tiff.order))
        return editor.result()
    except ValueError:
        return None


def _resolution(wanted: Density, order: str) -> dict[int, "Value | Directory"]:
    numbers = (wanted.x, wanted.y) if wanted.absolute else wanted.ratio(10_000)
    x, y = (Value(RATIONAL, _rational(number, order)) for number in numbers)
    unit = struct.pack(order + "H", _INCH if wanted.absolute else _NO_UNIT)
    return {_X_RESOLUTION: x, _Y_RESOLUTION: y, _RESOLUTION_UNIT: Value(SHORT, unit)}


def _rational(number: float, order: str) -> bytes:
    found = Fraction(min(number, 4e9)).limit_denominator(max(1, int(4e9 / max(number, 1)) // 1000))
    return struct.pack(order + "2L", found.numerator, found.denominator)


def for_result(
    exif: bytes, height: int, width: int, *, srgb: bool = False, density: Density | None = None
) -> bytes | None:
    """Return the EXIF with the picture's size; what belonged to another size is left out. None if damaged.

    Args:
        exif: EXIF of the source, upright.
        height, width: of the result.
        srgb: the colours have been converted to sRGB, and what EXIF says of them is made to agree.
        density: of the result; so is what EXIF says of it, if it says anything.
    """
    try:
        editor = Editor(exif)
        changed = False
        for entry in [*editor.main(), *editor.below(EXIF_DIRECTORY)]:
            if entry.tag in _WIDTHS | _HEIGHTS:
                number = width if entry.tag in _WIDTHS else height
                changed |= editor.tiff.integers(entry) != (number,)
                editor.write_number(entry, number)
            elif srgb and entry.tag == _COLOUR_SPACE:
                editor.write_number(entry, 1)
        if density is not None:
            editor.write_values(_resolution(density, editor.tiff.order))
        if srgb:
            editor.remove({_INTEROPERABILITY})  # it says whether the colours are Adobe RGB
        if changed:
            editor.remove(_PLACES_IN_PICTURE | _SENSOR)
        return editor.result()
    except ValueError:
        return None


def without_location(exif: bytes) -> bytes | None:
    """Return the EXIF without the place where the picture was taken (GPS); None if it is damaged."""
    try:
        editor = Editor(exif)
        for directory in editor.pointers(_LOCATION):
            editor.wipe(directory)
        editor.remove({_LOCATION})
        return editor.result()
    except ValueError:
        return None


def without_orientation(exif: bytes) -> bytes | None:
    """Return the EXIF without its orientation, which some formats keep elsewhere; None if it is damaged."""
    try:
        editor = Editor(exif)
        editor.remove({_ORIENTATION})
        return editor.result()
    except ValueError:
        return None


def from_tiff(data: bytes) -> bytes | None:
    """Return what a TIFF file says about its picture as EXIF; None if that is nothing, or damaged."""
    try:
        tiff = Tiff(data)
        main, _ = tiff.entries(tiff.first)
        found: dict[int, Value | Directory] = {
            entry.tag: tiff.value(entry)
            for entry in main
            if entry.tag in _DESCRIBING | {_ORIENTATION} and entry.size <= _MOST_BYTES
        }
        found |= _pointed(tiff, main)
        turned = any(entry.tag == _ORIENTATION and tiff.integers(entry)[:1] not in ((), (1,)) for entry in main)
    except ValueError:
        return None
    if not turned and not found.keys() - {_ORIENTATION} - _RESOLUTION:
        return None
    return _header(tiff.order) + pack(found, 8, tiff.order)


def tiff_numbers(data: bytes, tag: int) -> tuple[int, ...]:
    """Return the whole numbers of a tag of a TIFF file's first directory; () if there are none."""
    try:
        tiff = Tiff(data)
        found = [tiff.integers(entry) for entry in tiff.entries(tiff.first)[0] if entry.tag == tag]
    except ValueError:
        return ()
    return found[0] if found else ()


def facts_of_tiff(data: bytes, icc: bytes | None, xmp: bytes | None) -> Facts:
    """Return what a TIFF file says beside its pixels; profile and XMP are given."""
    return Facts(icc, from_tiff(data), xmp, density(data), _tiff_iptc(data))


def _tiff_iptc(data: bytes) -> bytes | None:
    """IPTC records of a TIFF file, which are in a tag of their own or among Photoshop's; None: none."""
    try:
        tiff = Tiff(data)
        entries = {entry.tag: entry for entry in tiff.entries(tiff.first)[0] if entry.size <= _MOST_BYTES}
        own, others = (tiff.value(entries[tag]).data if tag in entries else b"" for tag in (_IPTC, _PHOTOSHOP))
    except ValueError:
        return None
    return iptc_records.unwrapped(iptc_records.in_order(own)) or iptc_records.unwrapped(others)


def into_tiff(
    data: bytes,
    *,
    exif: bytes | None,
    icc: bytes | None,
    xmp: bytes | None,
    density: Density | None = None,
    iptc: bytes | None = None,
) -> bytes:
    """Return a TIFF file of one picture with these facts; they are appended with a new directory."""
    tiff = Tiff(data)
    found: dict[int, Value | Directory] = dict(tiff.directory(tiff.first))
    if exif is not None:
        found |= _described(exif, tiff.order)
    if density is not None:
        found |= _resolution(density, tiff.order)
    if icc is not None:
        found[_ICC] = Value(UNDEFINED, icc)
    if xmp is not None:
        found[_XMP] = Value(BYTE, xmp)
    if iptc is not None:
        found[_IPTC] = Value(UNDEFINED, iptc)
    data += bytes(len(data) % 2)
    place = len(data).to_bytes(8 if tiff.big else 4, tiff.byteorder)
    head = data[:8] + place if tiff.big else data[:4] + place
    return head + data[len(head) :] + pack(found, len(data), tiff.order, tiff.big)


def _described(exif: bytes, order: str) -> dict[int, "Value | Directory"]:
    """What EXIF says, for the first directory of a TIFF file with this order of bytes; nothing if it is damaged."""
    try:
        tiff = Tiff(exif)
        main, _ = tiff.entries(tiff.first)
        found: dict[int, Value | Directory] = {
            entry.tag: tiff.value(entry) for entry in main if entry.tag in _DESCRIBING
        }
        found |= _pointed(tiff, main)
    except ValueError:
        return {}
    return found if tiff.order == order else _swap_all(found)


def _pointed(tiff: Tiff, main: list[Entry]) -> dict[int, "Value | Directory"]:
    """The directories that `main` points to; damaged ones are left out."""
    found: dict[int, Value | Directory] = {}
    for entry in main:
        if entry.tag not in (EXIF_DIRECTORY, _LOCATION):
            continue
        try:
            inner, _ = tiff.entries(tiff.integers(entry)[0])
            small = [line for line in inner if line.size <= _MOST_BYTES]
            directory: dict[int, Value | Directory] = {line.tag: tiff.value(line) for line in small}
            if _INTEROPERABILITY in directory:
                line = next(line for line in small if line.tag == _INTEROPERABILITY)
                directory[_INTEROPERABILITY] = tiff.directory(tiff.integers(line)[0])
        except (ValueError, IndexError):
            continue
        found[entry.tag] = directory
    return found


def _swap_all(directory: Directory) -> dict[int, "Value | Directory"]:
    return {tag: swapped(value) if isinstance(value, Value) else _swap_all(value) for tag, value in directory.items()}


def _header(order: str) -> bytes:
    return b"II*\0\x08\0\0\0" if order == "<" else b"MM\0*\0\0\0\x08"
