"""Updates: what one step changes, broken steps, parts of a batch, averages, and when a run ends."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import SKETCHES, log_lines, new_run, resumed_run, settings, train, trainer_class, training_data_of
from torch import Generator, Tensor

from translate.errors import ConfigError, DataError, SnapshotError
from translate.trainers.base import Batch, Term, Update
from translate.training import fit as fit_module
from translate.training import run as run_module
from translate.training.budget import StopAfter
from translate.training.run import HEALTH_INTERVAL, MAX_BAD_STEPS, Run
from translate.training.snapshot import FILE_NAME, read_header, read_tensors

Pix2Pix: Any = trainer_class(SKETCHES)


# --- early ends


def test_budget_used_means_done_and_no_learning_rate(photos: Path, tmp_path: Path) -> None:
    run = new_run(tmp_path, settings(max_images=5))
    assert train(run, photos) == "done"
    assert (run.progress.images_seen, run.progress.share, run.lr_factor) == (6, 1.0, 0.0)
    assert log_lines(tmp_path)[-1]["lr_factor"] == 0.0


def test_time_budget(photos: Path, tmp_path: Path) -> None:
    run = new_run(tmp_path, settings(max_images=None, max_seconds=1e-3))
    assert train(run, photos) == "done"
    assert run.progress.steps == 1
    assert read_header(tmp_path / FILE_NAME).seconds_used >= 1e-3


def test_bfloat16_smoke(photos: Path, tmp_path: Path) -> None:
    run = new_run(tmp_path, settings(max_images=4, precision="bf16"))
    assert train(run, photos) == "done"
    assert all(tensor.isfinite().all() for tensor in read_tensors(run.snapshot_path).values())
    assert {value.dtype for value in run.trainer.parameters()} == {torch.float32}


def test_drawings_are_the_same_under_autocast(photos: Path, tmp_path: Path) -> None:
    """Diagnostics make batches under autocast; some ways of drawing need float32, all find other edges in bfloat16."""
    run = new_run(tmp_path, settings(precision="bf16"))
    training_data = training_data_of(run, photos)
    raw = training_data.stream.plain(16)
    expected = training_data.batch(raw, (0,), run.fabric.device)
    with run.fabric.autocast():
        batch = training_data.batch(raw, (0,), run.fabric.device)
    assert torch.equal(batch.source_BCHW, expected.source_BCHW)


@pytest.mark.parametrize(("stop_after", "steps"), [(StopAfter(images=4), 2), (StopAfter(seconds=0.0), 1)])
def test_stop_after(photos: Path, tmp_path: Path, stop_after: StopAfter, steps: int) -> None:
    run = new_run(tmp_path, settings())
    assert train(run, photos, stop_after) == "stop-after"
    assert read_header(run.snapshot_path).steps == steps


def test_stop_after_counts_this_process_only(photos: Path, tmp_path: Path) -> None:
    train(new_run(tmp_path, settings()), photos, StopAfter(images=4))
    run = resumed_run(tmp_path, settings())
    assert train(run, photos, StopAfter(images=4)) == "stop-after"
    assert (run.progress.images_seen, run.progress.images_here) == (8, 4)


# --- losses that are no numbers


class Breaking(Pix2Pix):
    """The loss of some players is no number on some steps."""

    broken: Sequence[int] = ()
    players_broken: Sequence[str] = ("generator", "discriminator")
    factor = float("nan")

    def step(self, batch: Batch, update: Update) -> None:
        def sabotaged(player: str, terms: Any) -> None:
            if batch.step in self.broken and player in self.players_broken:
                terms = {name: Term(term.weight, term.value * self.factor) for name, term in terms.items()}
            update(player, terms)

        super().step(batch, sabotaged)


def idle(run: Run) -> Tensor:
    """Nothing, of all weights of the generator."""
    return sum((weight.sum() * 0 for weight in run.parameters["generator"]), start=torch.zeros(()))


def breaking(folder: Path, resume: bool = False, **changes: Any) -> Any:
    config = settings(**{"warm_start": 0.0, **changes})
    return resumed_run(folder, config, kind=Breaking) if resume else new_run(folder, config, kind=Breaking)


@pytest.mark.parametrize("factor", [float("nan"), float("inf"), float("-inf")])
def test_a_step_without_a_number_is_skipped(photos: Path, tmp_path: Path, factor: float) -> None:
    run = breaking(tmp_path, max_images=6)
    run.trainer.broken, run.trainer.factor = (1,), factor
    assert train(run, photos) == "done"
    assert (run.bad_steps, sum(run.bad_steps_in_a_row.values()), run.progress.steps) == (2, 0, 3)
    tensors = read_tensors(run.snapshot_path)
    assert all(tensor.isfinite().all() for tensor in tensors.values())
    assert tensors["optimizers/generator/0/step"] == 2


@pytest.mark.parametrize("first", [True, False], ids=["first step", "later step"])
@pytest.mark.parametrize("kind", ["loss", "gradient"])
def test_a_bad_step_changes_nothing(tmp_path: Path, kind: str, first: bool) -> None:
    """Weights, moments and counts stay, even when the loss is finite and only its gradient is not."""
    run = new_run(tmp_path, settings(lr_rampup_images=0))
    weight = run.trainer.generator.out.bias
    if not first:
        run.update("generator", {"good": Term(1.0, weight.square().sum() + weight.sum() + idle(run))})
    before = {name: tensor.clone() for name, tensor in run._trained().items()}
    zero = (weight * 0.0).sum()
    value = zero * float("inf") if kind == "loss" else zero.sqrt()  # 0, with a slope of infinity times 0
    assert bool(value.isfinite()) == (kind == "gradient")
    run.update("generator", {"bad": Term(1.0, value + idle(run))})
    after = run._trained()
    slots = {name for name in after if not name.startswith("optimizers/")} | before.keys()
    assert [name for name in slots if not torch.equal(after[name], before[name])] == []
    assert all(not after[name].any() for name in after.keys() - slots)  # Adam's memory is as empty as before
    assert (run.bad_steps, run.bad_steps_in_a_row["generator"]) == (1, 1)
    assert not run.losses["generator.gradient"].isfinite()
    run.update("generator", {"good": Term(1.0, weight.sum() + idle(run))})
    assert not torch.equal(weight, before["trainer/generator.out.bias"])
    assert (run.bad_steps, run.bad_steps_in_a_row["generator"]) == (1, 0)


def test_a_bad_part_spoils_its_batch_only(tmp_path: Path) -> None:
    run = new_run(tmp_path, settings(accumulate=2, lr_rampup_images=0))
    weight = run.trainer.generator.out.bias
    before = weight.detach().clone()
    for factor, bad in ((float("nan"), 0), (1.0, 1), (1.0, 1)):
        run.update("generator", {"term": Term(factor, weight.sum() + idle(run))})
        assert run.bad_steps == bad
        assert torch.equal(weight, before)
    run.update("generator", {"term": Term(1.0, weight.sum() + idle(run))})
    assert (run.bad_steps, torch.equal(weight, before)) == (1, False)


def test_log_is_json_and_counts_skipped_steps(photos: Path, tmp_path: Path) -> None:
    run = breaking(tmp_path, max_images=6)
    run.trainer.broken = (1,)
    train(run, photos)
    line = log_lines(tmp_path)[-1]
    assert line["bad_steps"] == 2
    assert line["losses"].keys() >= {"generator.l1", "discriminator.game"}
    assert line["gradients"].keys() == {"generator", "discriminator", "game"}


@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_many_steps_without_a_number_end_the_run(photos: Path, tmp_path: Path, player: str) -> None:
    train(breaking(tmp_path, max_images=400), photos, StopAfter(images=4))
    before = (tmp_path / FILE_NAME).read_bytes()
    run = breaking(tmp_path, resume=True, max_images=400)
    run.trainer.broken, run.trainer.players_broken = range(1000), (player,)
    message = f"the loss of the {player} was not finite {MAX_BAD_STEPS} times in a row; start a new run"
    with pytest.raises(DataError, match=message) as caught:
        train(run, photos)
    assert "\n" not in str(caught.value)
    assert (tmp_path / FILE_NAME).read_bytes() == before
    # Two good ones, twenty bad ones, and then to the next time that anyone looks.
    assert run.progress.steps == -(-(2 + MAX_BAD_STEPS) // HEALTH_INTERVAL) * HEALTH_INTERVAL


def test_fewer_do_not(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "HEALTH_INTERVAL", 1)
    run = breaking(tmp_path, max_images=2 * (2 * MAX_BAD_STEPS + 2))
    run.trainer.broken = set(range(1000)) - {0, MAX_BAD_STEPS, 2 * MAX_BAD_STEPS}
    assert train(run, photos) == "done"
    assert run.bad_steps == 2 * (2 * MAX_BAD_STEPS + 2 - 3)


def test_broken_weights_are_never_saved(photos: Path, tmp_path: Path) -> None:
    """However often snapshots are taken, the last one is from before the breakdown."""

    class Exploding(Pix2Pix):
        done = False

        def step(self, batch: Batch, update: Update) -> None:
            if self.done:
                with torch.no_grad():
                    next(self.generator.parameters()).fill_(float("nan"))
            super().step(batch, update)

    run: Any = new_run(tmp_path, settings(max_images=400, snapshot_seconds=0.0), kind=Exploding)
    train(run, photos, StopAfter(images=4))
    run.trainer.done = True
    with pytest.raises(DataError, match="the last snapshot is intact"):
        train(run, photos, StopAfter(images=400))
    assert all(tensor.isfinite().all() for tensor in read_tensors(run.snapshot_path).values())


# --- snapshots that cannot be written


@pytest.mark.parametrize("failures", [1, 3])
def test_a_snapshot_in_between_may_fail(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    tried: list[int] = []

    def full_disk(path: Path, header: Any, tensors: Any) -> None:
        tried.append(header.steps)
        if len(tried) <= failures:
            raise SnapshotError("cannot write it: No space left on device")
        write(path, header, tensors)

    write = run_module.write_snapshot
    monkeypatch.setattr(run_module, "write_snapshot", full_disk)
    said = io.StringIO()
    run = new_run(tmp_path, settings(max_images=10, snapshot_seconds=0.0))
    assert train(run, photos, said=said) == "done"
    assert tried == [1, 2, 3, 4, 5]
    line = "no snapshot: cannot write it: No space left on device; training continues, the previous snapshot is intact"
    assert said.getvalue().splitlines().count(line) == failures
    assert read_header(run.snapshot_path).steps == 5


def test_the_last_snapshot_may_not_fail(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(new_run(tmp_path, settings()), photos, StopAfter(images=4))
    before = (tmp_path / FILE_NAME).read_bytes()

    def full_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full_disk)
    said = io.StringIO()
    with pytest.raises(SnapshotError, match=r"^cannot write .*No space left on device; free some disk space"):
        train(resumed_run(tmp_path, settings(snapshot_seconds=0.0)), photos, said=said)
    assert said.getvalue().count("no snapshot: ") == 3  # steps 3, 4 and 5; the sixth is the last
    assert (tmp_path / FILE_NAME).read_bytes() == before
    assert not [path.name for path in tmp_path.iterdir() if ".part" in path.name]


def test_snapshots_come_when_it_is_time(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10_000, 40))
    monkeypatch.setattr(fit_module, "monotonic", lambda: next(clock))
    saved: list[int] = []
    monkeypatch.setattr(Run, "save", lambda run: saved.append(run.progress.steps))
    train(new_run(tmp_path, settings(max_images=16, snapshot_seconds=100.0)), photos)
    # The clock ticks 40 s whenever it is read: at the start, after each step, and after each snapshot.
    assert saved == [3, 6, 8]


# --- updates


def random_batch() -> Batch:
    generator = Generator().manual_seed(3)
    return Batch(
        *(torch.rand(2, 3, 32, 32, generator=generator) * 2 - 1 for _ in range(2)),
        torch.zeros(2, dtype=torch.int64),
        0.5,
    )


@pytest.mark.parametrize(("player", "other"), [("generator", "discriminator"), ("discriminator", "generator")])
def test_update_touches_one_player(tmp_path: Path, player: str, other: str) -> None:
    run = new_run(tmp_path, settings(lr_rampup_images=0))
    batch = random_batch()
    before = {name: value.detach().clone() for name, value in run.trainer.named_parameters()}
    fake_BCHW = run.trainer.generator(batch.source_BCHW)
    scores = run.trainer.discriminator(torch.cat([batch.source_BCHW, fake_BCHW], dim=1)).scores
    run.update(player, {"both": Term(2.0, scores[0].square().mean() + fake_BCHW.square().mean())})
    changed = {
        name.split(".")[0] for name, value in run.trainer.named_parameters() if not torch.equal(value, before[name])
    }
    assert changed == {player}
    assert all(value.grad is None for value in run.trainer.get_submodule(other).parameters())
    assert run.losses.keys() == {f"{player}.both", f"{player}.gradient"}


def test_update_takes_the_weighted_sum_and_the_scheduled_rate(tmp_path: Path) -> None:
    config = settings(max_images=100, lr_rampup_images=0, lr_decay_start=0.5, generator_lr=1e-2)
    run = new_run(tmp_path, config)
    weight = run.trainer.generator.out.bias
    before = weight.detach().clone()
    run.progress.images_seen = 75
    value = run.trainer.generator.out.bias.sum()
    run.update("generator", {"up": Term(-3.0, value), "down": Term(1.0, value), "idle": Term(0.0, idle(run))})
    # Adam's first step is the learning rate in the direction of the gradient's sign.
    torch.testing.assert_close(weight.detach() - before, torch.full_like(before, 0.5e-2), rtol=1e-3, atol=0)
    assert float(run.losses["generator.gradient"]) == pytest.approx(2.0 * len(weight) ** 0.5)
    assert (
        float(run.losses["generator.up"]) == float(run.losses["generator.down"]) == pytest.approx(float(before.sum()))
    )


def test_overfits_one_batch(tmp_path: Path) -> None:
    config = settings(
        adversarial_weight=0.0, feature_weight=0.0, generator_lr=5e-3, lr_rampup_images=0, max_images=10**6
    )
    run = new_run(tmp_path, config)
    axis = torch.linspace(-1, 1, 32)
    batch = random_batch()._replace(target_BCHW=(axis[:, None] * axis).expand(2, 3, -1, -1).contiguous())
    seen: list[float] = []
    for _ in range(100):
        run.trainer.step(batch, run.update)
        run.advance(2)
        seen.append(float(run.losses["generator.l1"]))
    assert min(seen) < 0.4 * seen[0]  # at this rate single steps go up and down


def first_gradients(folder: Path, data: Path, **changes: Any) -> dict[str, Tensor]:
    """What one step of four pairs wants to change in pix2pix (Adam's first moment), nothing drawn by chance."""
    config = settings(
        "pix2pix",
        batch_size=4,
        discriminator_augmentation=(),
        discriminator_norm="instance",  # of one picture; spectral norm counts how often it is asked
        **changes,
    )
    train(new_run(folder, config, "pix2pix"), data, StopAfter(images=4))
    tensors = read_tensors(folder / FILE_NAME)
    return {name: tensor for name, tensor in tensors.items() if name.endswith("/exp_avg")}


@pytest.mark.parametrize("parts", [2, 4])
def test_parts_of_a_batch_add_up_to_it(pairs: Path, tmp_path: Path, parts: int) -> None:
    """The generator without a game, whose judge would have improved between the parts; and the judge."""
    for player, changes in (("generator", {"warm_start": 1.0}), ("discriminator", {"warm_start": 0.0})):
        whole = first_gradients(tmp_path / f"{player} whole", pairs, **changes)
        split = first_gradients(tmp_path / f"{player} parts", pairs, accumulate=parts, **changes)
        names = [name for name in whole if name.startswith(f"optimizers/{player}/")]
        assert names
        largest = max(whole[name].abs().max() for name in names)
        assert largest > 1e-4
        for name in names:
            assert (whole[name] - split[name]).abs().max() < 1e-4 * largest, name


def test_a_batch_that_cannot_be_parted() -> None:
    with pytest.raises(ConfigError, match="--accumulate is 3; it must divide --batch-size, which is 4"):
        settings(batch_size=4, accumulate=3)
