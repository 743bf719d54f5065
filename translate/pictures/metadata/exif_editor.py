"""Changes EXIF in place: makers' notes hold offsets and would break if they moved."""

import struct
from collections.abc import Set

from translate.pictures.metadata.tiff_tags import LONG, SHORT, SIZES, Directory, Entry, Tiff, Value

EXIF_DIRECTORY = 0x8769
"""Tag that points to EXIF's own directory."""
_STRIPS, _STRIP_SIZES = {0x0111, 0x0201}, {0x0117, 0x0202}
"""Where pixels lie (of thumbnails: TIFF's or JPEG's) and how many bytes they are."""


class Editor:
    """Changes EXIF in place.

    Raises:
        ValueError: not EXIF, or its first directory is damaged.
    """

    def __init__(self, exif: bytes) -> None:
        self.data = bytearray(exif)
        self.tiff = Tiff(self.data)
        if self.tiff.big:
            raise ValueError("EXIF has no BigTIFF")
        self.main()

    def main(self) -> list[Entry]:
        """Entries of the first directory."""
        return self.tiff.entries(self.tiff.first)[0]

    def pointers(self, tag: int) -> list[int]:
        """Where the directories of this tag are, be it in the first directory or in EXIF's own."""
        entries = [*self.main(), *(self.below(EXIF_DIRECTORY) if tag != EXIF_DIRECTORY else [])]
        return [number for entry in entries if entry.tag == tag for number in self.tiff.integers(entry)[:1]]

    def below(self, tag: int) -> list[Entry]:
        """Entries of the directory that `tag` points to; none if there is none, or a damaged one."""
        found: list[Entry] = []
        for place in self.pointers(tag):
            try:
                found += self.tiff.entries(place)[0]
            except ValueError:
                continue
        return found

    def write_number(self, entry: Entry, number: int) -> None:
        """Make the entry one number, in the space it has: a short one, or a long one where it is large."""
        if self.tiff.integers(entry) == (number,):
            return
        order = self.tiff.byteorder
        kind = SHORT if number < 1 << 16 else LONG
        size = SIZES[kind]
        line = kind.to_bytes(2, order) + (1).to_bytes(4, order) + number.to_bytes(size, order)
        self.data[entry.place + 2 : entry.place + 12] = line.ljust(10, b"\0")

    def write_values(self, wanted: Directory) -> None:
        """Change entries of the first directory in place, where they have the same type and length."""
        for entry in self.main():
            value = wanted.get(entry.tag)
            if not isinstance(value, Value) or (entry.type, entry.size) != (value.type, len(value.data)):
                continue
            if entry.where >= 8:
                self.data[entry.where : entry.where + entry.size] = value.data

    def append(self, added: Directory) -> None:
        """Write the first directory anew behind everything else, with more entries; old values stay where they are."""
        order, (old, end) = self.tiff.order, self.tiff.entries(self.tiff.first)
        lines = {entry.tag: bytes(self.data[entry.place : entry.place + 12]) for entry in old}
        self.data += bytes(len(self.data) % 2)
        values = len(self.data) + 2 + 12 * (len(lines) + len(added)) + 4
        behind = b""
        for tag, value in added.items():
            assert isinstance(value, Value)
            place = value.data.ljust(4, b"\0")
            if len(value.data) > 4:
                place = struct.pack(order + "L", values + len(behind))
                behind += value.data
            lines[tag] = struct.pack(order + "HHL", tag, value.type, len(value.data) // SIZES[value.type]) + place
        directory = b"".join(line for _, line in sorted(lines.items()))
        following = bytes(self.data[end : end + 4])
        start = struct.pack(order + "L", len(self.data))
        self.data += struct.pack(order + "H", len(lines)) + directory + following + behind
        self.data[4:8] = start

    def remove(self, tags: Set[int]) -> None:
        """Remove entries of the first directory and of EXIF's own; what they point to stays."""
        for offset in [self.tiff.first, *self.pointers(EXIF_DIRECTORY)]:
            while True:
                try:
                    entries, end = self.tiff.entries(offset)
                except ValueError:
                    break
                line = next((entry for entry in entries if entry.tag in tags), None)
                if line is None:
                    break
                (count,) = self.tiff.numbers("H", offset)  # now: a damaged value may lie over the directory itself
                self._zero(line.where, line.size)
                # The lines behind, and the pointer to the next directory, move up.
                self.data[line.place : end + 4] = self.data[line.place + 12 : end + 4] + bytes(12)
                self.data[offset : offset + 2] = (count - 1).to_bytes(2, self.tiff.byteorder)

    def wipe(self, offset: int) -> None:
        """Overwrite a directory and its values with zeros."""
        try:
            entries, end = self.tiff.entries(offset)
        except ValueError:
            return
        for entry in entries:
            self._zero(entry.where, entry.size)
        self._zero(offset, end + 4 - offset)

    def remove_thumbnail(self) -> None:
        """Overwrite the second directory and its pixels, and cut them off where they are the end."""
        _, end = self.tiff.entries(self.tiff.first)
        (second,) = self.tiff.numbers("L", end)
        if not second:
            return
        self._zero(end, 4)
        try:
            entries, _ = self.tiff.entries(second)
        except ValueError:
            return
        places = [n for entry in entries if entry.tag in _STRIPS for n in self.tiff.integers(entry)]
        sizes = [n for entry in entries if entry.tag in _STRIP_SIZES for n in self.tiff.integers(entry)]
        self.wipe(second)
        for place, size in zip(places, sizes, strict=False):
            if place + size <= len(self.data):
                self._zero(place, size)
                if len(self.data) - (place + size) < 4:
                    del self.data[place:]

    def result(self) -> bytes:
        """The bytes; ValueError if they cannot be read any more, since damaged pointers crossed."""
        self.main()
        return bytes(self.data)

    def _zero(self, place: int, size: int) -> None:
        if place >= 8 and place + size <= len(self.data):
            self.data[place : place + size] = bytes(size)
