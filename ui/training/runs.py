"""Training runs of the page: a process each, which goes on without the page, and files that say how it is going.

A run is a folder with what `translate train` writes, and two files of ours: `page.json`, what was asked for, and
`output.txt`, what the process printed. A server that is started again finds the process by its lock, see
`ui.training.lock`. Nothing here needs gradio or torch, and nothing goes through a shell.
"""

import contextlib
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from translate.errors import ConfigError, DataError, require
from translate.files import atomic_path
from translate.lock import without_holder
from translate.pictures.operations import read_picture, write_picture
from translate.tasks import TASKS
from ui.refused import Refused
from ui.training.data_root import DataRoot
from ui.training.lock import SUPPORTED, Holder, TrainingLock
from ui.training.plan import Pictures, Plan

NICENESS = 5
"""A training gives way to the pictures that people wait for."""

_PLAN, _OUTPUT, _SNAPSHOT = "page.json", "output.txt", "snapshot.safetensors"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]*-[0-9]+")


@dataclass(frozen=True)
class Run:
    """A run on disk."""

    name: str
    folder: Path
    plan: Plan
    started: str
    """Date and time, ISO 8601, UTC."""
    stopping: bool
    state: Literal["running", "stopped", "finished", "failed"]
    """`stopped`: it can go on. `failed`: it has left nothing to go on with."""
    message: str
    """Why it ended, where it is not finished."""


