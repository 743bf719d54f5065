"""Where errors are described that nobody has foreseen: the user sees one line, whoever mends it needs the traceback."""

import tempfile
import threading
from contextlib import suppress
from pathlib import Path

from translate.files import PROCESS

FILE_NAME = ".translate-errors.log"


class FaultLog:
    """A text file, created with the first error. Thread-safe.

    `folder`: where to put it, if that can be written; otherwise it is in the system's folder for temporary files.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._wanted = [] if folder is None else [folder / FILE_NAME]
        self._wanted.append(Path(tempfile.gettempdir(), f"translate-{PROCESS}-errors.log"))
        self._known: dict[str, str] = {}
        self._lock = threading.Lock()
        self.path: Path | None = None
        """The file, once there is one."""

    def add(self, title: str, details: str) -> None:
        """Append a traceback; one that has occurred before is only mentioned. Never fails."""
        with self._lock:
            same = self._known.setdefault(details, title)
            self._append(f"{title}\n{details if same == title else f'the same as {same}'}\n\n")

    def _append(self, text: str) -> None:
        for path in [self.path] if self.path else self._wanted:
            with suppress(OSError, ValueError):
                with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
                    file.write(text)
                self.path = path
                return
