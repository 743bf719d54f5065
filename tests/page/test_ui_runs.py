"""Trainings of the page without the page: folders, plans, processes that outlive their server.

A whole training, and the export, are in `test_ui_train_browser`.
"""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from conftest import DOUBLE, save_model
from programs import until
from tiny_runs import options, trainer_class

from translate.cli.train import _preset
from translate.errors import ConfigError, DataError, MissingExtra
from translate.inference.models import shipped
from translate.tasks import TASKS
from ui.refused import Refused
from ui.training import tab
from ui.training.data_root import DataRoot
from ui.training.lock import Holder, TrainingLock
from ui.training.plan import PRESETS, Pictures, Plan, presets, starts
from ui.training.progress import Progress, sample_file
from ui.training.runs import Runs

TINY = [*options(max_images=None, metrics="swd", held_out=2), "--threads", "1"]
SHOES = Plan(task="sketch-to-photo", folder="shoes", minutes=500)


@pytest.fixture
def root(tmp_path: Path, photos: Path) -> Path:
    """A data root with photographs in `shoes`."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "shoes").mkdir()
    for path in photos.iterdir():
        os.link(path, tmp_path / "data" / "shoes" / path.name)
    return tmp_path / "data"


@pytest.fixture
def new_runs(root: Path, tmp_path: Path) -> Generator[Callable[[], Runs]]:
    """What a server would make when it starts, again and again; in the end nothing runs."""
    made: list[Runs] = []

    def make() -> Runs:
        made.append(Runs(DataRoot(root), tmp_path / "runs", tmp_path / "models", TINY))
        return made[-1]

    yield make
    for runs in made:
        for child in runs._children:
            child.kill()
            child.wait()


# --- folders


def test_folders_with_pictures_are_listed(tmp_path: Path, make_pictures: Callable[[Path, Sequence[str]], Path]) -> None:
    root = make_pictures(tmp_path / "root", ["shoes/1.png", "shoes/2.png", "town/day/1.png", "town/night/1.png"])
    (root / "empty").mkdir()
    (root / ".hidden").mkdir()
    make_pictures(tmp_path / "outside", ["secret.png"])
    (root / "link").symlink_to(tmp_path / "outside")
    found = {folder.name: folder.pictures for folder in DataRoot(root).folders()}
    assert found == {".": 4, "shoes": 2, "town": 2, "town/day": 1, "town/night": 1}


@pytest.mark.parametrize(
    "name",
    [
        "..",
        "../outside",
        "shoes/../../outside",
        "/etc",
        "link",
        "link/deeper",
        "shoes/none",
        "a\0b",
        "shoes/1.png",
        "~",
    ],
)
def test_nothing_leads_out_of_the_root(
    name: str, tmp_path: Path, make_pictures: Callable[[Path, Sequence[str]], Path]
) -> None:
    root = make_pictures(tmp_path / "root", ["shoes/1.png"])
    make_pictures(tmp_path / "outside", ["secret.png", "deeper/secret.png"])
    (root / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(Refused, match=r"not one of the choices|no such folder any more"):
        DataRoot(root).resolve(name)


def test_links_inside_a_folder_do_not_lead_out_either(
    tmp_path: Path, make_pictures: Callable[[Path, Sequence[str]], Path]
) -> None:
    root = make_pictures(tmp_path / "root", ["shoes/1.png", "bags/1.png"])
    outside = make_pictures(tmp_path / "outside", ["secret.png"])
    (root / "shoes" / "bags").symlink_to(root / "bags")
    assert DataRoot(root).resolve("shoes") == root / "shoes"
    for target in (outside, outside / "secret.png", Path("../../outside/secret.png")):
        (root / "shoes" / "more.png").symlink_to(target)
        with pytest.raises(Refused, match=r"^shoes/more\.png is a link that leads out .* remove the link$"):
            DataRoot(root).resolve("shoes")
        (root / "shoes" / "more.png").unlink()


def test_a_root_that_is_a_link_itself_is_fine(tmp_path: Path, root: Path) -> None:
    (tmp_path / "also").symlink_to(root)
    assert DataRoot(tmp_path / "also").resolve("shoes") == root / "shoes"
    with pytest.raises(ConfigError, match=r"^--data-root .*none does not exist; give the folder"):
        DataRoot(tmp_path / "none")


# --- plans


@pytest.mark.parametrize("task", TASKS)
def test_presets_are_those_of_the_trainer(task: str) -> None:
    trainer = trainer_class(task)
    assert set(PRESETS[trainer.__name__]) == set(trainer.presets)
    assert presets(TASKS[task])[0] == "modern"


@pytest.mark.parametrize("task", TASKS)
def test_labels_are_offered_where_the_trainer_takes_them(task: str) -> None:
    modern = trainer_class(task).presets["modern"]
    with nullcontext() if TASKS[task].labels else pytest.raises(ConfigError, match="--labels"):
        modern.replace(labels=True)
    assert tab._task(TASKS[task])["labels"] == TASKS[task].labels


@pytest.mark.parametrize(
    "wrong",
    [
        {"task": "none"}, {"task": ["sketch-to-photo"]}, {"preset": "--out"}, {"start_from": "night-to-day"},
        {"start_from": "/etc/passwd"}, {"minutes": 0}, {"minutes": float("nan")}, {"minutes": "5"}, {"minutes": True},
        {"pictures": 5}, {"minutes": None}, {"minutes": None, "pictures": 2.5}, {"image_size": 65},
        {"layout": "--out"}, {"labels": "yes"}, {"folder": 3},
    ],
)  # fmt: skip
def test_plans_hold_nothing_but_choices(wrong: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        Plan(**{"task": "sketch-to-photo", "folder": "shoes", "minutes": 5, **wrong})


def test_a_plan_as_options() -> None:
    plan = Plan(task="pix2pix", folder="x", layout="right", labels=True, preset="classic", pictures=300, image_size=128)
    assert plan.options() == [
        "--layout", "side-by-side", "--source-side", "right", "--labels", "--preset", "classic", "--max-images", "300",
        "--image-size", "128",
    ]  # fmt: skip
    assert Plan(task="day-to-night", folder="x", minutes=1.5, start_from="day-to-night").options() == [
        "--preset", "modern", "--max-time", "90s", "--start-from", "day-to-night",
    ]  # fmt: skip


@pytest.mark.parametrize("task", sorted({model.task for model in shipped()}))
def test_models_are_offered_with_the_presets_that_suit_them(task: str) -> None:
    for start, suited in starts(TASKS[task]).items():
        for preset in presets(TASKS[task]):
            with nullcontext() if preset in suited else pytest.raises(ConfigError, match="does not suit --start-from"):
                _preset(TASKS[task], trainer_class(task), ["--preset", preset, "--start-from", start])
            with nullcontext() if preset in suited else pytest.raises(Refused, match="not one of the choices"):
                Plan(task=task, folder="x", pictures=300, preset=preset, start_from=start)


def test_added_models_are_offered_as_far_as_they_can_be_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSLATE_MODELS", str(tmp_path))
    of_task = partial(dataclasses.replace, DOUBLE, task="super-resolution")
    save_model(tmp_path / "plain.onnx", of_task(name="plain"))
    save_model(tmp_path / "small.onnx", of_task(name="small", precision="int8"))
    found = starts(TASKS["super-resolution"])
    assert found["super-resolution"] == ["modern", "robust", "classic"]
    assert found["plain"] == presets(TASKS["super-resolution"])
    assert "small" not in found


def test_twice_the_budget() -> None:
    plan = Plan(task="pix2pix", folder="x", pictures=300)
    assert plan.doubled() == Plan(task="pix2pix", folder="x", pictures=600)
    assert plan.doubled().budget() == ["--max-images", "600"]
    with pytest.raises(Refused, match=r"is out of range"):
        Plan(task="pix2pix", folder="x", minutes=14 * 24 * 60).doubled()


# --- processes


def test_the_lock_ends_with_its_process(tmp_path: Path) -> None:
    lock = TrainingLock(tmp_path / "lock")
    assert lock.holder() is None
    with lock.taken("one") as file:
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[file])
    lock.note(Holder("one", child.pid))
    assert TrainingLock(tmp_path / "lock").holder() == Holder("one", child.pid)
    with pytest.raises(Refused, match=r"^one is being trained; wait until"), lock.taken("two"):
        pass
    child.kill()
    child.communicate()
    assert lock.holder() is None


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Instead of the command, a process that prints what it was asked for and waits for its end."""
    program = tmp_path / "stub"
    program.write_text('#!/bin/sh\necho "$@"\nexec sleep 300\n')
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))


