"""Weight files inside installed packages: found without importing the package, and checked by their SHA-256."""

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from translate.errors import MissingExtra, ModelError


class Package(NamedTuple):
    """A package that holds files which are needed here."""

    distribution: str
    """Its name in the package index."""
    module: str
    install: str
    """What to do to install it, as the end of a message."""

    def missing(self) -> str | None:
        """The one-line reason why it is not available, or None if it is."""
        return None if find_spec(self.module) else f"{self.distribution} not installed; {self.install}"

    def read(self, path: str, sha256: str) -> bytes:
        """Read a file in the module's folder.

        Args:
            path: relative to that folder.
            sha256: of the published file, hexadecimal.

        Raises:
            MissingExtra: the package is not installed.
            ModelError: the file is missing there, or differs from the published one.
        """
        if (reason := self.missing()) is not None:
            raise MissingExtra(reason)
        spec = find_spec(self.module)
        for folder in (spec and spec.submodule_search_locations) or ():
            file = Path(folder) / path
            if not file.is_file():
                continue
            content = file.read_bytes()
            if (found := hashlib.sha256(content).hexdigest()) != sha256:
                raise ModelError(
                    f"{file} has the SHA-256 {found}, expected {sha256}; reinstall {self.distribution}: {self.install}"
                )
            return content
        raise ModelError(f"{path} is missing in the package {self.distribution}; reinstall it: {self.install}")
