"""The command `translate resume`."""

from pathlib import Path

from translate.cli.train import PACKAGES, train
from translate.errors import ConfigError, require
from translate.tasks import TASKS
from translate.training.openmp import prepare

_HELP = """\
usage: translate resume RUN [--stop-after TIME|Nimages] [OPTIONS]

Continue a training run from its last snapshot, with its settings. RUN is the folder given as --out.

options:
  those of translate train that do not change what is learnt: --max-time, --max-images, --stop-after, --device,
  --threads, --workers, --precision, --compile, --cache, --metrics, --validations, --sample-grids and others

example:
  translate resume runs/shoes --stop-after 9m"""


def main(argv: list[str]) -> int:
    """Run `translate resume RUN ...`; returns the exit status."""
    if not argv or argv[0] in ("-h", "--help"):
        print(_HELP)  # noqa: T201 - help goes to standard output
        return 0
    require("train", *PACKAGES)
    run, *rest = argv
    threads = prepare(rest)  # before torch is imported
    from translate.training.snapshot import FILE_NAME, read_header

    task = read_header(Path(run) / FILE_NAME).task
    if task not in TASKS:
        raise ConfigError(
            f"{run} was trained for the task {task!r}, which this version does not know; update translate"
        )
    return train(TASKS[task], ["--out", run, "--resume", *rest], threads)
