"""Train, export and measure all shipped models and, for comparison, the classic recipes, from the data packs.

    python benchmarks/models.py --data PACKS --budget 8h [--out runs/models] [--only super-resolution day-to-night ...]

PACKS contains shoes, shoes_qmul, handbags, handbags2, human_sketches_shoes2, daynight_bdd, daynight_bdd2,
daynight_amos, sr_train, sr_free and sr_test, each with the sub-folders train and test. sketch-to-photo needs the extra
`features`.
Every stage gets its fraction of the budget. After an interruption, the same command continues: finished stages are
skipped, an unfinished one is resumed.

    python benchmarks/models.py --ship super-resolution day-to-night [--out runs/models]

copies finished models to checkpoints/: file, contact sheet, index entry, and the figures of the card. Do this only for
a model that beats the one it replaces on the test split.
"""

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from translate.errors import ConfigError, TranslateError, nearest
from translate.inference.engine import Engine
from translate.options import parse_duration
from translate.spec import ModelSpec
from translate.training.snapshot import FILE_NAME, read_header

CHECKPOINTS = Path(__file__).parent.parent / "checkpoints"
FIGURES = ("<!-- figures -->", "<!-- end of figures -->")
"""The measured figures of a card are between these marks."""

LICENCE = "research and non-commercial use"
STREETS = "dashcam frames of BDD100K (research, not-for-profit) and webcam frames of AMOS (research)"
THINGS = (
    "product photographs of edges2shoes, edges2handbags, QMUL ShoeV2 and Fashion Product Images, and drawings by "
    "people (Li et al., WACV 2016); non-commercial research"
)
SHARP = "BSD200, T91 and General-100 (non-commercial research)"
FREE_LICENCE = "CC BY 4.0"
FREE = (
    "70 photographs that may be used commercially: CC0, public domain, licences of Unsplash, Pexels and Pixabay, and "
    "CC BY by Aitzol Berasategi and freespace (4.0) and the author of Horseshoe Bend Sunset on Flickr (2.0)"
)
BOTH = f"{SHARP}, and {FREE}"


@dataclass(frozen=True)
class Export:
    """A model file exported from a finished run, and its test data."""

    name: str
    test: str
    options: tuple[str, ...] = ()
    """Options of `translate export`."""
    measured: tuple[str, ...] = ()
    """Options of `translate evaluate`."""


@dataclass(frozen=True)
class Stage:
    """One run."""

    name: str
    share: float
    """Fraction of the budget; the sum over all stages is 1."""
    task: str
    train: str
    options: tuple[str, ...]
    training_data: str
    exports: tuple[Export, ...] = field(default=())
    start_from: str = ""
    unpaired: str = ""
    """Sources without targets."""
    licence: str = LICENCE
    """Licence of the weights."""


def _things(name: str, *options: str) -> Export:
    return Export(name, "things/test", options, measured=("--train", "things/train"))


def _streets(there: str, back: str) -> tuple[Export, Export]:
    measured = ("--train", "daynight/train")
    return (
        Export(there, "daynight/test", measured=("--folders", "day", "night", *measured)),
        # What brightens the dark multiplies the rounding of float16 weights too.
        Export(
            back,
            "daynight/test",
            ("--direction", "back", "--weights", "float32"),
            ("--folders", "night", "day", *measured),
        ),
    )


_SMALL = ("--image-size", "128")
_KINDS = ("--labels", "--style-size", "5", "--style-kind", "colours")
_FEATURES = ("--preset", "projected", "--generator-widths", "24", "48", "96", "192", "256")
_LARGE = (
    "--warm-start", "0", "--generator-lr", "2e-4", "--discriminator-lr", "3e-4", "--ema-halflife-images", "500",
    "--unpaired-label", "shoe",
)  # fmt: skip
_SHARP = ("--perceptual-weight", "1")
_TWICE = ("--scale", "2", "--image-size", "96")
_LIGHTS = (
    "--discriminator", "projected+patch", "--discriminator-scales", "2", "--discriminator-norm", "instance-affine",
    "--adversarial-weight", "0.5", "--cycle-weight", "3", "--identity-weight", "0.25",
)  # fmt: skip

