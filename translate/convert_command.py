"""The verb `translate convert`."""

import functools
import json
import sys
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import PurePath
from typing import Annotated, Any, Literal

import tyro

from translate.cli import EXIT_INTERRUPTED
from translate.conversion import Conversion, Worker
from translate.convert import Backend, ConvertReport, Tally, run_plan
from translate.engine import Device, Engine, cores
from translate.errors import ConfigError, ImageError
from translate.images import READABLE
from translate.ledger import Existing, Ledger, Order, Outcome
from translate.location import Location, Remote, location
from translate.models import resolve, shipped
from translate.moving import FrameDone
from translate.naming import check_template
from translate.placement import Placement
from translate.plan import OutputFormat, Plan, make_plan
from translate.ray_backend import RayBackend
from translate.usage import parse_options, text_option

FRAME_LINE_SECONDS = 1.0
"""Between two lines of JSON about a film."""


@tyro.conf.configure(tyro.conf.FlagCreatePairsOff)
@dataclass(frozen=True, kw_only=True)
class ConvertOptions:
    """Convert a picture or film, or all of a folder and its subfolders, with a model.

    Animated GIF and WebP keep all frames. Films (MP4, MOV, MKV, WebM, AVI; they need the extra `video`) keep their
    sound and subtitles. Stopped by whatever, the same command makes what is missing. Exit status: 0 all went well, 1
    some pictures failed, 2 nothing was begun, 130 stopped by Ctrl-C.
    """

    source: Annotated[tyro.conf.Positional[Location], text_option("IN", location, str)]
    """A picture or film, a folder of them, or a zip archive; here or in the cloud, e.g. s3://bucket/folder."""
    destination: Annotated[tyro.conf.Positional[Location], text_option("OUT", location, str)]
    """Folder for the results, made if missing, here or in the cloud, or a .zip file. For one picture or film also a
    file."""
    model: Annotated[str, tyro.conf.arg(metavar="NAME|FILE.onnx", help_behavior_hint="(required)")] = ""
    """Name of a shipped model (see `translate models`) or a file written by `translate export`."""
    format: OutputFormat = "same"
    """File format of the results. same makes PNG of what cannot be written, a GIF that does not move for example, and
    MP4 of AVI and M4V. The last four are for films, the others for pictures: each leaves the others as with same. Of
    animations webp keeps all frames, the other formats the first."""
    quality: int = 92
    """Quality of JPEG, WebP, AVIF and film results, 1 to 100. For H.264 it means CRF 51 - 0.36 * quality, so 92 is 18;
    for VP9 63 - 0.44 * quality."""
    name: Annotated[str, tyro.conf.arg(metavar="TEMPLATE")] = "{stem}"
    """Names of the results without suffix, e.g. '{stem}-{model}'; there are {stem}, {model}, {scale}, {label}, {style}
    and {detail}."""
    overwrite: bool = False
    """Make all results again. Without this option, --skip and --rename, results that this model has made of these
    pictures with these options are left, and other files of their names replaced."""
    skip: bool = False
    """Leave every file that is there."""
    rename: bool = False
    """Leave every file that is there, and give results whose names are taken a number."""
    include: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="PATTERN")] = ()
    """Only pictures whose names below IN fit this, e.g. '*.png' or '2024/*'; a star fits any part. May be repeated."""
    exclude: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="PATTERN")] = ()
    """Not pictures whose names fit this. May be repeated."""
    limit: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None
    """Convert so many pictures at most; those that are done do not count."""
    dry_run: bool = False
    """Only say what would be done."""
    watch: bool = False
    """When all is done, wait for more pictures, until Ctrl-C."""
    json: bool = False
    """Print one line of JSON a picture, one a second about the frames of a film, and one at the end, for programs."""
    strip: bool = False
    """Leave out what is known about a picture (camera, time, place, words); without it all is kept."""
    strip_location: bool = False
    """Leave out where a picture was taken, and keep the rest."""
    keep_profile: bool = False
    """Give results in the colour profile of the picture; without it they are sRGB."""
    device: Device = "auto"
    """Where to compute; auto takes an NVIDIA GPU if there is one."""
    label: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Which kind to make, for a model that was trained with --labels. Default: the one that the name of the picture's
    file begins with, or else the model's first."""
    style: Annotated[int | None, tyro.conf.arg(metavar="NUMBER")] = None
    """Which of many results, for a model that was trained with --style-size: 0 is the model's own, every
    other number another one."""
    detail: Annotated[float | None, tyro.conf.arg(metavar="NUMBER")] = None
    """For super-resolution models that have it: 0, the default, is as faithful as can be, 1 is as sharp as can be."""
    framing: Placement = "auto"
    """For models that know things at one size, as sketch-to-photo does: auto brings a drawing that is small on its
    sheet to that size and the result back to its place; off takes every sheet as it is."""
    tile: Annotated[int | None, tyro.conf.arg(metavar="PIXELS")] = None
    """Longest side of the parts that large pictures are converted in; 0 is never in parts. Default: what fits in
    memory."""
    workers: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None
    """Pictures in work at the same time, and frames of a film. Default: two pictures, or one frame, per processor core;
    with Ray one picture per core, or per GPU."""
    engine: Literal["threads", "ray"] = "threads"
    """What does the work: threads of this machine, or Ray (extra: ray), which can use many machines. These must all
    reach IN and OUT by the same names, so that they are in the cloud or on a disk that all machines share."""
    address: Annotated[str | None, tyro.conf.arg(metavar="ADDRESS")] = None
    """With --engine ray: the Ray cluster that this machine is part of, auto or HOST:PORT. Default: Ray is started, on
    this machine alone."""

    def __post_init__(self) -> None:
        """Check the ranges, so that nothing starts that cannot end well.

        Raises:
            ConfigError: an option is missing, out of range or contradicts another.
        """
        if not self.model:
            names = ", ".join(model.name for model in shipped()) or "none is shipped yet, so give a .onnx file"
            raise ConfigError(f"--model is missing; give a .onnx file or the name of a model: {names}")
        if not 1 <= self.quality <= 100:
            raise ConfigError(f"--quality {self.quality} is out of range; give 1 to 100 (92 is a good value)")
        if self.style is not None and self.style < 0:
            raise ConfigError(
                f"--style {self.style} is out of range; give 0 (the model's own), or 1 or more for another one"
            )
        if self.detail is not None and not 0.0 <= self.detail <= 1.0:
            raise ConfigError(
                f"--detail {self.detail:g} is out of range; give 0 (as faithful as can be) to 1 (as sharp as can be)"
            )
        for name in ("workers", "limit"):
            number = getattr(self, name)
            if number is not None and number < 1:
                raise ConfigError(f"--{name} {number} is out of range; give 1 or more, or leave it out")
        if self.tile is not None and self.tile < 0:
            raise ConfigError(f"--tile {self.tile} is out of range; give a number of pixels, or 0 for never")
        if self.overwrite + self.skip + self.rename > 1:
            raise ConfigError("--overwrite, --skip and --rename contradict one another; give one of them")
        # Asking a store takes a while and may fail; it is done when all else is known to be right.
        remote = isinstance(self.source, Remote)
        folder = not self.source.name.lower().endswith((".zip", *READABLE)) if remote else self.source.is_dir()
        if self.watch and (self.dry_run or self.limit or not folder or self.destination.suffix == ".zip"):
            raise ConfigError("--watch wants a folder and neither --dry-run nor --limit nor a .zip; change one of them")
        if self.engine == "ray" and self.watch:
            raise ConfigError("--watch does not go with --engine ray; leave one of them out")
        if self.address is not None and self.engine != "ray":
            raise ConfigError(f"--address {self.address} is for --engine ray; add that or leave it out")
        check_template(self.name)

    @property
    def existing(self) -> Existing:
        """What to do about results that are there."""
        return "overwrite" if self.overwrite else "skip" if self.skip else "rename" if self.rename else "continue"

    @property
    def how(self) -> Conversion:
        """What changes results."""
        return Conversion(
            label=self.label,
            style=self.style,
            detail=self.detail,
            framing=self.framing,
            output_format=self.format,
            quality=self.quality,
            metadata="strip" if self.strip else "no-location" if self.strip_location else "keep",
            keep_profile=self.keep_profile,
            name=self.name,
        )


