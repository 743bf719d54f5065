"""The libraries that run models would report to their makers; here they do not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SIGNS_OF_CI = ("CI", "TF_BUILD", "JENKINS_URL", "GITHUB_ACTIONS")
"""Where one of these is set, the libraries are quiet by themselves."""

RUN = """
import sys
from translate import Engine
import numpy as np
Engine(sys.argv[1], device=sys.argv[2])(np.zeros((1, 8, 8, 3), np.uint8))
"""


@pytest.mark.parametrize("device", ["cpu", "openvino"])
def test_no_library_keeps_an_identifier_or_anything_to_send(device: str, tmp_path: Path, invert_model: Path) -> None:
    """They keep an identifier of the machine and what is to be sent in the home folder or that for temporary files."""
    home = tmp_path / "home"
    home.mkdir()
    quiet = {"ORT_DISABLE_TELEMETRY", *SIGNS_OF_CI}  # the first was set when `translate` was imported here
    environment = {name: value for name, value in os.environ.items() if name not in quiet}
    environment |= {"HOME": str(home), "TMPDIR": str(home), "XDG_CACHE_HOME": str(home), "XDG_DATA_HOME": str(home)}
    subprocess.run([sys.executable, "-c", RUN, str(invert_model), device], env=environment, check=True, timeout=120)
    assert list(home.iterdir()) == []
