"""Kill `translate convert` again and again in one folder: python kill_convert.py SEED KILLS convert IN OUT ...

Run as a program of its own, since it forks, which a process with threads must not.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

from translate.cli.main import main
from translate.conversion.folder import convert_folder  # noqa: F401 - imported once, before the processes that are killed

PATIENCE_SECONDS = 60.0


def results(out: Path) -> int:
    return sum(name[0] != "." for _, _, names in os.walk(out) for name in names)


def kill_at_a_random_moment(arguments: list[str], out: Path, dice: random.Random) -> bool:
    """Start, wait for some more results and a moment more, kill; False if it was done before."""
    process = os.fork()
    if not process:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os._exit(main(arguments))
    wanted = results(out) + dice.randrange(3)
    moment = time.monotonic() + PATIENCE_SECONDS
    while results(out) < wanted and time.monotonic() < moment:
        if os.waitpid(process, os.WNOHANG)[0]:
            return False
        time.sleep(0.003)  # the core is for the process that converts
    time.sleep(dice.uniform(0.0, 0.02))
    os.kill(process, signal.SIGKILL)
    status = os.waitpid(process, 0)[1]
    return os.WIFSIGNALED(status)


if __name__ == "__main__":
    dice = random.Random(int(sys.argv[1]))
    command = sys.argv[3:]
    killed = sum(kill_at_a_random_moment(command, Path(command[2]), dice) for _ in range(int(sys.argv[2])))
    sys.stdout.write(f"{killed}\n")