class Runs:
    """The runs in a folder, and what can be done with them.

    Args:
        data_root: where pictures may be taken from.
        folder: where runs are kept, one folder each.
        models: where exported models go; created when needed.
        extra: more options for `translate train`, from whoever runs the server.

    Raises:
        ConfigError: this system cannot do it.
        MissingExtra: the packages for training or for export are not installed.
    """

    def __init__(self, data_root: DataRoot, folder: Path, models: Path, extra: Sequence[str] = ()) -> None:
        if not SUPPORTED:
            raise ConfigError("--allow-training needs Linux or macOS; use the command `translate train` here")
        require("train", "torch", "safetensors", "lightning_fabric")
        require("export", "onnx", "onnxscript")
        self.data_root, self.folder, self.models = data_root, folder.resolve(), models.resolve()
        self._extra = list(extra)
        self._lock, self._turn = TrainingLock(self.folder / "training.lock"), threading.RLock()
        self._children: list[subprocess.Popen[bytes]] = []

    # --- what there is

    def all(self) -> list[Run]:
        """All runs, the newest first."""
        holder = self._holder()
        return sorted(self._found(holder), key=lambda run: (run.started, run.name), reverse=True)

    def get(self, name: str) -> Run:
        """The run of this name.

        Raises:
            Refused: there is none.
        """
        run = self._run(name, self._holder())
        if run is None:
            raise Refused("train.no_run", name=name)
        return run

    def check(self, pictures: Pictures, sheet: Path) -> dict[str, Any]:
        """What `translate data check` says, and its contact sheet.

        Raises:
            Refused: the folder is not below the data root.
            DataError: there is nothing in it to learn from.
        """
        folder = self.data_root.resolve(pictures.folder)
        command = ["data", "check", str(folder), "--task", pictures.task, "--json", "--sheet", str(sheet)]
        done = _translate([*command, *pictures.options()])
        if done.returncode not in (0, 1):
            raise DataError(self._said(done.stderr))
        return json.loads(self._without_root(done.stdout))

    # --- what can be done

    def start(self, plan: Plan) -> Run:
        """Start a training in a new folder.

        Raises:
            Refused: another one is running, the pictures are not below the data root, or the run's folder cannot be
                made.
        """
        data = self.data_root.resolve(plan.folder)
        with self._turn:
            name = self._new_name(plan)
            folder = self.folder / name
            with self._lock.taken(name) as lock:
                options = ["--data", str(data), "--out", str(folder), *plan.options(), *self._extra]
                try:
                    folder.mkdir(parents=True)
                    _write(folder / _PLAN, {**dataclasses.asdict(plan), "started": datetime.now(UTC).isoformat()})
                    self._launch(name, ["train", plan.task, *options], lock)
                except OSError as error:
                    raise Refused("train.not_stored", reason=error.strerror) from None
        return self.get(name)

    def resume(self, name: str) -> Run:
        """Go on with a run that was stopped, or for as long again with one that is finished.

        Raises:
            Refused: another one is running, it cannot go on, or the budget would be more than can be chosen.
        """
        with self._turn:
            run = self.get(name)
            self.data_root.resolve(run.plan.folder)
            with self._lock.taken(name) as lock:
                if run.state not in ("stopped", "finished"):
                    raise Refused("train.cannot_go_on", name=name)
                plan = run.plan
                if run.state == "finished":
                    plan = plan.doubled()
                    _write(run.folder / _PLAN, {**dataclasses.asdict(plan), "started": run.started})
                # Always: a run that was ended before its first snapshot with twice the budget has that of before in it.
                self._launch(name, ["resume", str(run.folder), *plan.budget()], lock)
        return self.get(name)

    def stop(self, name: str) -> Run:
        """Ask a run to stop; it finishes its step and saves a snapshot first. Asking again changes nothing."""
        with self._turn:
            holder = self._holder()
            # A second signal would end it before it has saved.
            if holder and holder.run == name and holder.process and not holder.stopping:
                self._lock.note(dataclasses.replace(holder, stopping=True))
                with contextlib.suppress(ProcessLookupError):  # only its workers are left, for a moment
                    os.kill(holder.process, signal.SIGTERM)
        return self.get(name)

    def export(self, name: str) -> list[Path]:
        """Write the model of a run, and where the run has learnt the way back too, its model; return the files.

        The newest grid of samples is put beside it, and `parity_of` has the table of differences.

        Raises:
            Refused: it is running, or has learnt nothing yet.
            DataError: the exported file is not the same as the network.
        """
        run = self.get(name)
        if run.state not in ("stopped", "finished"):
            raise Refused("train.no_export", name=name)
        self.models.mkdir(parents=True, exist_ok=True)
        written = [self._export(run, "forward")]
        return written + ([self._export(run, "back")] if TASKS[run.plan.task].back else [])

    def exported(self, run: Run) -> list[Path]:
        """The model files of a run that have been written."""
        return [path for path in (self._model_file(run, way) for way in ("forward", "back")) if path.is_file()]

    # --- helpers

    def _found(self, holder: Holder | None) -> Iterator[Run]:
        if not self.folder.is_dir():
            return
        for entry in self.folder.iterdir():
            if run := self._run(entry.name, holder):
                yield run

    def _run(self, name: str, holder: Holder | None) -> Run | None:
        folder = self.folder / name
        if not _NAME.fullmatch(name) or folder.is_symlink():
            return None
        try:
            found = json.loads((folder / _PLAN).read_text(encoding="utf-8"))
            started = found.pop("started")
            # A run that has begun does not need the model that it started from, which may have been removed since.
            plan = Plan(**{**found, "start_from": ""})
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, Refused):
            return None  # not ours, or of another version
        if holder and holder.run == name:
            return Run(name, folder, plan, started, holder.stopping, "running", "")
        lines = _last_lines(folder / _OUTPUT)
        if lines and lines[-1].startswith("trained on "):
            return Run(name, folder, plan, started, False, "finished", "")
        failed = any(line.startswith(("translate: ", "Traceback ")) for line in lines)
        message = self._said(lines[-1]) if failed else ""
        state = "stopped" if (folder / _SNAPSHOT).is_file() else "failed"
        return Run(name, folder, plan, started, False, state, message)

    def _holder(self) -> Holder | None:
        with self._turn:
            for child in self._children[:]:
                if child.poll() is not None:
                    self._children.remove(child)
            return self._lock.holder() if self.folder.is_dir() else None

    def _new_name(self, plan: Plan) -> str:
        """`shoes-1`, after the folder of the pictures."""
        words = Path(plan.folder).parts or (self.data_root.path.name,)
        # A folder that is called train says nothing; the one above it does.
        telling = [word for word in words if word.lower() not in ("train", "photos", "images")] or [plan.task]
        stem = re.sub(r"[^a-z0-9]+", "-", telling[-1].lower()).strip("-")[:40] or plan.task
        number = 1
        while (self.folder / f"{stem}-{number}").exists():
            number += 1
        return f"{stem}-{number}"

    def _launch(self, name: str, arguments: Sequence[str], lock: int) -> None:
        output = self.folder / name / _OUTPUT
        with output.open("wb") as file:
            child = subprocess.Popen(
                [sys.executable, "-m", "translate.cli", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                pass_fds=[lock],
                start_new_session=True,  # it must not end with the server's terminal
            )
        self._lock.note(Holder(name, child.pid))
        self._children.append(child)
        os.setpriority(os.PRIO_PROCESS, child.pid, NICENESS)

    def _model_file(self, run: Run, way: str) -> Path:
        return self.models / (f"{run.name}.onnx" if way == "forward" else f"{run.name}-back.onnx")

    def _export(self, run: Run, way: str) -> Path:
        path = self._model_file(run, way)
        about = f"pictures of the folder {run.plan.folder}"
        options = ["--direction", way, "--name", path.stem, "--training-data", about]
        done = _translate(["export", str(run.folder), "-o", str(path), *options])
        if done.returncode:
            raise DataError(self._said(done.stderr))
        _copy(run.folder / "parity.json", run.folder / f"{path.stem}.parity.json")
        grids = sorted((run.folder / "samples").glob("*.png"))
        if grids and way == "forward":
            write_picture(path.with_suffix(".jpg"), read_picture(grids[-1]))
        return path

    def _said(self, text: str) -> str:
        """The last line of what a command printed, without its name and without the folders of this computer."""
        lines = text.strip().splitlines() or ["it ended without a word"]
        return self._without_root(lines[-1].removeprefix("translate: "))

    def _without_root(self, line: str) -> str:
        """Text that does not reveal where on this computer the folders are, or what else runs here."""
        line = without_holder(line)
        for folder in (self.data_root.path, self.folder, self.models):
            line = line.replace(f"{folder}/", "").replace(str(folder), folder.name)
        return line


def parity_of(run: Run, model: Path) -> list[dict[str, Any]]:
    """How far an exported file is from the network, a row per size, see `export.verify.Parity`; empty if unknown."""
    try:
        rows = json.loads((run.folder / f"{model.stem}.parity.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return rows if isinstance(rows, list) else []


def _translate(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "translate.cli", *arguments]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")


def _last_lines(path: Path) -> list[str]:
    """The lines at the end of a text that are not blank."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 4096))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [line.strip() for line in text.splitlines() if line.strip()]


def _copy(source: Path, target: Path) -> None:
    with atomic_path(target) as temporary:
        temporary.write_bytes(source.read_bytes())


def _write(path: Path, value: Any) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