def main(argv: list[str]) -> int:
    """Convert, print one line of summary, and return the exit status.

    Raises:
        ImageError: there was one picture, and it failed.
        ConfigError: the model does not have such a label, no styles or no detail; nothing is written then.
    """
    options = parse_options(ConvertOptions, argv, "translate convert")
    model = resolve(options.model)
    plan = make_plan(
        options.source,
        options.destination,
        options.format,
        include=options.include,
        exclude=options.exclude,
        may_be_empty=options.watch,
    )
    # One thread per picture when there are pictures, or frames, for all cores; one picture alone gets all cores.
    at_once = min(options.workers or cores(), cores() if options.watch or plan.moving else plan.count)
    backend = RayBackend(options.address, options.device) if options.engine == "ray" else None
    device = options.device if backend is None else "cpu"  # this process only looks at the model then
    engine = Engine(model, threads=max(1, cores() // at_once), device=device, tile=options.tile)
    options.how.check(engine)  # before a progress bar appears
    if options.dry_run:
        return _dry_run(plan, engine, options)
    tally = Tally(_print_json if options.json else None)
    began = time.perf_counter()
    stopped = False
    try:
        _run(plan, engine, options, tally, backend)
    except KeyboardInterrupt:
        stopped = True
    report = tally.report(time.perf_counter() - began)
    if plan.single and report.failed:
        raise ImageError(report.failed[0].reason)  # the one thing asked for did not happen: status 2, not 1
    _summarise(report, options, stopped)
    return EXIT_INTERRUPTED if stopped and not options.watch else 1 if report.failed else 0


def _run(plan: Plan, engine: Engine, options: ConvertOptions, tally: Tally, backend: Backend | None) -> None:
    run = functools.partial(
        run_plan,
        plan,
        engine,
        options.how,
        existing=options.existing,
        limit=options.limit,
        workers=options.workers,
        backend=backend,
    )
    if options.watch:
        sys.stderr.write(f"converting what comes to {options.source}; Ctrl-C ends\n")
        run(on_progress=tally.add, watch=True)
    elif not sys.stderr.isatty() or options.json:
        run(on_progress=tally.add, on_frame=_FramesAsJson() if options.json else None)
    else:
        # Only here: rich takes a tenth of a second to import.
        from rich.console import Console
        from rich.markup import escape
        from rich.progress import MofNCompleteColumn, Progress

        with Progress(*Progress.get_default_columns(), MofNCompleteColumn(), console=Console(stderr=True)) as bar:
            task = bar.add_task("Converting", total=plan.count)
            film = bar.add_task("", visible=False)

            def advance(outcome: Outcome) -> None:
                tally.add(outcome)
                bar.advance(task)
                bar.update(film, visible=False)

            def show(done: FrameDone) -> None:
                name = escape(PurePath(done.source).name)
                bar.update(film, description=name, completed=done.frame, total=done.frames, visible=True)

            run(on_progress=advance, on_frame=show)


def _dry_run(plan: Plan, engine: Engine, options: ConvertOptions) -> int:
    """Say what would be done, one line a picture."""
    results = plan.results
    counts = {"convert": 0, "leave": 0, "refuse": 0}
    with nullcontext() if plan.single else results.known() as record:
        ledger = Ledger(plan.source, results, options.existing, options.how.digest(engine), record)
        worker = Worker(plan.source, results, engine, options.how)
        for job in plan.jobs(options.name, worker.facts):
            if counts["convert"] == options.limit:
                break
            order = ledger.settle(job)
            found = {"source": plan.source.title(job.item.name)}
            if isinstance(order, Order):
                found |= {"target": str(results.place(order.target)), "would": "convert"}
            elif order.status == "skipped":
                found |= {"target": str(order.target), "would": "leave"}
            else:
                found |= {"reason": str(order.reason), "would": "refuse"}
            counts[found["would"]] += 1
            if options.json:
                text = json.dumps(found)
            elif "reason" in found:
                text = f"refuse {found['reason']}"
            else:
                text = f"{found['would']} {found['source']} -> {found['target']}"
            sys.stdout.write(f"{text}\n")
    said = f"{counts['convert']} to convert, {counts['leave']} done"
    if counts["refuse"]:
        said += f", {counts['refuse']} to refuse"
    sys.stdout.write(f"{json.dumps(counts) if options.json else said}\n")
    return 0


def _print_json(outcome: Outcome) -> None:
    found: dict[str, Any] = {"source": outcome.source, "status": outcome.status}
    if outcome.target is not None:
        found["target"] = str(outcome.target)
    if outcome.reason is not None:
        found["reason"] = outcome.reason
    if outcome.notes:
        found["notes"] = list(outcome.notes)
    sys.stdout.write(f"{json.dumps(found)}\n")
    sys.stdout.flush()


class _FramesAsJson:
    """Prints how far films have come, a line a second at most, none of what takes less than that."""

    def __init__(self) -> None:
        self._source, self._last = "", 0.0

    def __call__(self, done: FrameDone) -> None:
        now = time.monotonic()
        if done.source != self._source:
            self._source, self._last = done.source, now
        elif now - self._last >= FRAME_LINE_SECONDS:
            self._last = now
            sys.stdout.write(f"{json.dumps(asdict(done))}\n")
            sys.stdout.flush()


def _summarise(report: ConvertReport, options: ConvertOptions, stopped: bool) -> None:
    if options.json:
        counts = {"converted": report.converted, "skipped": report.skipped, "failed": len(report.failed)}
        sys.stdout.write(f"{json.dumps({**counts, 'seconds': round(report.seconds, 3), 'stopped': stopped})}\n")
        return
    for note in (note for outcome in report.noted for note in outcome.notes):
        sys.stderr.write(f"note: {note}\n")
    for failure in report.failed:
        sys.stderr.write(f"{failure.reason}\n")
    parts = [
        f"{report.converted} picture{'' if report.converted == 1 else 's'} converted to {options.destination} "
        f"in {report.seconds:.1f} s ({report.images_per_second:.1f} images/s)"
    ]
    if report.skipped and not options.watch:
        parts.append(f"{report.skipped} were there already")
    if report.failed:
        parts.append(f"{len(report.failed)} failed")
    if stopped and not options.watch:
        parts.append("stopped; the same command goes on")
    sys.stdout.write(f"{', '.join(parts)}\n")
