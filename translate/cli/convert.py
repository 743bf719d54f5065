"""The command `translate convert`."""

import functools
import json
import sys
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal

import tyro

from translate.cli.main import EXIT_INTERRUPTED
from translate.conversion.folder import Backend, Summary, Tally, run_plan
from translate.conversion.location import Location, Remote, location
from translate.conversion.moving import FrameProgress
from translate.conversion.naming import check_template
from translate.conversion.plan import Job, OutputFormat, Plan, make_plan
from translate.conversion.ray_backend import RayBackend
from translate.conversion.resume import Existing, Result, ResumeState
from translate.conversion.worker import Conversion, Worker
from translate.credentials.identity import OFF
from translate.errors import ConfigError, ImageError, one_line
from translate.inference.controls import style_as_text, style_from_text
from translate.inference.engine import Device, Engine
from translate.inference.models import checked_folder, known, resolve
from translate.inference.placement import Placement
from translate.machine import MOST_THREADS, cores
from translate.options import parse_options, text_option
from translate.pictures.operations import READABLE
from translate.pictures.pages import check_pages
from translate.signals import ending_like_ctrl_c

FRAME_LINE_SECONDS = 1.0
"""Minimum time between two lines of JSON about a video."""


@tyro.conf.configure(tyro.conf.FlagCreatePairsOff)
@dataclass(frozen=True, kw_only=True)
class ConvertOptions:
    """Convert a picture or video, or a folder with all its subfolders, with a model.

    Animated GIF and WebP files keep all frames. Videos (MP4, MOV, MKV, WebM, AVI; requires the extra `video`) keep
    their audio and subtitles. If interrupted, run the same command again: finished files are skipped. Exit status: 0
    success, 1 some pictures failed, 2 nothing was started, a single file as IN failed, or an error concerned every
    picture, 130 stopped by Ctrl-C.
    """

    source: Annotated[tyro.conf.Positional[Location], text_option("IN", location, str)]
    """A picture or video, a folder, or a zip archive; local or in cloud storage, e.g. s3://bucket/folder."""
    destination: Annotated[tyro.conf.Positional[Location], text_option("OUT", location, str)]
    """Output folder, created if missing, local or in cloud storage; or a .zip file. For a single picture or video also
    a file name."""
    model: Annotated[str, tyro.conf.arg(metavar="NAME|FILE.onnx", help_behavior_hint="(required)")] = ""
    """Name of a model (see `translate models`), or a file written by `translate export`."""
    models_dir: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="(default: per user)")] = None
    """Folder of .onnx files that can be used by name, like those that `translate models add` puts there."""
    format: OutputFormat = "same"
    """Output file format. same keeps the format of each file where possible, otherwise it writes PNG (e.g. for a still
    GIF) or MP4 (for AVI and M4V). mp4, mov, mkv and webm apply to videos only, the others to pictures only. For
    animations, webp keeps all frames, the other formats only the first."""
    quality: int = 92
    """Quality of JPEG, WebP, AVIF and video output, 1 to 100. For H.264, CRF is 51 - 0.36 * quality, so 92 means CRF
    18; for VP9 it is 63 - 0.44 * quality."""
    pages: Annotated[str, tyro.conf.arg(metavar="all|first|N|N-M")] = "all"
    """Pages of TIFF and MPO files: all, first, a number or a range. A TIFF result holds all of them, any other only the
    first. Thumbnails and the reduced copies of a pyramid do not count. No effect on files with one page."""
    name: Annotated[str, tyro.conf.arg(metavar="TEMPLATE")] = "{stem}"
    """Template for output file names, without suffix, e.g. '{stem}-{model}'. Fields: {stem}, {model}, {scale}, {label},
    {style}, {detail}. Not together with an OUT that is a file name."""
    overwrite: bool = False
    """Convert every file again. By default, up-to-date results (same picture, model and options) are kept, and other
    existing files are replaced."""
    skip: bool = False
    """Keep all existing files."""
    rename: bool = False
    """Keep all existing files, and add a number to the name of a new result if the name is taken."""
    include: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="PATTERN")] = ()
    """Convert only files whose path relative to IN matches, e.g. '*.png' or '2024/*'; a star also matches slashes, and
    case does not matter. May be repeated. IN must be a folder or an archive."""
    exclude: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="PATTERN")] = ()
    """Skip files whose path relative to IN matches. May be repeated."""
    limit: Annotated[int | None, tyro.conf.arg(metavar="INT", help_behavior_hint="(default: all)")] = None
    """Convert at most this many pictures; skipped ones do not count."""
    dry_run: bool = False
    """Only show what would be done."""
    watch: bool = False
    """When done, keep watching for new files until Ctrl-C."""
    json: bool = False
    """Machine-readable output: one line of JSON per picture, one per second with the progress of a video, and a summary
    at the end."""
    strip: bool = False
    """Strip EXIF, XMP, IPTC, text chunks, comments and resolution (DPI). By default, all that the output format can
    hold is kept, and the summary names the rest; docs/convert.md has a table."""
    strip_location: bool = False
    """Strip only the location from the metadata: GPS, and names of places in IPTC and XMP."""
    keep_profile: bool = False
    """Save results in the colour profile of the input, or in the colours that it describes otherwise. By default, and
    for HDR, they are sRGB."""
    credentials: Annotated[str, tyro.conf.arg(metavar="off|on|PATH")] = OFF
    """Put signed content credentials (C2PA; extra: credentials) into results: made from which file, by which model.
    on signs with a certificate of this machine, made at first use; PATH is a PEM file, or a folder of these, with your
    own certificates and private key. `translate verify` reads them."""
    watermark: bool = False
    """Put an invisible watermark into still pictures, which `translate verify` finds even where the credentials are
    lost. Needs a package that is installed by itself: docs/trust.md."""
    device: Device = "auto"
    """Where to run the model; auto uses a GPU if a working one is found, otherwise the CPU. A device that is named and
    does not start is an error."""
    label: Annotated[
        str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="(default: by the file name, otherwise the first)")
    ] = None
    """Class label to generate, for a model trained with --labels. Without it, the label that the file name begins with
    is used, otherwise the model's first."""
    style: Annotated[
        int | tuple[float, ...] | None,
        text_option("NUMBER|NUMBERS", style_from_text, lambda style: "None" if style is None else style_as_text(style)),
        tyro.conf.arg(help_behavior_hint="(default: the model's own)"),
    ] = None
    """Style to generate, for a model trained with --style-size: 0 is the model's default, every other number a
    different random style. Or the style vector itself, as the page shows it: --style=0.5,-1,0,0.2,0"""
    detail: Annotated[float | None, tyro.conf.arg(metavar="NUMBER", help_behavior_hint="(default: 0)")] = None
    """Sharpness, for super-resolution models that support it: from 0 (most faithful) to 1 (sharpest)."""
    strength: float = 1.0
    """Share of the result in a mixture with the picture: 1 is the result, 0 the picture as it was. Not
    for models that enlarge."""
    framing: Placement = "auto"
    """For models trained on objects of one size, such as sketch-to-photo: auto crops a drawing that is small on its
    sheet, scales it to that size and pastes the result back; off uses the whole sheet as it is."""
    tile: Annotated[
        int | None, tyro.conf.arg(metavar="PIXELS", help_behavior_hint="(default: what fits in memory)")
    ] = None
    """Maximum side of the tiles that large pictures are split into; 0 disables tiling."""
    workers: Annotated[
        int | None,
        tyro.conf.arg(metavar="INT", help_behavior_hint="(default: two pictures, or one frame, per CPU core)"),
    ] = None
    """Number of pictures, or frames of a video, to convert in parallel. With Ray, the default is one picture
    per core or per GPU."""
    engine: Literal["threads", "ray"] = "threads"
    """Run in threads on this machine, or on Ray (extra: ray), which can use several machines. All machines must reach
    IN and OUT under the same names, so put them in cloud storage or on a shared disk."""
    address: Annotated[
        str | None, tyro.conf.arg(metavar="ADDRESS", help_behavior_hint="(default: Ray on this machine only)")
    ] = None
    """With --engine ray: the Ray cluster that this machine belongs to, auto or HOST:PORT."""

    def __post_init__(self) -> None:
        """Validate the options before any work starts.

        Raises:
            ConfigError: an option is missing, out of range or contradicts another.
        """
        if self.models_dir:
            checked_folder(self.models_dir)
        if not self.model:
            names = (
                ", ".join(model.name for model in known(self.models_dir)) or "none is shipped yet, so give a .onnx file"
            )
            raise ConfigError(f"--model is missing; give a .onnx file or the name of a model: {names}")
        if not 1 <= self.quality <= 100:
            raise ConfigError(f"--quality {self.quality} is out of range; give 1 to 100 (92 is a good value)")
        if isinstance(self.style, int) and self.style < 0:
            raise ConfigError(
                f"--style {self.style} is out of range; give 0 (the model's default), or 1 or more for a random style"
            )
        if self.detail is not None and not 0.0 <= self.detail <= 1.0:
            raise ConfigError(f"--detail {self.detail:g} is out of range; give 0 (most faithful) to 1 (sharpest)")
        if not 0.0 <= self.strength <= 1.0:
            raise ConfigError(f"--strength {self.strength:g} is out of range; give 0 (the picture) to 1 (the result)")
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"--limit {self.limit} is out of range; give 1 or more, or omit it")
        if self.workers is not None and (
            self.workers < 1 or (self.workers > MOST_THREADS and self.engine == "threads")
        ):
            most = f"1 to {MOST_THREADS}" if self.engine == "threads" else "1 or more"
            raise ConfigError(f"--workers {self.workers} is out of range; give {most}, or omit it")
        if self.tile is not None and self.tile < 0:
            raise ConfigError(f"--tile {self.tile} is out of range; give a number of pixels, or 0 to disable tiling")
        if self.overwrite + self.skip + self.rename > 1:
            raise ConfigError("--overwrite, --skip and --rename contradict each other; give only one of them")
        # Requests to cloud storage are slow and may fail, so they are made only after all other checks.
        remote = isinstance(self.source, Remote)
        folder = not self.source.name.lower().endswith((".zip", *READABLE)) if remote else self.source.is_dir()
        if self.watch and (self.dry_run or self.limit or not folder or self.destination.suffix.lower() == ".zip"):
            raise ConfigError(
                "--watch needs a folder as input and does not work with --dry-run, --limit or .zip output"
            )
        if self.engine == "ray" and self.watch:
            raise ConfigError("--watch does not work with --engine ray; omit one of them")
        if self.address is not None and self.engine != "ray":
            raise ConfigError(f"--address {self.address} needs --engine ray; add it or omit --address")
        check_template(self.name)
        check_pages(self.pages)

    @property
    def existing(self) -> Existing:
        """What to do about existing results."""
        return "overwrite" if self.overwrite else "skip" if self.skip else "rename" if self.rename else "continue"

    @property
    def how(self) -> Conversion:
        """The options that affect results."""
        return Conversion(
            label=self.label,
            style=self.style,
            detail=self.detail,
            strength=self.strength,
            framing=self.framing,
            output_format=self.format,
            quality=self.quality,
            metadata="strip" if self.strip else "no-location" if self.strip_location else "keep",
            keep_profile=self.keep_profile,
            pages=self.pages,
            credentials=self.credentials,
            watermark=self.watermark,
            name=self.name,
        )


