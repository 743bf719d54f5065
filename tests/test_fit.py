"""The training loop: resuming equals never stopping, signals, budgets, broken losses, what is written."""

import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import TINY
from rich.console import Console
from torch import Generator, Tensor, nn

from translate.cli import main
from translate.data.photos import PhotoFolder
from translate.data.sketches import draw_sketches
from translate.errors import DataError
from translate.images import read_picture
from translate.tasks import TASKS
from translate.trainers import fit as fit_module
from translate.trainers import journal as journal_module
from translate.trainers.average import Average
from translate.trainers.base import Batch, Term, Update
from translate.trainers.budget import StopAfter
from translate.trainers.fit import fit
from translate.trainers.pix2pix import Pix2Pix, Pix2PixConfig
from translate.trainers.run import MAX_BAD_STEPS, Run
from translate.trainers.snapshot import FILE_NAME, Header, read_header, read_tensors

TASK = TASKS["sketch-to-photo"]
NEVER = StopAfter()


def settings(**changes: Any) -> Pix2PixConfig:
    tiny: dict[str, Any] = {
        "max_images": 12,
        "image_size": 32,
        "batch_size": 2,
        "generator_widths": (8, 8),
        "generator_blocks": 1,
        "discriminator_width": 8,
        "discriminator_layers": 2,
        "workers": 0,
        "precision": "32",
        "device": "cpu",
        "sample_grids": 0,
    }
    return Pix2PixConfig(**(tiny | changes))


def new_run(folder: Path, config: Pix2PixConfig, kind: type[Pix2Pix] = Pix2Pix, saved: Header | None = None) -> Run:
    folder.mkdir(exist_ok=True)
    torch.manual_seed(config.seed)
    header = saved or Header(
        task=TASK.name, trainer=TASK.trainer, config={}, data="", images_seen=0, steps=0, seconds_used=0.0
    )
    return Run(kind(config, TASK), header, folder)


def train(run: Run, photos: Path, stop_after: StopAfter = NEVER, make_source: Any = draw_sketches) -> str:
    stream = PhotoFolder(photos, run.config.image_size, run.config.seed)
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123 - not a file of ours
        return fit(run, stream, make_source, stop_after, Console(file=nowhere))


