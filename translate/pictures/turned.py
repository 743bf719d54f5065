"""Bands of a stored picture, turned upright by way of a temporary file.

Array names carry their shape: H height, W width, C channels.
"""

import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np

from translate.pictures.picture import Picture, Pixels

BAND_TURNS = {2: (0, 0, 1), 3: (0, 1, 1), 4: (0, 1, 0), 5: (1, 0, 0), 6: (1, 0, 1), 7: (1, 1, 1), 8: (1, 1, 0)}
"""EXIF's orientation -> whether to swap rows and columns, then turn upside down, then mirror."""


class TurnedBands:
    """Bands of a stored picture, turned, in a temporary file from which rows can be read.

    Raises:
        OSError: the disk is full.
    """

    def __init__(self, bands: Generator[Picture], orientation: int, folder: Path) -> None:
        self._transpose, self._down, self._mirror = BAND_TURNS[orientation]
        self._file: Any = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - see `close`
        self._pieces: list[tuple[int, tuple[int, int, int], Any]] = []
        place = 0
        try:
            for band in bands:
                piece_HWC = band.to_array()
                if self._transpose:
                    piece_HWC = piece_HWC.swapaxes(0, 1)
                piece_HWC = piece_HWC[:: -1 if self._down else 1, :: -1 if self._mirror else 1]
                self._file.write(np.ascontiguousarray(piece_HWC).data)
                self._pieces.append((place, piece_HWC.shape, piece_HWC.dtype))
                place += piece_HWC.nbytes
            self._file.flush()
        except BaseException:
            self.close()
            raise
        # The first band comes to lie at the right or at the bottom.
        if self._mirror if self._transpose else self._down:
            self._pieces.reverse()

    def close(self) -> None:
        """Remove the file."""
        self._file.close()

    def rows(self, top: int, bottom: int) -> Picture:
        """Return these rows of the turned picture."""
        if self._transpose:  # the pieces lie side by side
            return Picture.from_array(
                np.concatenate([self._read(piece, top, bottom) for piece in self._pieces], axis=1)
            )
        found: list[Pixels] = []
        first = 0
        for piece in self._pieces:
            last = first + piece[1][0]
            if first < bottom and top < last:
                found.append(self._read(piece, max(top - first, 0), min(bottom, last) - first))
            first = last
        return Picture.from_array(np.concatenate(found))

    def _read(self, piece: tuple[int, tuple[int, int, int], Any], top: int, bottom: int) -> Pixels:
        place, (_, width, channels), dtype = piece
        rows_HWC = np.empty((bottom - top, width, channels), dtype)
        self._file.seek(place + top * width * channels * dtype.itemsize)
        read = self._file.readinto(rows_HWC.data.cast("B"))
        assert read == rows_HWC.nbytes
        return rows_HWC
