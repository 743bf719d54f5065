"""Test data -> cases: what goes into the model and, where it is known, what should come out.

Shape suffixes: B batch, H height, W width, C channels.
"""

import contextlib
import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import torch
from PIL import Image, ImageFilter

from translate.data.framing import Framing, frame_plain
from translate.data.layouts import Layout, Side, by_stem, list_pictures, present_folders
from translate.data.reading import PixelFormat, Pixels, read_pixels
from translate.errors import ConfigError, DataError, ImageError, nearest
from translate.files import LeftOut, as_text
from translate.networks.pixels import pixels_to_signal, signal_to_pixels
from translate.spec import ModelSpec
from translate.tasks import TASKS
from translate.tasks.base import load_object

Kind = Literal["enlarge", "pairs", "photographs", "unpaired"]
"""How the truth is known: the large picture, the partner, the photograph that a drawing is made from, or not at all."""

Item = TypeVar("Item")

DRAWN_SIDE = 256
"""Side of the squares, white around, that photographs become before drawings are made from them: the same for every
model, so that all are measured on the same drawings."""

SPOIL_BLUR, SPOIL_NOISE, SPOIL_QUALITY = 0.6, 2.0, 40
"""--spoil: standard deviation of the blur in pixels and of the noise in levels of 255, and the JPEG quality."""

_BRIGHTNESS_MOST = 32
"""Pictures of a side whose brightness is measured."""


@dataclass(frozen=True)
class Case:
    """One test picture."""

    name: str
    """Below the test folder; decides all randomness."""
    group: str
    """Its sub-folder, or nothing."""
    label: str | None
    source: Path | None
    """None where it is made from the target."""
    target: Path | None
    """None where nothing is paired."""


@dataclass(frozen=True)
class Sample:
    """A case, read."""

    case: Case
    source_HWC: Pixels
    truth_HWC: Pixels | None


