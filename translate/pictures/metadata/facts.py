"""What a picture file says beside its pixels, whatever its format."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

_LEAST_DENSITY, _MOST_DENSITY = 1e-3, 1e6
"""Pixels per inch; what lies outside is damage."""
_MOST_RATIO = 100


@dataclass(frozen=True)
class Density:
    """Pixels per inch, across and down; or, if not `absolute`, only how these two relate."""

    x: float
    y: float
    absolute: bool = True

    def size(self, height: int, width: int) -> "PhysicalSize | None":
        """How large a picture of so many pixels is; None if the numbers make no sense, or say nothing."""
        if min(self.x, self.y) <= 0 or not 1 / _MOST_RATIO <= self.x / self.y <= _MOST_RATIO:
            return None
        if self.absolute and not _LEAST_DENSITY <= min(self.x, self.y) <= max(self.x, self.y) <= _MOST_DENSITY:
            return None
        square = not self.absolute and self.x == self.y
        return None if square else PhysicalSize(height / self.y, width / self.x, self.absolute)

    def ratio(self, most: int) -> tuple[int, int]:
        """How `x` and `y` relate, in whole numbers up to about `most`."""
        found = Fraction(self.x / self.y).limit_denominator(most)
        return max(found.numerator, 1), found.denominator


@dataclass(frozen=True)
class PhysicalSize:
    """How large a picture is meant to be, in inches, upright; it stays when the number of pixels changes.

    Not `absolute`: only how height and width relate.
    """

    height: float
    width: float
    absolute: bool = True

    def turned(self) -> "PhysicalSize":
        """Return it with height and width swapped."""
        return PhysicalSize(self.width, self.height, self.absolute)

    def density(self, height: int, width: int) -> Density:
        """How many pixels an inch has, if the picture has so many."""
        return Density(width / self.width, height / self.height, self.absolute)


@dataclass(frozen=True)
class Text:
    """A text chunk of PNG; the comment of a JPEG or GIF file has the keyword `Comment`."""

    keyword: str
    text: str
    language: str = ""
    """As RFC 3066 writes it."""
    translated: str = ""
    """The keyword in that language."""


COMMENT = "Comment"


@dataclass(frozen=True)
class Facts:
    """What is to go into a file, or came out of it."""

    icc: bytes | None = None
    exif: bytes | None = None
    """Beginning with its TIFF header."""
    xmp: bytes | None = None
    density: Density | None = None
    iptc: bytes | None = None
    """IPTC's records (IIM 4.2), without wrapper."""
    texts: tuple[Text, ...] = ()
    colours: Mapping[bytes, bytes] = field(default_factory=dict[bytes, bytes])
    """PNG's chunks that say in numbers what the colours are: name -> body."""

    @property
    def comment(self) -> str:
        """The comment; empty if there is none."""
        return "\n".join(one.text for one in self.texts if one.keyword == COMMENT)


def text_of(comment: bytes) -> str:
    """Read a comment, whose encoding no format says: UTF-8, or else Latin-1."""
    comment = comment.rstrip(b"\0")
    try:
        return comment.decode()
    except UnicodeDecodeError:
        return comment.decode("latin-1")
