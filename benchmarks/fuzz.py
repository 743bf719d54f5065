"""Damages good files, requests and names, and gives them to everything that reads what comes from outside.

    python benchmarks/fuzz.py --inputs 200000
    python benchmarks/fuzz.py --inputs 20000 --only picture --seed 7

The targets are those of `tests/fuzzing/targets.py`, which the test suite tries too, with few inputs. Where the package
atheris is installed (Linux, `pip install '.[fuzz]'`) it watches which lines of our code an input reaches, and goes on
with those that reach new ones; elsewhere, and with `--blind`, seeds are damaged at random. Each target runs in
processes of its own. The address space is limited, and an input may take 5 seconds of processor time (30 on the clock)
and 1 GiB of memory at most. A process that crashes or hangs, in native code too, is replaced, and the rest goes on.

Every input that does not end normally or with an error of ours is written to a file in `--out` and is a line of the
output; the exit status is then 1. `--replay FILE` tries such a file again, its target given by `--only`. The last line
is the figure.
"""

import argparse
import contextlib
import hashlib
import mmap
import os
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests"
sys.path[:0] = [str(TESTS / name) for name in (".", "fuzzing", "inference", "to_onnx")] + [str(ROOT)]

SECONDS = 5.0
"""Processor time that an input may take."""
CLOCK_SECONDS = 30.0
"""Time on the clock, for what waits and does not compute; a busy machine must not look like a hang."""
MOST_BYTES = 1 << 30
"""Resident memory that a process may have."""
ADDRESS_BYTES = 3 << 30
"""What may be asked for beyond what the process has at its beginning."""
START_SECONDS = 300.0
"""Time until the first input: imports, instrumentation and seeds."""
_RECORD = struct.Struct("<QQQd")
"""Shared with the child: inputs begun, inputs ended, length of the present one, processor time when it began."""
_ROOM = 1 << 20