def log_lines(folder: Path) -> list[dict[str, Any]]:
    def no_constant(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    lines = (folder / "log.jsonl").read_text().splitlines()
    return [json.loads(line, parse_constant=no_constant) for line in lines]


def assert_same_snapshots(one: Path, other: Path) -> None:
    first, second = read_tensors(one / FILE_NAME), read_tensors(other / FILE_NAME)
    assert first.keys() == second.keys()
    assert [name for name, tensor in first.items() if not torch.equal(tensor, second[name])] == []
    headers = [read_header(folder / FILE_NAME) for folder in (one, other)]
    assert headers[0].images_seen == headers[1].images_seen
    assert headers[0].steps == headers[1].steps


@pytest.fixture(scope="module")
def straight(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six steps without a stop, through the command line."""
    out = tmp_path_factory.mktemp("straight") / "run"
    assert main(["train", TASK.name, "--data", str(photos), "--out", str(out), "--max-images", "12", *TINY]) == 0
    return out


# --- resuming equals never stopping


def test_resume_equals_never_stopping(straight: Path, photos: Path, tmp_path: Path) -> None:
    config = settings()
    assert train(new_run(tmp_path, config), photos, StopAfter(images=6)) == "stop-after"
    saved = read_header(tmp_path / FILE_NAME)
    assert (saved.images_seen, saved.steps) == (6, 3)
    second = new_run(tmp_path, config, saved=saved)
    second.restore(read_tensors(second.snapshot_path))
    assert train(second, photos) == "done"
    assert_same_snapshots(straight, tmp_path)


def test_restored_run_is_saved_unchanged(straight: Path, tmp_path: Path) -> None:
    run = new_run(tmp_path, settings(), saved=read_header(straight / FILE_NAME))
    torch.rand(7)
    run.restore(read_tensors(straight / FILE_NAME))
    run.save()
    assert_same_snapshots(straight, tmp_path)


def test_snapshot_holds_everything(straight: Path) -> None:
    tensors = read_tensors(straight / FILE_NAME)
    trainer = Pix2Pix(settings(), TASK)
    for name, network in trainer.networks.items():
        assert {f"networks/{name}/{key}" for key in network.state_dict()} <= tensors.keys()
        for number, parameter in enumerate(network.parameters()):
            assert tensors[f"optimizers/{name}/{number}/exp_avg"].shape == parameter.shape
            assert tensors[f"optimizers/{name}/{number}/step"] == 6
    assert {f"average/generator/{key}" for key in trainer.generator.state_dict()} <= tensors.keys()
    header = read_header(straight / FILE_NAME)
    assert (header.task, header.images_seen, header.steps) == (TASK.name, 12, 6)
    assert header.config["generator_widths"] == [8, 8]
    assert header.seconds_used > 0


def test_budget_used_means_done_and_no_learning_rate(straight: Path, photos: Path, tmp_path: Path) -> None:
    run = new_run(tmp_path, settings(max_images=5))
    assert train(run, photos) == "done"
    assert (run.progress.images_seen, run.progress.share, run.progress.lr_factor()) == (6, 1.0, 0.0)
    assert log_lines(tmp_path)[-1]["lr_factor"] == 0.0


def test_time_budget(photos: Path, tmp_path: Path) -> None:
    run = new_run(tmp_path, settings(max_images=None, max_seconds=1e-3))
    assert train(run, photos) == "done"
    assert run.progress.steps == 1
    assert read_header(tmp_path / FILE_NAME).seconds_used >= 1e-3


def test_bfloat16_smoke(photos: Path, tmp_path: Path) -> None:
    run = new_run(tmp_path, settings(max_images=2, precision="bf16"))
    assert train(run, photos) == "done"
    assert all(tensor.isfinite().all() for tensor in read_tensors(run.snapshot_path).values())
    assert {value.dtype for value in run.trainer.parameters()} == {torch.float32}


def test_loader_process_changes_nothing(straight: Path, photos: Path, tmp_path: Path) -> None:
    assert train(new_run(tmp_path, settings(workers=1)), photos) == "done"
    assert_same_snapshots(straight, tmp_path)


# --- processes that are killed

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["translate.trainers.fit", "translate.trainers.pix2pix", "translate.data.sketches"])
"""Children of a server that has imported torch once; each is as new as a freshly started `translate`."""


def command(arguments: Sequence[str], output: Path, start_method: str) -> None:
    """The command line in a process group of its own, its output in `output`."""
    os.setpgid(0, 0)
    # As in a process of one's own; the server's children would start a server again, for the loader.
    multiprocessing.set_start_method(start_method, force=True)
    with output.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout = sys.stderr = os.fdopen(1, "w", buffering=1)
    sys.exit(main(arguments))


@contextmanager
def process(out: Path, *arguments: str) -> Iterator[Any]:
    """`translate train` as a process; it has saved at least two snapshots."""
    argv = ["train", TASK.name, "--out", str(out), *arguments]
    child = FORKS.Process(target=command, args=(argv, out / "output", multiprocessing.get_start_method()))
    out.mkdir()
    child.start()
    try:
        until(lambda: (out / FILE_NAME).exists() or child.exitcode is not None)
        assert child.exitcode is None, (out / "output").read_text()
        first = (out / FILE_NAME).stat().st_ino
        until(lambda: (out / FILE_NAME).stat().st_ino != first)
        yield child
    finally:
        child.kill()
        child.join(30)


def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 90
    while not happened():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.005)


def test_resume_after_kill_equals_never_stopping(photos: Path, tmp_path: Path) -> None:
    arguments = ["--data", str(photos), "--max-images", "200", *TINY, "--snapshot-time", "0s", "--sample-grids", "3"]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    with process(killed, *arguments) as child:
        child.kill()
        child.join(30)
        assert child.exitcode == -signal.SIGKILL
    header = read_header(killed / FILE_NAME)
    assert 0 < header.images_seen < 200
    assert main(["train", TASK.name, "--out", str(killed), "--resume", "--snapshot-time", "1h"]) == 0
    assert main(["train", TASK.name, "--out", str(whole), *arguments, "--snapshot-time", "1h"]) == 0
    assert_same_snapshots(killed, whole)


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
    assert f"ended early ({number.name}) at " in said
    assert f"go on with: translate train {TASK.name} --out {out} --resume" in said
    assert "Traceback" not in said
    seen = read_header(out / FILE_NAME).images_seen
    assert f" after {seen} images; " in said
    more = [str(seen + 2), "--snapshot-time", "1h"]
    assert main(["train", TASK.name, "--out", str(out), "--resume", "--max-images", *more, "--workers", "0"]) == 0
    assert read_header(out / FILE_NAME).images_seen >= seen + 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_in_this_process(photos: Path, tmp_path: Path, number: signal.Signals) -> None:
    before = signal.getsignal(number)

    def interrupted(target_BCHW: Tensor, generator: Generator) -> Tensor:
        if signal.getsignal(number) is not before:  # not while the sample pictures are made
            os.kill(os.getpid(), number)
        return draw_sketches(target_BCHW, generator)

    run = new_run(tmp_path, settings())
    assert train(run, photos, make_source=interrupted) == number.name
    assert signal.getsignal(number) is before
    assert read_header(run.snapshot_path).steps == 1  # the step was finished first


# --- early ends


@pytest.mark.parametrize(("stop_after", "steps"), [(StopAfter(images=4), 2), (StopAfter(seconds=0.0), 1)])
def test_stop_after(photos: Path, tmp_path: Path, stop_after: StopAfter, steps: int) -> None:
    run = new_run(tmp_path, settings())
    assert train(run, photos, stop_after) == "stop-after"
    assert read_header(run.snapshot_path).steps == steps


def test_stop_after_counts_this_process_only(photos: Path, tmp_path: Path) -> None:
    train(new_run(tmp_path, settings()), photos, StopAfter(images=4))
    run = new_run(tmp_path, settings(), saved=read_header(tmp_path / FILE_NAME))
    run.restore(read_tensors(run.snapshot_path))
    assert train(run, photos, StopAfter(images=4)) == "stop-after"
    assert (run.progress.images_seen, run.progress.images_here) == (8, 4)


# --- losses that are no numbers


class Breaking(Pix2Pix):
    """The generator's loss is no number on some steps."""

    broken: Sequence[int] = ()

    def __init__(self, config: Pix2PixConfig, task: Any):
        super().__init__(config, task)
        self.steps = 0

    def step(self, batch: Batch, update: Update) -> None:
        self.steps += 1

        def sabotaged(network: str, terms: Any) -> None:
            if self.steps in self.broken:
                terms = {name: Term(term.weight, term.value * float("nan")) for name, term in terms.items()}
            update(network, terms)

        super().step(batch, sabotaged)


def test_a_step_without_a_number_is_skipped(photos: Path, tmp_path: Path) -> None:
    run = new_run(tmp_path, settings(max_images=6), Breaking)
    run.trainer.broken = (2,)
    assert train(run, photos) == "done"
    assert (run.bad_steps, set(run.bad_steps_in_a_row.values()), run.progress.steps) == (2, {0}, 3)
    tensors = read_tensors(run.snapshot_path)
    assert all(tensor.isfinite().all() for tensor in tensors.values())
    assert tensors["optimizers/generator/0/step"] == 2


def test_log_is_json_after_a_skipped_step(photos: Path, tmp_path: Path) -> None:
    run = new_run(tmp_path, settings(max_images=6), Breaking)
    run.trainer.broken = (2,)
    train(run, photos)
    line = log_lines(tmp_path)[-1]
    assert line["bad_steps"] == 2
    assert line["losses"].keys() >= {"generator.l1", "discriminator.game"}


def test_many_steps_without_a_number_end_the_run(photos: Path, tmp_path: Path) -> None:
    config = settings(max_images=400)
    train(new_run(tmp_path, config), photos, StopAfter(images=4))
    before = (tmp_path / FILE_NAME).read_bytes()
    run = new_run(tmp_path, config, Breaking, saved=read_header(tmp_path / FILE_NAME))
    run.restore(read_tensors(run.snapshot_path))
    run.trainer.broken = range(1, 1000)
    with pytest.raises(DataError, match=f"no finite number {MAX_BAD_STEPS} times in a row; start a new run") as caught:
        train(run, photos)
    assert "\n" not in str(caught.value)
    assert (tmp_path / FILE_NAME).read_bytes() == before


def test_broken_weights_are_never_saved(photos: Path, tmp_path: Path) -> None:
    """However often snapshots are taken, the last one is from before the breakdown."""

    class Exploding(Pix2Pix):
        def step(self, batch: Batch, update: Update) -> None:
            if self.done:
                with torch.no_grad():
                    next(self.generator.parameters()).fill_(float("nan"))
            super().step(batch, update)

    run = new_run(tmp_path, settings(max_images=400, snapshot_seconds=0.0), Exploding)
    run.trainer.done = False
    train(run, photos, StopAfter(images=4))
    run.trainer.done = True
    with pytest.raises(DataError, match="the last snapshot is intact"):
        train(run, photos, StopAfter(images=400))
    assert all(tensor.isfinite().all() for tensor in read_tensors(run.snapshot_path).values())


# --- updates


def random_batch() -> Batch:
    generator = Generator().manual_seed(3)
    return Batch(*(torch.rand(2, 3, 32, 32, generator=generator) * 2 - 1 for _ in range(2)))


@pytest.mark.parametrize(("network", "other"), [("generator", "discriminator"), ("discriminator", "generator")])
def test_update_touches_one_network(tmp_path: Path, network: str, other: str) -> None:
    run = new_run(tmp_path, settings(lr_rampup_images=0))
    batch = random_batch()
    before = {name: value.detach().clone() for name, value in run.trainer.named_parameters()}
    fake_BCHW = run.trainer.generator(batch.source_BCHW)
    scores, _ = run.trainer.discriminator(batch.source_BCHW, fake_BCHW)
    run.update(network, {"both": Term(2.0, scores.square().mean() + fake_BCHW.square().mean())})
    changed = {
        name.split(".")[0] for name, value in run.trainer.named_parameters() if not torch.equal(value, before[name])
    }
    assert changed == {network}
    assert all(value.grad is None for value in run.trainer.networks[other].parameters())
    assert run.losses.keys() == {f"{network}.both"}


def test_update_takes_the_weighted_sum_and_the_scheduled_rate(tmp_path: Path) -> None:
    config = settings(max_images=100, lr_rampup_images=0, lr_decay_start=0.5, generator_lr=1e-2)
    run = new_run(tmp_path, config)
    weight = run.trainer.generator.out.bias
    before = weight.detach().clone()
    run.progress.images_seen = 75
    value = run.trainer.generator.out.bias.sum()
    rest = sum((parameter.sum() * 0 for parameter in run.trainer.generator.parameters()), start=torch.zeros(()))
    run.update("generator", {"up": Term(-3.0, value), "down": Term(1.0, value), "idle": Term(0.0, rest)})
    # Adam's first step is the learning rate in the direction of the gradient's sign.
    torch.testing.assert_close(weight.detach() - before, torch.full_like(before, 0.5e-2), rtol=1e-3, atol=0)
    assert weight.grad is not None
    assert weight.grad.tolist() == [-2.0, -2.0, -2.0]


def test_overfits_one_batch(tmp_path: Path) -> None:
    config = settings(
        adversarial_weight=0.0, feature_weight=0.0, generator_lr=5e-3, lr_rampup_images=0, max_images=10**6
    )
    run = new_run(tmp_path, config)
    batch = random_batch()
    axis = torch.linspace(-1, 1, 32)
    batch = Batch(batch.source_BCHW, (axis[:, None] * axis).expand(2, 3, -1, -1).contiguous())
    seen: list[float] = []
    for _ in range(60):
        run.trainer.step(batch, run.update)
        run.advance(2)
        seen.append(float(run.losses["generator.l1"]))
    assert seen[-1] < 0.4 * seen[0]


# --- the average


class One(nn.Module):
    def __init__(self, value: float):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([value]))


def test_average_by_hand() -> None:
    average = Average(One(1.0), halflife_images=4)
    assert not average.network.training
    assert not average.network.weight.requires_grad
    average.update(One(3.0), batch_size=4, images_seen=1000)  # one half-life: half way
    assert average.network.weight.item() == pytest.approx(2.0)
    average.update(One(3.0), batch_size=8, images_seen=1000)  # two more: a quarter of the rest is left
    assert average.network.weight.item() == pytest.approx(2.75)


def test_average_forgets_the_start() -> None:
    average = Average(One(100.0), halflife_images=4000)
    average.update(One(1.0), batch_size=8, images_seen=8)  # half-life 0.8 images: 1/1024 is left
    assert average.network.weight.item() == pytest.approx(1.0 + 99.0 / 1024)


# --- what is written


def test_sample_grids_and_log(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "LOG_SECONDS", 0.0)
    run = new_run(tmp_path, settings(max_images=8, sample_grids=2))
    assert train(run, photos) == "done"
    assert sorted(path.name for path in (tmp_path / "samples").iterdir()) == ["000000004.png", "000000008.png"]
    for path in (tmp_path / "samples").iterdir():
        grid_HWC = read_picture(path).rgb_HWC
        assert grid_HWC.shape == (6 * (32 + 4) + 4, 3 * (32 + 4) + 4, 3)  # six photographs, gaps of 4
        assert (grid_HWC[:4] == journal_module.GAP_GREY).all()
    lines = log_lines(tmp_path)
    assert [line["images"] for line in lines] == [2, 4, 6, 8]
    for line in lines:
        assert line.keys() == {
            "images", "seconds", "share", "lr_factor", "images_per_second", "bad_steps", "losses"
        }  # fmt: skip
        assert line["losses"].keys() == {
            "discriminator.game", "generator.adversarial", "generator.features", "generator.l1"
        }  # fmt: skip
    assert [line["share"] for line in lines] == [0.25, 0.5, 0.75, 1.0]


def test_at_most_eight_rows_and_bad_files_are_said_once(photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(9):
        (folder / f"{number}.png").write_bytes((photos / f"{number % 6}.png").read_bytes())
    (folder / "bad.png").write_text("x")
    run = new_run(tmp_path / "run", settings(max_images=40, sample_grids=1))
    assert train(run, folder) == "done"
    height = read_picture(next((run.folder / "samples").iterdir())).height
    assert height <= fit_module.SAMPLES * (32 + 4) + 4
    rejected = [line["rejected"] for line in log_lines(run.folder) if "rejected" in line]
    assert len(rejected) == 1
    assert str(folder / "bad.png") in rejected[0]


def test_full_disk_for_pictures_and_log_does_not_end_the_run(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "samples").write_text("in the way")
    (tmp_path / "log.jsonl").mkdir()
    assert train(new_run(tmp_path, settings(max_images=4, sample_grids=2)), photos) == "done"
    assert read_header(tmp_path / FILE_NAME).images_seen == 4
