"""Two processes do what one does: the same updates from halves of the batch, one log, one snapshot, one end."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from programs import until
from tiny_runs import FORKS, log_lines, new_run, options, settings, start, train

from translate.cli.main import main
from translate.errors import ConfigError
from translate.training.distributed import Agreement, average_over_processes, broadcast_from_first
from translate.training.run import Run, make_fabric
from translate.training.snapshot import FILE_NAME, read_header, read_tensors

TIMES_BY_CHANCE = {"seconds", "images_per_second"}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def environment(rank: int, world: int, port: int) -> dict[str, str]:
    """What torchrun gives to each of its processes."""
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(world),
        "LOCAL_WORLD_SIZE": str(world),
        "GROUP_RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_RUN_ID": "none",
        "OMP_NUM_THREADS": "1",
    }


def start_two(folder: Path, *arguments: str) -> list[Any]:
    port = free_port()
    return [start(folder / f"output{rank}", *arguments, environment=environment(rank, 2, port)) for rank in range(2)]


def end_both(children: list[Any], folder: Path) -> list[str]:
    """Wait; returns what each said."""
    try:
        for child in children:
            child.join(90)
        said = [(folder / f"output{rank}").read_text() for rank in range(2)]
        assert all(child.exitcode is not None for child in children), said
        return said
    finally:
        for child in children:
            child.kill()
            child.join(30)


def steady(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in line.items() if name not in TIMES_BY_CHANCE} for line in lines]


def test_two_processes_learn_what_one_does(pairs: Path, tmp_path: Path) -> None:
    """Augmented by position, so both see the same pictures; the rest of a step draws nothing by chance."""
    changes: dict[str, Any] = {
        "batch_size": 4, "max_images": 400, "discriminator_augmentation": None, "warm_start": 0.0, "held_out": 2,
        "validations": 100, "metrics": ("psnr", "swd"), "sample_grids": 100, "preset": "classic",
        "generator": "unet", "initialisation": "default", "framing": "crop", "augmentation": "full",
        "feature_weight": 1.0, "discriminator_norm": "spectral",
    }  # fmt: skip
    one, two = tmp_path / "one", tmp_path / "two"
    two.mkdir()
    arguments = ["train", "pix2pix", "--data", str(pairs), *options("pix2pix", **changes), "--stop-after", "8images"]
    children = start_two(two, *arguments, "--out", str(two / "run"))
    assert main([*arguments, "--out", str(one / "run")]) == 0
    said = end_both(children, two)
    assert [child.exitcode for child in children] == [0, 0], said
    assert "training on the cpu in 2 processes" in said[0]
    assert "ended early (--stop-after)" in said[0]
    assert said[1] == ""  # the second says and writes nothing
    names = [sorted(path.name for path in (folder / "run").rglob("*")) for folder in (one, two)]
    assert [name for name in names[0] if "tfevents" not in name] == [
        name for name in names[1] if "tfevents" not in name
    ]
    assert len(log_lines(two / "run", "start")) == 1
    assert log_lines(two / "run", "start")[0]["machine"]["processes"] == 2

    first, second = (read_tensors(folder / "run" / FILE_NAME) for folder in (one, two))
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        if name.startswith("optimizers/"):  # the second step's gradients, in their own size
            assert (tensor - second[name]).abs().max() <= 1e-3 * tensor.abs().max() + 1e-6, name
        else:
            torch.testing.assert_close(
                second[name], tensor, rtol=1e-5, atol=1e-5, msg=lambda text, at=name: f"{at}: {text}"
            )
    headers = [read_header(folder / "run" / FILE_NAME) for folder in (one, two)]
    assert [(header.images_seen, header.steps) for header in headers] == [(8, 2), (8, 2)]
    measured = [log_lines(folder / "run", "validation") for folder in (one, two)]
    for alone, together in zip(*map(steady, measured), strict=True):
        assert alone["metrics"] == pytest.approx(together["metrics"], rel=1e-2)


def test_two_processes_resume_stop_together_and_report_once(photos: Path, tmp_path: Path) -> None:
    """The first one's clock and signals count for both."""
    out = tmp_path / "run"
    start_arguments = ["train", "sketch-to-photo", "--data", str(photos), "--out", str(out)]
    changes = options(max_images=9998, snapshot_seconds=0, held_out=0)
    children = start_two(tmp_path, *start_arguments, *changes)
    until(lambda: (out / FILE_NAME).exists() or any(child.exitcode is not None for child in children))
    os.kill(children[0].pid, signal.SIGTERM)
    said = end_both(children, tmp_path)
    assert [child.exitcode for child in children] == [143, 143], said
    assert "ended early (asked to end)" in said[0]
    seen = read_header(out / FILE_NAME).images_seen
    assert seen > 0
    more = ["train", "sketch-to-photo", "--out", str(out), "--resume", "--max-images", str(seen + 4)]
    children = start_two(tmp_path, *more)
    said = end_both(children, tmp_path)
    assert [child.exitcode for child in children] == [0, 0], said
    assert read_header(out / FILE_NAME).images_seen == seen + 4
    assert said[0].count("trained on") == 1
    assert said[1] == ""