def main(argv: list[str]) -> int:
    """Convert, print a one-line summary and return the exit status.

    Raises:
        ImageError: the only picture failed.
        ConfigError: the model lacks the label, styles or detail; nothing was written.
    """
    options = parse_options(ConvertOptions, argv, "translate convert")
    model = resolve(options.model, models_dir=options.models_dir)
    plan = make_plan(
        options.source,
        options.destination,
        options.format,
        include=options.include,
        exclude=options.exclude,
        template=options.name,
        may_be_empty=options.watch,
    )
    # One thread per picture if there are enough pictures or frames for all cores; a single picture gets all cores.
    at_once = min(options.workers or cores(), cores() if options.watch or plan.moving else plan.count)
    backend = RayBackend(options.address, options.device) if options.engine == "ray" else None
    device = options.device if backend is None else "cpu"  # with Ray, this process only reads the model's metadata
    engine = Engine(model, threads=max(1, cores() // at_once), device=device, tile=options.tile)
    options.how.check(engine)  # before the progress bar appears
    if options.dry_run:
        return _dry_run(plan, engine, options)
    tally = Tally(_print_json if options.json else None)
    started = time.perf_counter()
    stopped = 0
    with ending_like_ctrl_c() as asked:
        try:
            _run(plan, engine, options, tally, backend)
        except KeyboardInterrupt:
            stopped = 128 + asked[0] if asked else EXIT_INTERRUPTED
    summary = tally.summary(time.perf_counter() - started, plan)
    if plan.single and summary.failed:
        log = f"; see {summary.log}" if summary.log else ""
        raise ImageError(f"{summary.failed[0].reason}{log}")  # nothing was converted: status 2, not 1
    _print_summary(summary, options, bool(stopped))
    return stopped if stopped and not options.watch else 1 if summary.failed else 0


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
        sys.stderr.write(f"watching {options.source} for new files; press Ctrl-C to stop\n")
        run(on_progress=tally.add, watch=True)
    elif not sys.stderr.isatty() or options.json:
        run(on_progress=tally.add, on_frame=_FrameJsonPrinter() if options.json else None)
    else:
        # Imported here because rich takes a tenth of a second.
        from rich.console import Console
        from rich.markup import escape
        from rich.progress import MofNCompleteColumn, Progress

        with Progress(*Progress.get_default_columns(), MofNCompleteColumn(), console=Console(stderr=True)) as bar:
            task = bar.add_task("Converting", total=plan.count)
            video = bar.add_task("", visible=False)

            def advance(result: Result) -> None:
                tally.add(result)
                bar.advance(task)
                bar.update(video, visible=False)

            def show(progress: FrameProgress) -> None:
                name = escape(PurePath(progress.source).name)
                bar.update(video, description=name, completed=progress.frame, total=progress.frames, visible=True)

            run(on_progress=advance, on_frame=show)


def _dry_run(plan: Plan, engine: Engine, options: ConvertOptions) -> int:
    """Show what would be done, one line per picture."""
    destination = plan.result_folder
    counts = {"convert": 0, "leave": 0, "refuse": 0}
    with nullcontext() if plan.single else destination.read_manifest() as manifest:
        state = ResumeState(plan.source, destination, options.existing, options.how.digest(engine), manifest)
        worker = Worker(plan.source, destination, engine, options.how)
        for job in plan.jobs(options.name, worker.template_fields):
            if counts["convert"] == options.limit:
                break
            resolved = state.resolve(job)
            fields = {"source": plan.source.title(job.item.name)}
            if isinstance(resolved, Job):
                fields |= {"target": str(destination.locate(resolved.target)), "would": "convert"}
            elif resolved.status == "skipped":
                fields |= {"target": str(resolved.target), "would": "leave"}
            else:
                fields |= {"reason": str(resolved.reason), "would": "refuse"}
            counts[fields["would"]] += 1
            if options.json:
                text = json.dumps(fields)
            elif "reason" in fields:
                text = f"reject {one_line(fields['reason'])}"
            else:
                verb = "convert" if fields["would"] == "convert" else "skip"
                text = one_line(f"{verb} {fields['source']} -> {fields['target']}")
            sys.stdout.write(f"{text}\n")
    if not options.json:
        sys.stderr.write("".join(f"note: {note}\n" for note in plan.notes))
    text = f"{counts['convert']} to convert, {counts['leave']} to skip"
    if counts["refuse"]:
        text += f", {counts['refuse']} to reject"
    sys.stdout.write(f"{json.dumps(counts) if options.json else text}\n")
    return 0


def _print_json(result: Result) -> None:
    fields: dict[str, Any] = {"source": result.source, "status": result.status}
    if result.target is not None:
        fields["target"] = str(result.target)
    if result.reason is not None:
        fields["reason"] = result.reason
    if result.notes:
        fields["notes"] = list(result.notes)
    sys.stdout.write(f"{json.dumps(fields)}\n")
    sys.stdout.flush()


class _FrameJsonPrinter:
    """Prints the progress of videos, at most one line per second; nothing for those that take less time."""

    def __init__(self) -> None:
        self._source, self._last = "", 0.0

    def __call__(self, progress: FrameProgress) -> None:
        now = time.monotonic()
        if progress.source != self._source:
            self._source, self._last = progress.source, now
        elif now - self._last >= FRAME_LINE_SECONDS:
            self._last = now
            sys.stdout.write(f"{json.dumps(asdict(progress))}\n")
            sys.stdout.flush()


def _print_summary(summary: Summary, options: ConvertOptions, stopped: bool) -> None:
    if options.json:
        facts: dict[str, Any] = {
            "converted": summary.converted,
            "skipped": summary.skipped,
            "failed": len(summary.failed),
            "seconds": round(summary.seconds, 3),
            "stopped": stopped,
        }
        if summary.notes:
            facts["notes"] = list(summary.notes)
        if summary.log:
            facts["log"] = str(summary.log)
        sys.stdout.write(f"{json.dumps(facts)}\n")
        return
    for note in (*summary.notes, *(note for result in summary.noted for note in result.notes)):
        sys.stderr.write(f"note: {note}\n")
    for failure in summary.failed:
        sys.stderr.write(f"{failure.reason}\n")
    if summary.log:
        sys.stderr.write(f"unexpected errors are described in {summary.log}\n")
    parts = [
        f"{summary.converted} picture{'' if summary.converted == 1 else 's'} converted to "
        f"{one_line(str(options.destination))} "
        f"in {summary.seconds:.1f} s ({summary.images_per_second:.1f} images/s)"
    ]
    if summary.skipped and not options.watch:
        parts.append(f"{summary.skipped} skipped")
    if summary.failed:
        parts.append(f"{len(summary.failed)} failed")
    if stopped and not options.watch:
        parts.append("stopped; run the same command to continue")
    sys.stdout.write(f"{', '.join(parts)}\n")
