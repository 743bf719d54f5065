"""An Engine that keeps its results, for pages where the same picture is mixed in one strength after the other."""

import contextlib
import hashlib
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from translate.files import atomic_path
from translate.inference.engine import Engine
from translate.inference.placement import Placement
from translate.pictures.operations import Pixels

MOST_BYTES = 1 << 30
"""Results kept on disk, of all pictures; the one that was used longest ago goes first."""


class KeepingEngine(Engine):
    """The model of another Engine; one that has seen the same pixels with the same controls does not run again.

    What is kept is the result before it is mixed with the picture and encoded, so any strength and format is made of
    it, and is the same to the byte. Thread-safe, as the Engine.

    `engine`: the one whose model it is; both share its session.
    `folder`: where results are kept, as `.npy` files named by a hash of everything that they depend on. Only for as
    long as the process runs: a model file may be another one under the same name later.
    `most_bytes`: size of all files in `folder`; a result that is larger by itself is not kept.
    """

    def __init__(self, engine: Engine, folder: Path, most_bytes: int = MOST_BYTES) -> None:
        vars(self).update(vars(engine))
        self._folder, self._most_bytes = folder, most_bytes
        self._sweeping = threading.Lock()

    def _changed(self, rgb_HWC: Pixels, controls: Mapping[str, NDArray[Any]], framing: Placement) -> Pixels:
        path = self._folder / f"{self._digest(rgb_HWC, controls, framing)}.npy"
        # Not there, or damaged by whatever happens to disks, which fails in many ways.
        with contextlib.suppress(Exception), path.open("rb") as file:
            found: Pixels = np.load(file)
            path.touch()
            return found
        result_HWC = super()._changed(rgb_HWC, controls, framing)
        if result_HWC.nbytes <= self._most_bytes:
            with contextlib.suppress(OSError):  # a full disk is no reason to fail: the next time takes longer
                self._folder.mkdir(parents=True, exist_ok=True)
                with atomic_path(path) as part, part.open("wb") as file:
                    np.save(file, result_HWC)
                self._sweep()
        return result_HWC

    def _digest(self, rgb_HWC: Pixels, controls: Mapping[str, NDArray[Any]], framing: Placement) -> str:
        digest = hashlib.sha256(f"{self.path}\n{self.spec.weights_sha256}\n{framing}\n".encode())
        for name, array in (("picture", rgb_HWC), *sorted(controls.items())):
            digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def _sweep(self) -> None:
        with self._sweeping:
            found = [(path, path.stat()) for path in self._folder.glob("[!.]*.npy")]
            size = sum(facts.st_size for _, facts in found)
            for path, facts in sorted(found, key=lambda one: one[1].st_mtime_ns):
                if size <= self._most_bytes:
                    return
                path.unlink(missing_ok=True)
                size -= facts.st_size