@pytest.mark.usefixtures("stub")
def test_one_process_that_outlives_its_server(new_runs: Callable[[], Runs], root: Path, tmp_path: Path) -> None:
    runs = new_runs()
    assert runs.all() == []
    started = runs.start(SHOES)
    output = started.folder / "output.txt"
    assert (started.name, started.state, started.folder) == ("shoes-1", "running", tmp_path / "runs" / "shoes-1")
    until(output.read_text)
    words = output.read_text().split()
    assert words[:8] == [
        "-m",
        "translate.cli",
        "train",
        "sketch-to-photo",
        "--data",
        str(root / "shoes"),
        "--out",
        str(started.folder),
    ]
    assert words[8:12] == ["--preset", "modern", "--max-time", "30000s"]
    assert words[-2:] == ["--threads", "1"]
    for act in (new_runs().start, runs.start):
        with pytest.raises(Refused, match=r"^shoes-1 is being trained; wait"):
            act(SHOES)

    # Another server finds it, and can stop it.
    again = new_runs()
    assert [(run.name, run.state) for run in again.all()] == [("shoes-1", "running")]
    with pytest.raises(Refused, match=r"^shoes-1 has nothing to export yet"):
        again.export("shoes-1")
    with pytest.raises(Refused, match=r"^shoes-1 is being trained"):
        again.resume("shoes-1")
    (started.folder / "snapshot.safetensors").touch()
    assert again.stop("shoes-1").name == "shoes-1"
    until(lambda: runs.get("shoes-1").state == "stopped")

    # It goes on, ends in whatever way, and another one can begin.
    assert again.resume("shoes-1").state == "running"
    until(lambda: "resume" in output.read_text())
    same = ["-m", "translate.cli", "resume", str(started.folder), "--max-time", "30000s"]
    assert output.read_text().split() == same
    os.kill(again._lock.holder().process, signal.SIGKILL)  # pyright: ignore[reportOptionalMemberAccess]
    until(lambda: again.get("shoes-1").state == "stopped")
    # A finished one goes on for as long again.
    output.write_text("trained on 12 images; next: translate export\n")
    assert again.get("shoes-1").state == "finished"
    longer = again.resume("shoes-1")
    assert (longer.state, longer.plan.minutes, longer.started) == ("running", 1000, started.started)
    until(lambda: "resume" in output.read_text())
    twice = ["resume", str(started.folder), "--max-time", "60000s"]
    assert output.read_text().split()[2:] == twice
    os.kill(again._lock.holder().process, signal.SIGKILL)  # pyright: ignore[reportOptionalMemberAccess]
    until(lambda: again.get("shoes-1").state == "stopped")
    # It was killed before its first snapshot, in which the budget would be: it has twice the time all the same.
    again.resume("shoes-1")
    until(lambda: "resume" in output.read_text())
    assert output.read_text().split()[2:] == twice
    os.kill(again._lock.holder().process, signal.SIGKILL)  # pyright: ignore[reportOptionalMemberAccess]
    until(lambda: again.get("shoes-1").state == "stopped")
    assert again.start(SHOES).name == "shoes-2"
    assert [(run.name, run.state) for run in runs.all()] == [("shoes-2", "running"), ("shoes-1", "stopped")]