class Board:
    """Memory that a child and its parent share: how far the child is, and what it has in hand."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(_RECORD.size + _ROOM))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 0)

    def begin(self, number: int, data: bytes) -> None:
        """Note an input that is about to be tried."""
        data = data[:_ROOM]
        self._memory[_RECORD.size : _RECORD.size + len(data)] = data
        _RECORD.pack_into(self._memory, 0, number + 1, number, len(data), time.process_time())

    def end(self, number: int) -> None:
        """Note that it has been."""
        _RECORD.pack_into(self._memory, 0, number + 1, number + 1, 0, 0.0)

    def state(self) -> tuple[int, int, bytes, float]:
        """Inputs begun and ended, the present one, and the processor time when it began."""
        begun, ended, length, cpu = _RECORD.unpack_from(self._memory, 0)
        return begun, ended, bytes(self._memory[_RECORD.size : _RECORD.size + length]), cpu


# --- in the child


def work(options: argparse.Namespace) -> None:
    """Try inputs of one target until their number is reached. Never returns."""
    if not options.blind:
        import atheris

        with atheris.instrument_imports(include=["translate", "export", "ui"], enable_loader_override=False):
            import targets
    else:
        import targets
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", "unclosed", ResourceWarning)  # of libraries, whenever garbage is collected
    name, board = options.only, Board(options.board)
    target, folder = targets.TARGETS[name], Path(tempfile.mkdtemp(prefix="fuzz-", dir=options.board.parent))
    good = [bytes(data) for data in target.seeds()]
    for data in good:  # what is imported and kept on first use is no input's fault
        with contextlib.suppress(Exception):
            target.run(folder, data)
    limit_memory()
    number = options.first

    def one(data: bytes) -> None:
        nonlocal number
        board.begin(number, data)
        try:
            targets.attempt(name, folder, data)
        except BaseException as error:
            keep(options, name, data, said(error), traceback.format_exc())
        number += 1
        board.end(number - 1)
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        if used > MOST_BYTES:
            keep(options, name, data, f"memory: {used >> 20} MB", "")
            os._exit(3)  # the peak stays: a new process shows the next one
        if number >= options.inputs:
            os._exit(0)

    if options.blind:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libraries complain there
        while True:
            one(targets.damaged(name, options.seed, number))
    guided(options, folder, good, one, target.kept)


def guided(options: argparse.Namespace, folder: Path, good: Sequence[bytes], one, kept: int) -> None:
    """Let atheris choose the inputs: half of them by our damages, half by its own."""
    import atheris
    import mutations

    corpus = folder / "corpus"
    corpus.mkdir()
    for number, data in enumerate(good):
        (corpus / str(number)).write_bytes(data)

    def changed(data: bytes, most: int, seed: int) -> bytes:
        dice = random.Random(seed)
        if dice.randrange(4):
            return mutations.crossed([data], dice, kept)[:most]
        return data[:kept] + atheris.Mutate(data[kept:], max(1, most - kept))

    limits = [f"-max_len={mutations.MOST_BYTES}", "-timeout=3600", "-rss_limit_mb=0", "-verbosity=0", "-detect_leaks=0"]
    more = [f"-seed={options.seed + options.first + 1}", f"-runs={2 * options.inputs + 1000}"]
    artefacts = [f"-artifact_prefix={folder}/"]  # the parent keeps what was in hand
    # Our random numbers decide, not the time.
    atheris.Setup([sys.argv[0], *limits, *more, *artefacts, str(corpus)], one, custom_mutator=changed)
    atheris.Fuzz()


def limit_memory() -> None:
    """So that an input that asks for too much gets a MemoryError, or ends this process, and not the machine."""
    with contextlib.suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + ADDRESS_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def said(error: BaseException) -> str:
    """Kind of an error, and the last place in our code that it passed."""
    places = traceback.extract_tb(error.__traceback__)
    ours = [place for place in places if place.filename.startswith(str(ROOT)) and "/fuzz" not in place.filename]
    place = (ours or places)[-1]
    where = place.filename.removeprefix(f"{ROOT}/")
    return f"{type(error).__name__} at {where}:{place.lineno}"


def keep(options: argparse.Namespace, name: str, data: bytes, what: str, details: str) -> None:
    """Write down a finding; one of a kind is enough."""
    digest = hashlib.sha256(f"{name} {what}".encode()).hexdigest()[:10]
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"{name}-{digest}"
    if not path.exists():
        path.write_bytes(data)
        path.with_suffix(".txt").write_text(f"{name}: {what}\n{details}", encoding="utf-8", errors="backslashreplace")


# --- in the parent


@dataclass
class Child:
    """A process at work on a target."""

    name: str
    inputs: int
    """All that the target is to be tried with."""
    done: int = 0
    process: subprocess.Popen[bytes] | None = None
    board: Path = field(default_factory=Path)
    since: float = 0.0
    """When the present input was first seen, on the clock."""
    seen: int = -1
    crashes: int = 0
    hangs: int = 0
    restarts: int = 0


class Fuzzing:
    """All targets, some at a time.

    Args:
        options: see `parsed`.
        shares: how the inputs are divided among the targets.
        script: what a child runs.
    """

    def __init__(self, options: argparse.Namespace, shares: dict[str, int], script: Path = Path(__file__)) -> None:
        self._options, self._script = options, script
        whole = sum(shares.values())
        # Rounded up, so that together they are at least what was asked for.
        self._waiting = [Child(name, -(-options.inputs * share // whole)) for name, share in shares.items()]
        self._waiting.sort(key=lambda child: -child.inputs)
        self.ended: list[Child] = []
        self._running: list[Child] = []
        self._folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
        self.peak = 0

    def run(self) -> None:
        """Work until every target has had its inputs."""
        try:
            while self._waiting or self._running:
                while self._waiting and len(self._running) < self._options.jobs:
                    self._running.append(self._start(self._waiting.pop(0)))
                for child in self._running[:]:
                    self._look(child)
                time.sleep(0.1)
        finally:
            for child in self._running:
                if child.process is not None:
                    child.process.kill()
                    child.process.wait()
            shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self, child: Child) -> Child:
        options = self._options
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        child.board = folder / "board"
        Board(child.board)
        command: list[object] = [
            sys.executable,
            self._script,
            "--only",
            child.name,
            "--inputs",
            child.inputs,
            "--first",
            child.done,
        ]
        command += ["--seed", options.seed, "--out", options.out, "--board", child.board]
        command += ["--blind"] if options.blind else []
        environment = {**os.environ, "PYTHONHASHSEED": "0", "TMPDIR": str(folder), "OMP_NUM_THREADS": "1"}
        with (folder / "log").open("wb") as log:
            child.process = subprocess.Popen(list(map(str, command)), env=environment, stdout=log, stderr=log)
        child.since, child.seen = time.monotonic(), -1
        return child

    def _look(self, child: Child) -> None:
        assert child.process is not None
        begun, ended, data, cpu = Board(child.board).state()
        self.peak = max(self.peak, _peak_bytes(child.process.pid))
        status = child.process.poll()
        if status is None:
            if begun != child.seen:
                child.since, child.seen = time.monotonic(), begun
            if not begun:
                if time.monotonic() - child.since > START_SECONDS:
                    raise SystemExit(f"{child.name}: did not start within {START_SECONDS:.0f} s\n{_log(child)}")
                return
            late = time.monotonic() - child.since > CLOCK_SECONDS
            if begun == ended or not (late or _cpu_seconds(child.process.pid) - cpu > SECONDS):
                return
            if Board(child.board).state() != (begun, ended, data, cpu):
                return  # it has gone on meanwhile, or was writing when this was read
            child.process.send_signal(signal.SIGKILL)
            child.process.wait()
            child.hangs += 1
            keep(self._options, child.name, data, f"hang: more than {SECONDS:g} s", hashlib.sha256(data).hexdigest())
        elif begun > ended:
            child.crashes += 1
            keep(self._options, child.name, data, f"crash: the process ended with status {status}", _log(child))
        elif (status not in (0, 3) and child.restarts > 5) or not begun:
            raise SystemExit(f"{child.name}: the process ended with status {status}\n{_log(child)}")
        child.done = max(begun, child.done)
        shutil.rmtree(child.board.parent, ignore_errors=True)
        if child.done < child.inputs and child.restarts < 50:
            child.restarts += 1
            self._start(child)
            return
        self._running.remove(child)
        self.ended.append(child)
        print(f"{child.name}: {child.done:,} inputs", flush=True)


def _log(child: Child) -> str:
    return (child.board.parent / "log").read_text(errors="replace")[-2000:]


def _cpu_seconds(process: int) -> float:
    """Processor time of a process, all its threads."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _peak_bytes(process: int) -> int:
    """Most resident memory that a process has had."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


def replay(options: argparse.Namespace) -> None:
    """Try one file again; its traceback is shown."""
    import targets

    warnings.simplefilter("error")
    with tempfile.TemporaryDirectory() as folder:
        targets.attempt(options.only, Path(folder), options.replay.read_bytes())
    print(f"{options.replay}: no fault")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=200_000, help="how many, over all targets")
    parser.add_argument("--only", help="one target, which gets them all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="processes at a time")
    parser.add_argument("--out", type=Path, default=Path("fuzz-findings"), help="folder for findings")
    parser.add_argument("--blind", action="store_true", help="damage at random, without atheris")
    parser.add_argument("--replay", type=Path, help="try this file again")
    parser.add_argument("--board", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    with contextlib.suppress(ImportError):
        import atheris  # noqa: F401

        return options
    options.blind = True
    return options


def main() -> int:
    options = parsed()
    if options.board:
        work(options)
    if options.replay:
        replay(options)
        return 0
    from targets import TARGETS

    shares = {name: target.share for name, target in TARGETS.items()}
    if options.only and options.only not in shares:
        raise SystemExit(f"there is no target {options.only}; choose one of: {', '.join(shares)}")
    before = set(options.out.glob("*.txt"))
    by = "at random" if options.blind else "by atheris"
    print(f"seed {options.seed}, inputs chosen {by}, {options.jobs} processes", flush=True)
    started = time.monotonic()
    fuzzing = Fuzzing(options, {options.only: 1} if options.only else shares)
    fuzzing.run()
    for path in sorted(set(options.out.glob("*.txt")) - before):
        print(f"{path.with_suffix('')}: {path.read_text(encoding='utf-8').splitlines()[0]}")
    found = len(set(options.out.glob("*.txt")) - before)
    ended = fuzzing.ended
    hangs, total = sum(child.hangs for child in ended), sum(child.done for child in ended)
    print(f"{time.monotonic() - started:.0f} s")
    print(
        f"{total:,} inputs, {len(ended)} targets, {found - min(found, hangs)} crashes or errors that are not ours, "
        f"{hangs} hangs over {SECONDS:g} s, peak {fuzzing.peak / 2**20:.0f} MB"
    )
    return 1 if found or hangs else 0


if __name__ == "__main__":
    sys.exit(main())
