"""A small version of `benchmarks/chaos.py`, which itself takes minutes; and that it would notice."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SMALL = ["--pictures", "8", "--images", "8"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it forks, and looks for processes in /proc")
def test_a_few_faults() -> None:
    command = [sys.executable, str(BENCHMARKS / "chaos.py"), "--faults", "3", "--seed", "4", *SMALL]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    figure = r"3 faults \(.*\) in \d+ s: \d+ times all 11 results or the weights equal the undisturbed run's, 0 half-.*"
    assert re.fullmatch(figure, done.stdout.splitlines()[-1])


NOTICED = """
import sys, random
from pathlib import Path
import chaos_work
work = chaos_work.Conversion(Path(sys.argv[1]), 12, random.Random(0))
work.undisturbed(work.out)
result = next(work.out.rglob("*.png"))
whole = result.read_bytes()
for spoil in (lambda: result.write_bytes(whole[:-1]), lambda: (work.out / ".0.part.png").write_bytes(b"")):
    spoil()
    try:
        work.check()
        work.finish()
    except chaos_work.Broken as broken:
        print(broken)
    result.write_bytes(whole)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="as above")
def test_it_notices_a_half_written_result_and_a_temporary_file(tmp_path: Path) -> None:
    command = [sys.executable, "-c", NOTICED, str(tmp_path / "work")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=BENCHMARKS)
    assert done.returncode == 0, done.stderr
    half, left = [line for line in done.stdout.splitlines() if line.startswith("conversion: ")]
    assert "is none of its right results" in half
    assert left.startswith("conversion: left behind: ")