def test_a_second_wish_to_stop_is_no_second_signal(
    new_runs: Callable[[], Runs], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "stub"
    program.write_text("#!/bin/sh\ntrap 'echo asked' TERM\necho ready\nwhile :; do sleep 0.05; done\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    runs = new_runs()
    output = runs.start(SHOES).folder / "output.txt"
    until(lambda: "ready" in output.read_text())
    assert runs.stop("shoes-1").stopping
    until(lambda: "asked" in output.read_text())
    assert new_runs().stop("shoes-1").stopping
    assert runs._lock.holder() == Holder("shoes-1", runs._children[0].pid, stopping=True)
    assert output.read_text().count("asked") == 1


@pytest.mark.parametrize(
    ("output", "snapshot", "state", "message"),
    [
        ("translate: ROOT/one does not have the folders day and night\n", False, "failed", "one does not have the"),
        ("5 pictures to learn from\n", False, "failed", ""),
        ("trained on 12 images; next: translate export\n", True, "finished", ""),
        ("ended early (asked to end) at 3% of the budget\n", True, "stopped", ""),
        (" 12% l1 0.3  45 images/s\n", True, "stopped", ""),
        (
            "translate: one is in use by process 7 on studio since 2026 (translate resume x); wait until that\n",
            True,
            "stopped",
            "one is in use by another process; wait until that",
        ),
        ("Traceback (most recent call last):\n  File x\nValueError: no\n", True, "stopped", "ValueError: no"),
    ],
)
def test_how_a_run_ended(
    output: str, snapshot: bool, state: str, message: str, new_runs: Callable[[], Runs], root: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "runs" / "one-1"
    folder.mkdir(parents=True)
    plan = {**asdict(Plan(task="day-to-night", folder="one", pictures=12)), "started": "2026-11-28T12:00:00+00:00"}
    (folder / "page.json").write_text(json.dumps(plan))
    (folder / "output.txt").write_text(output.replace("ROOT", str(root)))
    if snapshot:
        (folder / "snapshot.safetensors").touch()
    runs = new_runs()
    run = runs.get("one-1")
    assert (run.state, run.message[: len(message)]) == (state, message)
    shown = Progress().of(run, runs)
    assert (shown["share"], shown["metrics"], shown["samples"], shown["exported"]) == (0.0, [], [], [])
    (root / "one").mkdir()
    if state == "failed":
        with pytest.raises(Refused, match="cannot go on; start a new training"):
            runs.resume("one-1")
    with pytest.raises(Refused, match="no such samples"):
        sample_file(run, 0)


def test_a_run_stays_when_the_model_that_it_started_from_is_removed(
    new_runs: Callable[[], Runs], tmp_path: Path
) -> None:
    folder = tmp_path / "runs" / "one-1"
    folder.mkdir(parents=True)
    plan = asdict(Plan(task="super-resolution", folder="one", pictures=12, start_from="super-resolution"))
    record = {**plan, "start_from": "super-resolution-robust", "started": "2026-11-28T12:00:00+00:00"}
    (folder / "page.json").write_text(json.dumps(record))
    assert [run.name for run in new_runs().all()] == ["one-1"]


def test_the_data_check(new_runs: Callable[[], Runs], root: Path, tmp_path: Path) -> None:
    (root / "shoes" / "broken.png").write_bytes(b"no picture")
    runs = new_runs()
    found = runs.check(Pictures(task="sketch-to-photo", folder="shoes"), tmp_path / "sheet.jpg")
    assert [finding["kind"] for finding in found["findings"]] == ["broken"]
    assert found["splits"][0]["folder"] == "shoes"
    assert str(root) not in json.dumps(found)
    assert (tmp_path / "sheet.jpg").stat().st_size > 1000
    with pytest.raises(DataError, match=r"^shoes does not have the folders day and night"):
        runs.check(Pictures(task="day-to-night", folder="shoes"), tmp_path / "sheet.jpg")


@pytest.mark.parametrize("name", ["..", "../runs", "none-1", "", "shoes-1/../shoes-1", "link-1"])
def test_names_of_runs(name: str, new_runs: Callable[[], Runs], tmp_path: Path) -> None:
    facts = {"task": "cut", "folder": "x", "minutes": 1, "started": "2026-01-01"}
    for folder in (tmp_path / "outside-1", tmp_path / "runs" / "bad-1"):
        folder.mkdir(parents=True)
        (folder / "page.json").write_text(json.dumps({**facts, "task": "cut" if "out" in folder.name else "none"}))
    (tmp_path / "runs" / "link-1").symlink_to(tmp_path / "outside-1")
    runs = new_runs()
    assert runs.all() == []
    with pytest.raises(Refused, match="no such training"):
        runs.get(name)


def test_without_the_packages(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setattr("translate.errors.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"^torch.* not installed; .*\[train\]"):
        Runs(DataRoot(root), tmp_path / "runs", tmp_path / "models")
