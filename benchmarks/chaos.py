"""Disturb a conversion and a training again and again, and compare what they end with to undisturbed ones.

    python benchmarks/chaos.py --faults 200 --seed 1

One folder of small pictures, animations, pages and a film is converted, and one small network is trained, as a user
would do it: the same command, or `translate resume`, after everything that goes wrong. Whatever is visible under its
final name is checked after each fault. When a folder or a training is complete it is compared, and begun again, until
all faults have happened. The last line says what happened and whether every byte is the same; status 1 if not.

The processes are forked from this one, which has imported everything: a new interpreter each time would take seconds.
Some faults are put into the process itself: a full or read-only disk is `os.fsync` failing from some moment on, and a
clock that jumps is `time.time` an hour off.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported: what is learnt must not differ by the rounding of sums
os.environ["TRANSLATE_MODELS"] = os.devnull

from chaos_work import Broken, Conversion, Fault, Work

PATIENCE_SECONDS = 300.0
"""A process that makes no progress for so long hangs."""


def until_progress(work: Work, process: int, dice: random.Random) -> bool:
    """Wait for a little more work to be done, and a moment more; False if the process has ended before."""
    wanted, deadline = work.done() + dice.randrange(3), time.monotonic() + PATIENCE_SECONDS
    while work.done() < wanted or not work.begun():
        if work.ended(process):
            return False
        if time.monotonic() > deadline:
            raise Broken(f"{work.name}: nothing has happened for {PATIENCE_SECONDS:.0f} s")
        time.sleep(0.002)  # the core is for the process
    time.sleep(dice.uniform(0.0, 0.03))
    return not work.ended(process)


def by_signal(number: int) -> Fault:
    def happen(work: Work, dice: random.Random) -> bool:
        process = work.start()
        if not until_progress(work, process, dice):
            return False
        os.kill(process, number)
        status = work.wait(process)
        if number == signal.SIGKILL:
            return os.WIFSIGNALED(status)
        ended = os.waitstatus_to_exitcode(status)
        # A training that has not begun yet dies of the signal.
        if ended not in (128 + number, 0, *([-number] if work.name == "training" else [])):
            raise Broken(f"{work.name}: status {ended} after signal {number}: {work.said()}")
        return ended != 0

    return happen


def spoiled_leftovers(work: Work, dice: random.Random) -> bool:
    """Kill, and put nonsense into every temporary file that is left."""
    if not by_signal(signal.SIGKILL)(work, dice):
        return False
    for path in work.leftovers():
        path.write_bytes(dice.randbytes(dice.randrange(200)))
    return True


def second_process(work: Work, dice: random.Random) -> bool:
    """Start a second one beside the first, which has to refuse; then kill the first."""
    process = work.start()
    if not until_progress(work, process, dice):
        return False
    second = work.start(output="beside")
    ended, said = os.waitstatus_to_exitcode(work.wait(second)), work.said("beside")
    first_is_gone = work.ended(process)
    if not first_is_gone:
        os.kill(process, signal.SIGKILL)
        work.wait(process)
    if first_is_gone:
        return False
    if ended != 2 or said.count("\n") != 1 or f"in use by process {process} " not in said:
        raise Broken(f"{work.name}: a second process ended with {ended}: {said}")
    return True


def inside(kind: str) -> Fault:
    """A fault in the process itself, see `chaos_work.inject`."""

    def happen(work: Work, dice: random.Random) -> bool:
        process = work.start(fault=kind, moment=dice.randrange(1, 9))
        ended = os.waitstatus_to_exitcode(work.wait(process))
        if "Traceback" in work.said() or ended not in (0, 2):
            raise Broken(f"{work.name}: {kind} ended with {ended}: {work.said()}")
        return kind == "clock" or ended == 2 or "No space left" in work.said() or "Read-only" in work.said()

    return happen


EVERYWHERE = {
    "kill -9": by_signal(signal.SIGKILL),
    "SIGTERM": by_signal(signal.SIGTERM),
    "SIGINT": by_signal(signal.SIGINT),
    "spoiled temporary files": spoiled_leftovers,
    "second process": second_process,
    "full disk": inside("full"),
    "read-only disk": inside("read-only"),
    "clock an hour off": inside("clock"),
}
"""Name -> function of the work and the dice; whether it has happened: the process may have been faster."""

WEIGHTS = {"kill -9": 6, "SIGTERM": 3, "SIGINT": 2}
"""How much more often than the others these happen."""


def disturb(works: list[Work], count: int, dice: random.Random) -> tuple[Counter[str], int]:
    """Let `count` faults happen; returns how many of each, and how many times a work was complete and the same."""
    happened: Counter[str] = Counter()
    complete = 0
    while happened.total() < count:
        work = works[0] if dice.random() < works[0].share else works[1]
        faults = {**EVERYWHERE, **work.faults}
        name = dice.choices(list(faults), [WEIGHTS.get(fault, 1) for fault in faults])[0]
        counts = faults[name](work, dice)
        work.check()
        happened[name] += bool(counts)
        if counts and happened.total() % 20 == 0:
            sys.stderr.write(f"{happened.total()} faults\n")
        if work.complete():
            work.finish()
            complete += 1
            work.reset()
    for work in works:
        work.finish()
    return happened, complete + len(works)


def main() -> int:
    """Run as a script."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pictures", type=int, default=60)
    parser.add_argument("--images", type=int, default=160, help="number of images that the network sees")
    given = parser.parse_args()
    from chaos_training import Training  # takes seconds

    dice = random.Random(given.seed)
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    began = time.monotonic()
    try:
        works = [Conversion(folder / "conversion", given.pictures, dice), Training(folder / "training", given.images)]
        happened, complete = disturb(works, given.faults, dice)
    except Broken as broken:
        print(f"BROKEN after {time.monotonic() - began:.0f} s, see {folder}: {broken}")
        return 1
    shutil.rmtree(folder)
    kinds = ", ".join(f"{number} {name}" for name, number in happened.most_common())
    print(
        f"{happened.total()} faults ({kinds}) in {time.monotonic() - began:.0f} s: {complete} times all "
        f"{works[0].count} results or the weights equal the undisturbed run's, 0 half-written"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