@dataclass(frozen=True)
class TestData:
    """All cases of a folder."""

    kind: Kind
    cases: list[Case]
    targets: list[Path]
    """The real pictures of what should come out, where nothing is paired."""
    folders: tuple[str, str]
    side_by_side: Side | None = None
    """Which half is the source, where a file holds both."""
    notes: list[str] = field(default_factory=list[str])

    @property
    def direction(self) -> dict[str, str]:
        """What goes in and what should come out, for people."""
        source, target = {
            "enlarge": ("the pictures, reduced", "the pictures"),
            "photographs": ("drawings made of the photographs", "the photographs"),
        }.get(self.kind, tuple(f"folder {name}" for name in self.folders))
        if self.side_by_side:
            source, target = ("left", "right") if self.side_by_side == "left" else ("right", "left")
            source, target = f"{source} half", f"{target} half"
        return {"in": source, "out": target}


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked of the test folder; the options of the same names."""

    data: Path
    layout: Layout | Literal["auto"] = "auto"
    folders: tuple[str, str] | None = None
    source_side: Side = "left"
    label: str | None = None
    limit: int | None = None


def find_cases(question: Question, spec: ModelSpec) -> TestData:
    """List the cases for a model.

    Raises:
        DataError: no pictures, sources without a partner, or sub-folders that are no labels of the model.
        ConfigError: a label that the model does not have, or a layout that does not serve the task.
    """
    if question.label is not None and question.label not in spec.labels:
        known = nearest(question.label, spec.labels) if spec.labels else "it has none; leave --label out"
        raise ConfigError(f"{spec.name} has no label '{question.label}'; {known}")
    _check_layout(question, spec)
    left_out: dict[str, None] = {}  # in order, each once
    found = _find(question, spec, lambda path, reason: left_out.setdefault(f"{path} is left out: {reason}."))
    notes = [as_text(line) for line in left_out]
    return TestData(
        found.kind,
        spread(found.cases, question.limit),
        spread(found.targets, question.limit),
        found.folders,
        found.side_by_side,
        found.notes + notes,
    )


def spread(items: Sequence[Item], most: int | None) -> list[Item]:
    """At most so many of them, by fixed rule: every k-th."""
    count = len(items) if most is None else min(most, len(items))
    return [items[number * len(items) // count] for number in range(count)]


def shown(path: Path, folder: Path) -> str:
    """The name below the folder, also of files whose names are no text."""
    return as_text(path.relative_to(folder).as_posix())


def read_image(path: Path) -> Pixels:
    """Any picture as uint8 (H, W, 3), alpha laid on white.

    Raises:
        ImageError: it cannot be read; the message names it.
    """
    return read_pixels(path, PixelFormat())


def read_case(case: Case, data: TestData, spec: ModelSpec, *, spoil: bool = False) -> Sample:
    """Read the files of a case and make what has to be made.

    Raises:
        ImageError: a file cannot be read, or is too small.
    """
    if data.kind == "enlarge":
        assert case.target is not None
        truth_HWC = _cropped(read_image(case.target), spec.scale, case.target)
        return Sample(case, _reduced(truth_HWC, spec.scale, case.name if spoil else None), truth_HWC)
    if data.kind == "photographs":
        assert case.target is not None
        photo_HWC = framed_photograph(read_image(case.target))
        task = TASKS[spec.task]
        return Sample(case, _drawn(photo_HWC, case.name, task.test_source_maker or task.source_maker), photo_HWC)
    assert case.source is not None
    source_HWC = read_image(case.source)
    if data.side_by_side:
        source_HWC, truth_HWC = _halves(source_HWC, data.side_by_side)
        return Sample(case, source_HWC, truth_HWC)
    return Sample(case, source_HWC, None if case.target is None else read_image(case.target))


def framed_photograph(photo_HWC: Pixels) -> Pixels:
    """A photograph on the square of `DRAWN_SIDE` that drawings are made from."""
    return frame_plain(Framing("fit", DRAWN_SIDE, "none"), [photo_HWC])[0]


def _check_layout(question: Question, spec: ModelSpec) -> None:
    """Refuse what would have no effect."""
    task = TASKS.get(spec.task)
    unpaired = task is not None and not task.paired
    if question.layout != "auto" and (spec.scale > 1 or unpaired):
        what = "reads two folders without pairs" if unpaired else "reads large pictures only"
        raise ConfigError(f"--layout {question.layout} has no effect, {spec.name} {what}; leave it out")
    if question.folders and spec.scale > 1:
        raise ConfigError(f"--folders has no effect, {spec.name} reads large pictures only; leave it out")
    if question.source_side != "left" and question.layout != "side-by-side":
        raise ConfigError(
            f"--source-side {question.source_side} is for pairs in one file each; add --layout side-by-side, "
            "or leave it out"
        )


def _find(question: Question, spec: ModelSpec, left_out: LeftOut) -> TestData:
    data = question.data
    task = TASKS.get(spec.task)
    default = task.folders if task else ("source", "target")
    if spec.direction == "back":
        default = (default[1], default[0])
    folders = question.folders or default
    if spec.scale > 1:
        files = list_pictures(data, left_out)
        return TestData("enlarge", [_case(path, data, question, spec, None, path) for path in files], [], folders)
    if task and not task.paired:
        if present_folders(data, folders) is None:
            raise DataError(
                f"{data} does not have the folders {' and '.join(folders)}; name yours with --folders, "
                "first what goes in"
            )
        folders = present_folders(data, folders) or folders
        sources = list_pictures(data / folders[0], left_out)
        cases = [_case(path, data / folders[0], question, spec, path, None) for path in sources]
        return TestData("unpaired", cases, list_pictures(data / folders[1], left_out), folders)
    if question.layout == "side-by-side":
        cases = [_case(path, data, question, spec, path, path) for path in list_pictures(data, left_out)]
        return TestData("pairs", cases, [], folders, question.source_side)
    present = present_folders(data, folders) if question.layout != "photos" and data.is_dir() else None
    if present:
        return _pairs(question, spec, present, left_out)
    if task and task.source_maker and question.layout != "two-folders" and not question.folders:
        files = list_pictures(data, left_out)
        return TestData("photographs", [_case(path, data, question, spec, None, path) for path in files], [], folders)
    list_pictures(data, left_out)  # says what is wrong with the folder itself
    raise DataError(
        f"{data} does not have the folders {' and '.join(folders)}; name yours with --folders, first what goes in, "
        "or add --layout side-by-side if every file holds a pair"
    )


def _pairs(question: Question, spec: ModelSpec, folders: tuple[str, str], left_out: LeftOut) -> TestData:
    source, target = (question.data / name for name in folders)
    by_source, by_target = (by_stem(folder, list_pictures(folder, left_out)) for folder in (source, target))
    alone = sorted(by_source.keys() - by_target.keys())
    if alone:
        names = ", ".join(alone[:3]) + (", ..." if len(alone) > 3 else "")
        raise DataError(
            f"{len(alone)} of {len(by_source)} pictures in {source} have no partner in {target} ({names}); "
            "a pair has the same name but for the suffix, so rename or remove these"
        )
    cases = [
        _case(by_target[stem], target, question, spec, path, by_target[stem])
        for stem, path in sorted(by_source.items())
    ]
    left = len(by_target) - len(cases)
    notes = [f"{left} pictures in {folders[1]} have no partner in {folders[0]} and are left out."] if left else []
    return TestData("pairs", cases, [], folders, notes=notes)


def _case(
    path: Path, folder: Path, question: Question, spec: ModelSpec, source: Path | None, target: Path | None
) -> Case:
    """A case with the name and the label that its place below `folder` says."""
    below = path.relative_to(folder).parts
    group = below[0] if len(below) > 1 else ""
    label = question.label
    if spec.labels and label is None and group:
        if group not in spec.labels:
            raise DataError(
                f"{path}: {group} is no label of {spec.name}; {nearest(group, spec.labels)}, or give --label for all"
            )
        label = group
    return Case(shown(path, folder), as_text(group), label, source, target)


def _cropped(image_HWC: Pixels, scale: int, path: Path) -> Pixels:
    height, width = (side // scale * scale for side in image_HWC.shape[:2])
    # Something must be left within the border that the luma's PSNR shaves off.
    if min(height, width) <= 2 * scale:
        raise ImageError(f"{path}: {image_HWC.shape[1]} x {image_HWC.shape[0]} pixels is too small for scale {scale}")
    return np.ascontiguousarray(image_HWC[:height, :width])


def _reduced(image_HWC: Pixels, scale: int, spoil: str | None) -> Pixels:
    """Pillow's BICUBIC, which the published baselines come from; spoilt by the randomness of a name if there is one."""
    height, width = image_HWC.shape[:2]
    small = Image.fromarray(image_HWC).resize((width // scale, height // scale), Image.Resampling.BICUBIC)
    if spoil is None:
        return np.asarray(small)
    blurred_HWC = np.asarray(small.filter(ImageFilter.GaussianBlur(SPOIL_BLUR)), np.float32)
    noise_HWC = np.random.default_rng(seed_of(spoil)).normal(0.0, SPOIL_NOISE, blurred_HWC.shape)
    file = io.BytesIO()
    noisy_HWC = (blurred_HWC + noise_HWC).round().clip(0, 255).astype(np.uint8)
    Image.fromarray(noisy_HWC).save(file, "JPEG", quality=SPOIL_QUALITY)
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB"))


def _drawn(photo_HWC: Pixels, name: str, source_maker: str) -> Pixels:
    generator = torch.Generator().manual_seed(seed_of(name))
    photo_BCHW = pixels_to_signal(torch.from_numpy(photo_HWC.copy())[None])
    return np.ascontiguousarray(signal_to_pixels(load_object(source_maker)(photo_BCHW, generator))[0].numpy())


def _halves(whole_HWC: Pixels, source_side: Side) -> tuple[Pixels, Pixels]:
    middle = whole_HWC.shape[1] // 2
    left_HWC, right_HWC = (
        np.ascontiguousarray(half_HWC) for half_HWC in (whole_HWC[:, :middle], whole_HWC[:, middle : 2 * middle])
    )
    return (left_HWC, right_HWC) if source_side == "left" else (right_HWC, left_HWC)


def target_half(image_HWC: Pixels, source_side: Side | None) -> Pixels:
    """What should come out, of a file that may hold both sides."""
    return _halves(image_HWC, source_side)[1] if source_side else image_HWC


def brightness_ratio(data: TestData) -> float | None:
    """How many times as bright as the sources the real pictures of the target are, where nothing is paired."""
    if data.kind != "unpaired":
        return None
    means: list[float] = []
    for files in ([case.source for case in data.cases], data.targets):
        found: list[float] = []
        for path in spread(files, _BRIGHTNESS_MOST):
            # Unreadable ones are reported when they are measured.
            with contextlib.suppress(ImageError):
                assert path is not None
                found.append(float(read_image(path).mean()))
        means.append(sum(found) / max(1, len(found)))
    return means[1] / max(means[0], 1e-3)


def seed_of(name: str) -> int:
    """The same number for the same name, everywhere."""
    return zlib.crc32(name.encode())