STAGES = (
    Stage(
        "sketch-128", 0.07, "sketch-to-photo", "things/train",
        (*_KINDS, *_SMALL, *_FEATURES, "--warm-start", "0.005"), THINGS, (_things("sketch-128"),),
    ),
    Stage(
        "sketch-to-photo", 0.12, "sketch-to-photo", "things/train", (*_KINDS, *_FEATURES, *_LARGE), THINGS,
        (_things("sketch-to-photo", "--snapshot", "best", "--default-style", "16"),), start_from="sketch-128",
        unpaired="human_sketches",
    ),
    Stage(
        "streets-modern", 0.08, "day-to-night", "daynight/train", _SMALL, STREETS,
        _streets("streets-modern", "streets-modern-back"),
    ),
    Stage(
        "streets", 0.05, "day-to-night", "daynight/train",
        (*_SMALL, "--cycle-weight", "2.5", "--identity-weight", "0.25"), STREETS, start_from="streets-modern",
    ),
    Stage(
        "day-to-night", 0.10, "day-to-night", "daynight/train", (*_SMALL, *_LIGHTS), STREETS,
        _streets("day-to-night", "night-to-day"), start_from="streets",
    ),
    Stage(
        "super-resolution-free", 0.08, "super-resolution", "sr_free/train", ("--adversarial-start", "0.8", *_SHARP),
        FREE, (Export("super-resolution-free", "sr_test/test"),), licence=FREE_LICENCE,
    ),
    Stage(
        "super-resolution", 0.10, "super-resolution", "sr_both/train", ("--adversarial-start", "0.85", *_SHARP), BOTH,
        (Export("super-resolution", "sr_test/test"),), start_from="super-resolution-free",
    ),
    Stage(
        "super-resolution-x2", 0.04, "super-resolution", "sr_both/train",
        (*_TWICE, "--adversarial-start", "0.8", *_SHARP), BOTH, (Export("super-resolution-x2", "sr_test/test"),),
        start_from="super-resolution",
    ),
    Stage(
        "super-resolution-x2-free", 0.04, "super-resolution", "sr_free/train",
        (*_TWICE, "--adversarial-start", "0.8", *_SHARP), FREE, (Export("super-resolution-x2-free", "sr_test/test"),),
        start_from="super-resolution-free", licence=FREE_LICENCE,
    ),
    Stage(
        "super-resolution-photo", 0.06, "super-resolution", "sr_free/train",
        (
            "--preset", "robust", "--degradation", "simple", "--clean-share", "0", "--blur", "0.5", "--noise", "0.5",
            "--jpeg", "0.8", "--adversarial-start", "0.75", *_SHARP,
        ),
        FREE, (Export("super-resolution-photo", "sr_test/test", (), ("--spoil", "--against", "super-resolution")),),
        licence=FREE_LICENCE,
    ),
    Stage(
        "sketch-classic", 0.07, "sketch-to-photo", "things/train", ("--preset", "classic", *_SMALL), THINGS,
        (_things("sketch-classic"),),
    ),
    Stage(
        "streets-classic", 0.08, "day-to-night", "daynight/train", ("--preset", "classic", *_SMALL), STREETS,
        _streets("streets-classic", "streets-classic-back"),
    ),
    Stage(
        "sr-modern", 0.055, "super-resolution", "sr_train/train", ("--preset", "fidelity"), SHARP,
        (Export("sr-modern", "sr_test/test"),),
    ),
    Stage(
        "sr-classic", 0.055, "super-resolution", "sr_train/train",
        ("--preset", "classic", "--adversarial-start", "1"), SHARP, (Export("sr-classic", "sr_test/test"),),
    ),
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the data packs")
    parser.add_argument("--budget", type=parse_duration, help="total time for all stages, e.g. 8h")
    parser.add_argument("--out", type=Path, default=Path("runs/models"))
    parser.add_argument("--only", nargs="+", choices=[stage.name for stage in STAGES], help="run these stages only")
    parser.add_argument("--ship", nargs="+", metavar="MODEL", help="copy these finished models to checkpoints/")
    options = parser.parse_args()
    for name in options.ship or ():
        ship(name, options.out)
    if options.ship:
        return
    if options.data is None or options.budget is None:
        parser.error("give --data and --budget, or --ship")
    prepare(options.data, options.out / "data")
    for stage in STAGES:
        if options.only is None or stage.name in options.only:
            train(stage, options.out, stage.share * options.budget)
            for export in stage.exports:
                finish(stage, export, options.out)


def prepare(packs: Path, out: Path) -> None:
    """Lay the packs out as the trainers read them: kinds in sub-folders, all sources of streets together.

    What is measured stays what it was before there were more packs to learn from.
    """
    parts = [("sr_train/train", "sr_train/train"), ("sr_free/train", "sr_free/train"), ("sr_test/test", "sr_test/test")]
    parts += [("sr_train/train", "sr_both/train/sr_train"), ("sr_free/train", "sr_both/train/quarters")]
    for split, shops in (("train", ("shoes", "shoes_qmul", "handbags", "handbags2")), ("test", ("shoes", "handbags"))):
        for shop in shops:
            kind = "shoe" if shop.startswith("shoes") else "handbag"
            # Test drawings depend on the file names, so these must not change.
            parts.append((f"{shop}/{split}/photo", f"things/{split}/{kind}" + f"/{shop}" * (split == "train")))
    parts.append(("human_sketches_shoes2/train/sketch", "human_sketches"))
    for split, places in (("train", ("bdd", "bdd2", "amos")), ("test", ("bdd", "amos"))):
        for place in places:
            parts += [(f"daynight_{place}/{split}/{x}", f"daynight/{split}/{x}/{place}") for x in ("day", "night")]
    for source, target in parts:
        if not (out / target).is_dir():
            unfinished = (out / target).with_name("unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            copy = copy_quarters if target.endswith("/quarters") else shutil.copyfile
            shutil.copytree(packs / source, unfinished, copy_function=copy)
            unfinished.rename(out / target)


def copy_quarters(source: str, target: str) -> None:
    """Four pictures of one: training takes a crop of each picture in turn, and these show more than others."""
    with Image.open(source) as opened:
        image = opened.convert("RGB")
    width, height = image.width // 2, image.height // 2
    for number in range(4):
        left, top = number % 2 * width, number // 2 * height
        quarter = image.crop((left, top, left + width, top + height))
        quarter.save(Path(target).with_name(f"{Path(target).stem}_{number}.png"))


def train(stage: Stage, out: Path, seconds: float) -> None:
    """Train, or resume training, until the time of the stage is used."""
    run = out / stage.name
    resumed = (run / FILE_NAME).is_file()
    if resumed and read_header(run / FILE_NAME).seconds_used >= seconds:
        return
    start = ["--start-from", str(out / stage.start_from)] if stage.start_from and not resumed else []
    unpaired = ["--unpaired-sources", str(out / "data" / stage.unpaired)] if stage.unpaired else []
    new = ["--data", str(out / "data" / stage.train), *stage.options, *unpaired, *start]
    begin = ["--resume"] if resumed else new
    translate("train", stage.task, "--out", str(run), "--max-time", f"{seconds:.0f}s", *begin)


def finish(stage: Stage, export: Export, out: Path) -> None:
    """Export, measure the file on the test split, and export again with the measured metrics in the file."""
    run = out / stage.name
    model, unmeasured = run / f"{export.name}.onnx", run / f"{export.name}-unmeasured.onnx"
    # Only the measured file gets the final name, so an interrupted measurement is repeated.
    if model.is_file() and model.stat().st_mtime >= (run / FILE_NAME).stat().st_mtime:
        return
    pages, data = run / f"{export.name}-evaluation", out / "data"
    facts = ("--name", export.name, "--licence", stage.licence, "--training-data", stage.training_data)
    command = ("export", str(run), *export.options, *facts)
    measured = [str(data / word) if word.startswith(("things/", "daynight/")) else word for word in export.measured]
    translate(*command, "-o", str(unmeasured))
    translate("evaluate", str(unmeasured), "--data", str(data / export.test), *measured, "--out", str(pages))
    translate(*command, "-o", str(model), "--metrics", str(pages / "summary.json"))
    unmeasured.unlink()


def ship(name: str, out: Path) -> None:
    """Put a finished model into checkpoints/NAME, whose card must have been written by hand but for the figures.

    Raises:
        ConfigError: no such model, not measured, or no card for it.
    """
    folders = {export.name: out / stage.name for stage in STAGES for export in stage.exports}
    if name not in folders:
        raise ConfigError(f"no stage makes {name}; {nearest(name, folders)}")
    model, folder = folders[name] / f"{name}.onnx", CHECKPOINTS / name
    spec = Engine(model, device="cpu").spec
    card_path, index_path = folder / "card.md", CHECKPOINTS / "index.json"
    card = card_path.read_text(encoding="utf-8")
    head, found, rest = card.partition(FIGURES[0])
    _, ends, tail = rest.partition(FIGURES[1])
    if not spec.metrics or not found or not ends:
        raise ConfigError(f"{model} was not measured, or {card_path} has no {FIGURES[0]} ... {FIGURES[1]}")
    summary = next(line for line in card.splitlines() if line[:1].isalpha())
    models = {entry["name"]: entry for entry in json.loads(index_path.read_text(encoding="utf-8"))["models"]}
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    models[name] = models.get(name, {}) | {
        "name": name, "task": spec.task, "file": f"{name}/model.onnx", "sha256": digest, "licence": spec.licence,
        "summary": summary,
    }  # fmt: skip
    shutil.copyfile(model, folder / "model.onnx")
    sheet = folders[name] / f"{name}-evaluation" / "contact_sheet.png"
    Image.open(sheet).convert("RGB").save(folder / "contact_sheet.jpg", quality=88)
    card_path.write_text(f"{head}{FIGURES[0]}\n{figures(spec)}\n{FIGURES[1]}{tail}", encoding="utf-8")
    index_path.write_text(json.dumps({"models": list(models.values())}, indent=2) + "\n", encoding="utf-8")


def figures(spec: ModelSpec) -> str:
    """The table of a card."""
    facts = {"parameters": f"{spec.parameters:,}", "GMAC at 256 x 256": f"{spec.gmacs_256:.4g}"}
    measured = {f"`{metric}`": f"{value:.5g}" for metric, value in spec.metrics.items()}
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {text} |" for name, text in (facts | measured).items())])


def translate(*arguments: str) -> None:
    print("+ translate", *arguments, flush=True)
    ended = subprocess.run([Path(sys.executable).with_name("translate"), *arguments], check=False).returncode
    if ended and not (arguments[0] == "evaluate" and ended == 1):  # 1: some pictures could not be used, and were named
        sys.exit(f"models: `translate {arguments[0]}` ended with status {ended}; the same command goes on from here")


if __name__ == "__main__":
    try:
        main()
    except (TranslateError, OSError) as error:
        sys.exit(f"models: {error}")
