"""The command `translate models`: list, add and remove models with names."""

import contextlib
import dataclasses
import importlib
import io
import shutil
import sys
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated

import tyro

from translate.adding.addresses import CHECKPOINTS, Source, is_address, locate
from translate.adding.download import OnProgress, check_address, download, read_address
from translate.adding.folder import check_runs, keep, new_name, remove, workroom
from translate.errors import ConfigError, ModelError, TranslateError, one_line, require
from translate.files import sha256_of
from translate.inference.model_file import kind_of
from translate.inference.models import checked_folder, known, user_folder
from translate.options import command_line, parse_options
from translate.signals import ending_like_ctrl_c
from translate.spec import PARITY_SUFFIX, ModelSpec

EXIT_DECLINED = 1

_ModelsDir = Annotated[
    Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="(default: $TRANSLATE_MODELS, or per user)")
]


@dataclass(frozen=True, kw_only=True)
class ListOptions:
    """List all models, shipped and added: name, task, licence, summary.

    To add one, use `translate models add URL|FILE`; to remove it again, `translate models remove NAME`. Each has its
    own --help.
    """

    models_dir: _ModelsDir = None
    """Folder of the added models."""


@dataclass(frozen=True, kw_only=True)
class AddOptions:
    """Add a model from a file or an address, so that its name can be used wherever a model is asked for.

    The file is checked, and what it is and its licence are shown, before you are asked whether to add it. A checkpoint
    of another program is turned into a model first, as by `translate import`.
    """

    source: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="URL|FILE")]
    """A file; an https address; hf:OWNER/REPO/FILE or the page of a file on Hugging Face or GitHub; or the page of a
    model on OpenModelDB."""
    name: Annotated[str, tyro.conf.arg(help_behavior_hint="(default: what the file says)")] = ""
    """Name to use."""
    sha256: Annotated[str, tyro.conf.arg(metavar="HEX", help_behavior_hint="(default: any)")] = ""
    """SHA-256 that the file must have."""
    yes: tyro.conf.FlagCreatePairsOff[bool] = False
    """Add it without asking."""
    models_dir: _ModelsDir = None
    """Folder of the added models, created if missing."""

    def __post_init__(self) -> None:
        """Validate the options before any work starts.

        Raises:
            ConfigError: the digest is none.
        """
        if self.sha256 and (len(self.sha256) != 64 or set(self.sha256.lower()) - set("0123456789abcdef")):
            raise ConfigError(f"--sha256 {self.sha256} is no SHA-256; give 64 hexadecimal digits")


@dataclass(frozen=True, kw_only=True)
class RemoveOptions:
    """Remove an added model."""

    name: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="NAME")]
    """Its name; `translate models` lists them."""
    models_dir: _ModelsDir = None
    """Folder of the added models."""


def main(argv: list[str]) -> int:
    """List, add or remove; returns 0, or 1 if the user did not want to add the model after all."""
    verb, rest = (argv[0], argv[1:]) if argv and argv[0] in ("list", "add", "remove") else ("list", argv)
    if verb == "add":
        adding = parse_options(AddOptions, rest, "translate models add")
        with ending_like_ctrl_c() as asked:  # so that what was downloaded is removed
            try:
                return _add(adding)
            except KeyboardInterrupt:
                if not asked:
                    raise
                return 128 + asked[0]
    if verb == "remove":
        options = parse_options(RemoveOptions, rest, "translate models remove")
        folder = checked_folder(options.models_dir) if options.models_dir else user_folder()
        sys.stdout.write(f"removed {options.name} ({one_line(str(remove(options.name, folder)))})\n")
        return 0
    return _list(parse_options(ListOptions, rest, "translate models"))


def _list(options: ListOptions) -> int:
    folder = checked_folder(options.models_dir) if options.models_dir else None
    rows = [("NAME", "TASK", "LICENCE", "SUMMARY")]
    # A file may say anything about itself.
    rows += [
        (model.name, one_line(model.task), one_line(model.licence), one_line(model.summary)) for model in known(folder)
    ]
    if len(rows) == 1:
        sys.stdout.write("No models are shipped with this version; train one with `translate train`.\n")
        return 0
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for name, task, licence, summary in rows:
        sys.stdout.write(f"{name:<{widths[0]}}  {task:<{widths[1]}}  {licence:<{widths[2]}}  {summary}\n")
    return 0


