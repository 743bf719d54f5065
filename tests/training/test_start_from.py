"""A run that begins with what another has learnt."""

import shutil
from pathlib import Path

import pytest
import torch
from tiny_runs import options, read_tensors

from translate.cli.main import main
from translate.training.snapshot import FILE_NAME

SR = "super-resolution"


def train(task: str, data: Path, out: Path, *more: str, **changes: object) -> int:
    return main(["train", task, "--data", str(data), "--out", str(out), *options(task, **changes), *more])


@pytest.fixture(scope="module")
def faithful(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A super-resolution run without the game."""
    out = tmp_path_factory.mktemp("runs") / "faithful"
    assert train(SR, photos, out, preset="fidelity") == 0
    return out


def test_the_next_phase_keeps_what_the_first_has_learnt(faithful: Path, photos: Path, tmp_path: Path) -> None:
    changes = {"adversarial_start": 0.0, "start_from": faithful, "max_images": 4}
    assert train(SR, photos, tmp_path / "sharp", **changes) == 0
    before, after = (read_tensors(run / FILE_NAME) for run in (faithful, tmp_path / "sharp"))
    learnt = [name for name in before if name.startswith("average/generator/")]
    assert learnt
    for name in learnt:  # the average goes on, and the branch for detail does not touch it
        assert torch.equal(before[name], after[name]), name
    branch = [value for name, value in after.items() if name.startswith("trainer/generator.detail.")]
    assert any(value.any() for value in branch[-2:])


def test_it_is_resumed_from_its_own_snapshot(faithful: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "more"
    changes = {"preset": "fidelity", "start_from": faithful, "max_images": 8}
    assert train(SR, photos, out, "--stop-after", "4images", **changes) == 0
    half = read_tensors(out / FILE_NAME)
    assert main(["train", SR, "--out", str(out), "--resume", "--stop-after", "2images"]) == 0
    went_on = read_tensors(out / FILE_NAME)["trainer/generator.head.expand_MI"]
    assert torch.equal(half["optimizers/generator/0/step"], torch.tensor(2.0))
    assert not torch.equal(went_on, half["trainer/generator.head.expand_MI"])
    assert not torch.equal(went_on, read_tensors(faithful / FILE_NAME)["trainer/generator.head.expand_MI"])


@pytest.mark.parametrize(
    ("task", "changes", "message"),
    [
        (SR, {"start_from": "nowhere"}, "nowhere has no snapshot.safetensors"),
        (SR, {"generator_width": 16}, "its generator.* has shape (8,), expected (16,); use the same widths"),
        ("sketch-to-photo", {}, "its generator.* has shape *, expected none; use the same widths"),
    ],
)
def test_a_run_that_does_not_fit(
    task: str,
    changes: dict[str, object],
    message: str,
    faithful: Path,
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert train(task, photos, tmp_path / "new", **({"start_from": faithful} | changes)) == 2
    error = capsys.readouterr().err
    for part in message.split("*"):
        assert part in error
    assert error.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_another_scale_begins_with_all_but_the_last_layer(
    faithful: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = {"preset": "fidelity", "start_from": faithful, "scale": 4, "max_images": 2}
    assert train(SR, photos, tmp_path / "large", **changes) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert f"not in {faithful}, starts untrained: generator.tail.weight, generator.tail.bias" in said
    before, after = (read_tensors(run / FILE_NAME) for run in (faithful, tmp_path / "large"))
    learnt, begun = before["average/generator/head.expand_MI"], after["trainer/generator.head.expand_MI"]
    torch.testing.assert_close(begun, learnt, atol=2e-3, rtol=0)  # one step of Adam away


@pytest.fixture
def kinds(photos: Path, tmp_path: Path) -> Path:
    """Photographs in two sub-folders."""
    for kind in ("boot", "shoe"):
        shutil.copytree(photos, tmp_path / "kinds" / kind)
    return tmp_path / "kinds"


COLOURS = {"labels": True, "style_size": 5, "style_kind": "colours"}


def test_the_units_of_styles_are_taken_over_and_what_is_new_is_said(
    kinds: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = "sketch-to-photo"
    assert train(task, photos, tmp_path / "plain") == 0
    assert train(task, kinds, tmp_path / "first", start_from=tmp_path / "plain", discriminator_width=4, **COLOURS) == 2
    assert "its discriminator" in capsys.readouterr().err
    assert train(task, kinds, tmp_path / "first", **COLOURS) == 0
    assert "untrained" not in capsys.readouterr().err
    assert train(task, kinds, tmp_path / "second", start_from=tmp_path / "first", max_images=2, **COLOURS) == 0
    assert "untrained" not in capsys.readouterr().err
    name = "trainer/colours.standard.centre_S"
    before, after = (read_tensors(tmp_path / run / FILE_NAME)[name] for run in ("first", "second"))
    assert before.abs().max() > 0.01
    torch.testing.assert_close(after, before, atol=0.05, rtol=0.1)  # one step further, not from zero


def test_what_begins_untrained_is_said(
    faithful: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(SR, photos, tmp_path / "sharp", adversarial_start=0.0, start_from=faithful, max_images=2) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert f"not in {faithful}, starts untrained: discriminator, generator.detail.0.conv1.weight" in said


def test_kinds_and_styles_must_mean_the_same(kinds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task = "sketch-to-photo"
    assert train(task, kinds, tmp_path / "first", **COLOURS) == 0
    (kinds / "boot").rename(kinds / "bag")
    capsys.readouterr()
    assert train(task, kinds, tmp_path / "new", start_from=tmp_path / "first", **COLOURS) == 2
    assert (
        "its labels are boot, shoe, this run's are bag, shoe; give the sub-folders the same names"
        in capsys.readouterr().err
    )
    (kinds / "bag").rename(kinds / "boot")
    changes = COLOURS | {"style_kind": "learned"}
    assert train(task, kinds, tmp_path / "new", start_from=tmp_path / "first", **changes) == 2
    assert "its --style-kind is colours, this run's is learned" in capsys.readouterr().err