@pytest.mark.slow
def test_torchrun(pairs: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    launcher = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--master-port",
        str(free_port()),
    ]
    changes = options("pix2pix", max_images=8, validations=0, sample_grids=0)  # measuring would import much
    arguments = ["train", "pix2pix", "--data", str(pairs), "--out", str(out), *changes]
    done = subprocess.run(
        [*launcher, "-m", "translate.cli", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=280,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("trained on 8 images; next: ") == 1
    assert "Traceback" not in done.stderr
    assert read_header(out / FILE_NAME).steps == 4


def test_a_batch_that_processes_cannot_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Three:
        world_size = 3

    monkeypatch.setattr("translate.training.run.make_fabric", lambda config: Three())
    message = "^--batch-size is 4; 3 processes with --accumulate 2 need a multiple of 6$"
    with pytest.raises(ConfigError, match=message):
        Run(_trainer(settings(batch_size=4, accumulate=2)), Any, tmp_path)  # type: ignore[arg-type]


@pytest.mark.parametrize("changes", [{"discriminator_batch_features": True}, {"discriminator_norm": "virtual-batch"}])
def test_batches_that_are_compared_have_two_pictures_in_each_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    class Two:
        world_size = 2

    monkeypatch.setattr("translate.training.run.make_fabric", lambda config: Two())
    with pytest.raises(ConfigError, match="use --batch-size 2 or more per process and per accumulation step"):
        Run(_trainer(settings(batch_size=4, accumulate=2, **changes)), Any, tmp_path)  # type: ignore[arg-type]


def test_a_reference_batch_that_is_taken_late_is_shared(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Adversarial training begins with the third step."""
    run: Any = new_run(tmp_path, settings(discriminator_norm="reference-batch", warm_start=0.5, max_images=8))
    reference, shared = run.trainer.game.reference, list[tuple[int, bool]]()

    def broadcast(_: object, tensors: list[torch.Tensor]) -> None:
        sent = any(tensor.data_ptr() == reference.pictures_RCHW.data_ptr() for tensor in tensors)
        shared.append((run.progress.steps, sent and bool(reference.kept)))

    monkeypatch.setattr("translate.training.run.broadcast_from_first", broadcast)
    assert train(run, photos) == "done"
    assert shared == [(0, False), (1, False), (2, True)]


def _trainer(config: Any) -> Any:
    from tiny_runs import SKETCHES, trainer_class

    from translate.tasks import TASKS

    made: Any = trainer_class(SKETCHES)
    return made(config, TASKS[SKETCHES])


def test_alone_nothing_is_asked() -> None:
    fabric = make_fabric(settings())
    tensor = torch.tensor([1.0, 2.0])
    average_over_processes(fabric, [tensor])
    assert tensor.tolist() == [1.0, 2.0]
    assert Agreement(fabric).on(3.0, 4.0) == (3.0, 4.0)


def talk(rank: int, port: int, answers: Any) -> None:
    """One of two processes: average a few tensors and agree."""
    os.environ.update(environment(rank, 2, port))
    fabric = make_fabric(settings())
    tensors = [
        torch.full((2, 3), float(rank)),
        torch.arange(4.0).reshape(1, 4, 1, 1).to(memory_format=torch.channels_last) * (rank + 1),
        torch.tensor(10.0 * rank, dtype=torch.float64),
    ]
    average_over_processes(fabric, tensors)
    kept = torch.tensor(rank == 0)
    broadcast_from_first(fabric, [kept])
    assert kept
    agreed = Agreement(fabric).on(0.1 + rank, 5 * rank)
    answers.put((rank, [tensor.flatten().tolist() for tensor in tensors], agreed))


def test_means_and_agreement_of_two() -> None:
    port, answers = free_port(), FORKS.Queue()
    children = [FORKS.Process(target=talk, args=(rank, port, answers)) for rank in range(2)]
    for child in children:
        child.start()
    try:
        found = sorted(answers.get(timeout=60) for _ in children)
    finally:
        for child in children:
            child.join(30)
            child.kill()
    for rank, (number, means, agreed) in enumerate(found):
        assert number == rank
        assert means == [[0.5] * 6, [0.0, 1.5, 3.0, 4.5], [5.0]]
        assert agreed == (0.1, 0.0)
