"""Ctrl-C, `kill` and a closed terminal: the step is finished, the run is saved, and it can go on."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import TINY
from tiny_runs import SKETCHES, log_lines, new_run, process, resumed_run, settings, train, trainer_class

from translate.cli.main import main
from translate.cli.train import EXIT_STATUS, WHY
from translate.training.fit import REASONS
from translate.training.snapshot import FILE_NAME, read_header

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize(
    ("number", "status", "workers", "everyone"),
    [
        (signal.SIGINT, 130, "0", False),
        (signal.SIGTERM, 143, "0", False),
        (signal.SIGINT, 130, "1", True),
        (signal.SIGTERM, 143, "1", True),
    ],
    ids=["Ctrl-C", "terminate", "Ctrl-C of the whole group", "terminate the whole group, as `timeout` does"],
)
def test_signal_leaves_a_snapshot(
    photos: Path, tmp_path: Path, number: signal.Signals, status: int, workers: str, everyone: bool
) -> None:
    out = tmp_path / "run"
    arguments = ["--data", str(photos), "--max-images", "9999", *TINY, "--workers", workers, "--snapshot-time", "0s"]
    if everyone:  # steps so long that a loader process that dies is noticed within one
        arguments += ["--image-size", "128", "--batch-size", "8", "--generator-widths", "24", "24"]
    with process(out, *arguments) as child:
        (os.killpg if everyone else os.kill)(child.pid, number)
        child.join(60)
        said = (out / "output").read_text()
        assert child.exitcode == status, said
    assert f"ended early ({WHY[number.name]}) at " in said
    assert f"to continue: translate resume {out}" in said
    assert "Traceback" not in said
    seen = read_header(out / FILE_NAME).images_seen
    assert f" after {seen} images; " in said
    assert {path.name for path in out.iterdir()} >= {"config.json", "log.jsonl", FILE_NAME}
    assert not [path.name for path in out.iterdir() if ".part" in path.name]
    if everyone:
        return
    more = [str(seen + 2), "--snapshot-time", "1h"]
    assert main(["train", SKETCHES, "--out", str(out), "--resume", "--max-images", *more, "--workers", "0"]) == 0
    assert read_header(out / FILE_NAME).images_seen >= seen + 2


class Interrupted(trainer_class(SKETCHES)):
    """Gets the signals in the middle of its second step."""

    signals: tuple[int, ...] = ()

    def step(self, batch: Any, update: Any) -> None:
        if batch.step == 1:
            for number in self.signals:
                os.kill(os.getpid(), number)
        super().step(batch, update)


@contextmanager
def handled_by(number: int, handler: Any) -> Iterator[None]:
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("number", SIGNALS)
def test_signal_in_this_process(photos: Path, tmp_path: Path, number: signal.Signals) -> None:
    run = new_run(tmp_path, settings(), kind=Interrupted)
    run.trainer.signals = (number,)
    with handled_by(number, signal.SIG_DFL):  # also where the tests themselves are run under nohup
        assert train(run, photos) == number.name
        assert signal.getsignal(number) is signal.SIG_DFL
    assert read_header(run.snapshot_path).steps == 2  # the step was finished first
    assert log_lines(tmp_path)[-1]["images"] == 4
    assert train(resumed_run(tmp_path, settings()), photos) == "done"


def test_the_first_of_two_signals_is_the_reason(photos: Path, tmp_path: Path) -> None:
    run = new_run(tmp_path, settings(), kind=Interrupted)
    run.trainer.signals = (signal.SIGTERM, signal.SIGINT)
    assert train(run, photos) == "SIGTERM"


def test_a_second_signal_of_the_kind_acts_as_usual(photos: Path, tmp_path: Path) -> None:
    run = new_run(tmp_path, settings(), kind=Interrupted)
    run.trainer.signals = (signal.SIGINT, signal.SIGINT)
    with handled_by(signal.SIGINT, signal.default_int_handler), pytest.raises(KeyboardInterrupt):
        train(run, photos)
    assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
    assert not run.snapshot_path.exists()


@pytest.mark.parametrize("number", SIGNALS)
def test_what_the_parent_has_us_ignore_stays_ignored(photos: Path, tmp_path: Path, number: signal.Signals) -> None:
    """`nohup translate train ...` outlives its terminal."""
    run = new_run(tmp_path, settings(), kind=Interrupted)
    run.trainer.signals = (number,)
    with handled_by(number, signal.SIG_IGN):
        assert train(run, photos) == "done"
        assert signal.getsignal(number) is signal.SIG_IGN


def test_signals_are_given_back_after_an_error(photos: Path, tmp_path: Path) -> None:
    class Failing(trainer_class(SKETCHES)):
        def step(self, batch: Any, update: Any) -> None:
            raise RuntimeError("a bug")

    before = [signal.getsignal(number) for number in SIGNALS]
    with pytest.raises(RuntimeError, match="a bug"):
        train(new_run(tmp_path, settings(), kind=Failing), photos)
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_used_budget_outranks_a_signal(photos: Path, tmp_path: Path) -> None:
    run = new_run(tmp_path, settings(max_images=4), kind=Interrupted)
    run.trainer.signals = (signal.SIGTERM,)
    assert train(run, photos) == "done"


def test_every_reason_has_an_exit_status() -> None:
    assert EXIT_STATUS.keys() == set(REASONS) - {""}
    for number in SIGNALS:
        assert EXIT_STATUS[number.name] == 128 + number