def _add(options: AddOptions) -> int:
    """Fetch, check, show, ask, and keep."""
    if not options.yes and not sys.stdin.isatty():
        raise ConfigError("nobody can be asked whether to add the model; give --yes if it is to be added in any case")
    folder = options.models_dir.absolute() if options.models_dir else user_folder()
    if options.name:
        new_name(options.name, "", folder)  # before anything is downloaded
    given = _source(options)
    with workroom(folder) as room:
        path, said = _fetched(options.source, given, room), options.source
        if kind_of(path) in ("pickle", "safetensors"):
            name = new_name(options.name, given.name or PurePosixPath(given.file_name).stem, folder)
            _show(path, said, None, given.licence, folder / f"{name}.onnx")
            if not _agreed(options, "This is a checkpoint. Turn it into a model, and add that?"):
                return EXIT_DECLINED
            path = _imported(path, said, name, given.licence)
            spec = check_runs(path, said)
        else:
            spec = check_runs(path, said)
            name = new_name(options.name, spec.name, folder)
            _show(path, said, spec, spec.licence, folder / f"{name}.onnx")
            if not _agreed(options, "Add this model?"):
                return EXIT_DECLINED
        origin = options.source if is_address(options.source) else str(Path(options.source).absolute())
        model = keep(path, folder, name, spec, origin)
    again = ["--models-dir", str(options.models_dir)] if options.models_dir else []
    words = ["translate", "convert", "IN", "OUT", "--model", model.name, *again]
    sys.stdout.write(f"added {model.name}; next: {command_line(words)}\n")
    return 0


def _source(options: AddOptions) -> Source:
    """What is to be fetched, and what is known about it; nothing but catalogues is read yet.

    Raises:
        ModelError: there is no such file, or the address is refused.
        MissingExtra: it is a checkpoint, and what is needed to import it is not installed.
    """
    if is_address(options.source):
        source = locate(options.source, read_address)
        check_address(source.url)
        if options.sha256 and source.sha256 not in ("", options.sha256.lower()):
            raise ModelError(f"{options.source}: its SHA-256 is {source.sha256}, not that of --sha256; omit that")
    elif Path(options.source).is_file():
        source = Source(url=Path(options.source).absolute().as_uri())
    else:
        raise ModelError(
            f"{options.source}: no such file; give a file or an address such as https://example.org/a.onnx"
        )
    if source.file_name.lower().endswith(CHECKPOINTS):
        require("export", "torch", "onnx", "onnxscript", "safetensors")
    return dataclasses.replace(source, sha256=options.sha256.lower() or source.sha256)


def _fetched(given: str, source: Source, room: Path) -> Path:
    """A copy of the file in `room`, so that what is checked is what is kept.

    Raises:
        ModelError: it cannot be downloaded, or its digest is not the expected one.
        ConfigError: the disk is full.
    """
    suffix = PurePosixPath(source.file_name).suffix.lower()
    path = room / f"file{suffix if suffix in CHECKPOINTS else '.onnx'}"
    try:
        if is_address(given):
            with _progress() as on_progress:
                download(source.url, path, sha256=source.sha256, on_progress=on_progress)
            return path
        shutil.copyfile(given, path)
        report = Path(given).with_suffix(PARITY_SUFFIX)
        if report.is_file():
            shutil.copyfile(report, path.with_suffix(PARITY_SUFFIX))
    except OSError as error:
        raise ConfigError(
            f"{given} cannot be stored in {room.parent} ({error.strerror}); free space there, or choose --models-dir"
        ) from None
    if source.sha256 and (found := sha256_of(path)) != source.sha256:
        raise ModelError(f"{given}: its SHA-256 is {found}, expected {source.sha256}; it is another file")
    return path


def _imported(path: Path, said: str, name: str, licence: str) -> Path:
    """The model that `translate import` makes of a checkpoint, beside it.

    Raises:
        ModelError: it cannot; one line.
    """
    made = path.with_name("imported.onnx")
    importer = importlib.import_module("export.import_command")
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # names of files that will be gone
            importer.main([str(path), "-o", str(made), "--name", name, *(["--licence", licence] if licence else [])])
    except TranslateError as error:
        raise ModelError(str(error).replace(str(path), said).replace(str(made), said)) from None
    return made


def _show(path: Path, said: str, spec: ModelSpec | None, licence: str, target: Path) -> None:
    """Print what is to be added. `spec`: what the model says, or None for a checkpoint, which says nothing."""
    facts = [
        ("file", said),
        ("size", f"{path.stat().st_size / 2**20:.1f} MiB"),
        ("SHA-256", sha256_of(path)),
        ("task", spec.task if spec else ""),
        ("licence", licence or "unknown"),
        ("training data", spec.training_data if spec else ""),
        ("to be kept as", str(target)),
    ]
    sys.stdout.writelines(f"{label:<16} {one_line(value)}\n" for label, value in facts if value)
    sys.stdout.flush()


def _agreed(options: AddOptions, question: str) -> bool:
    if options.yes:
        return True
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() in ("y", "yes"):
        return True
    sys.stderr.write("nothing was added\n")
    return False


@contextlib.contextmanager
def _progress() -> Generator[OnProgress]:
    """A progress bar on a terminal; yields what to call with the number of bytes."""
    # Imported here because rich takes a tenth of a second.
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
    )  # fmt: skip
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        row = bar.add_task("Downloading", total=None)
        yield lambda done, total: bar.update(row, completed=done, total=total)
