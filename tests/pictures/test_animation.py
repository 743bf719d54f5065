"""Animated pictures: frames, times, repetitions and transparency stay."""

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import DOUBLE, INVERT, save_model
from made_files import exif, png_chunks, read_exif
from PIL import Image

from translate.conversion.folder import convert_folder
from translate.conversion.worker import Conversion, Result
from translate.errors import DataError, ImageError
from translate.inference.engine import Engine
from translate.pictures.animation import count_frames, frames, hundredths, survey
from translate.pictures.band_writer import RowWriter, Timing
from translate.pictures.operations import Picture, read_picture

DURATIONS = [50, 100, 20, 400, 70, 70]


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(save_model(tmp_path / "m.onnx", INVERT), threads=1, device="cpu")


def drawn(count: int = 6, *, alpha: bool = False) -> list[Image.Image]:
    """A square that walks over stripes, so that files hold only what changes."""
    found: list[Image.Image] = []
    for number in range(count):
        rgba_HWC = np.full((40, 60, 4), 255, np.uint8)
        rgba_HWC[..., :3] = [30, 90, 200]
        rgba_HWC[20:24, :, :3] = [240, 200, 20]
        rgba_HWC[10:20, 5 + 7 * number : 15 + 7 * number, :3] = [200, 20 * number, 30]
        if alpha:
            rgba_HWC[25:35, 5 + 7 * number : 15 + 7 * number, 3] = 0
        found.append(Image.fromarray(rgba_HWC if alpha else rgba_HWC[..., :3]))
    return found


def save(path: Path, frames: Sequence[Image.Image], **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"duration": DURATIONS[: len(frames)], "loop": 0, "lossless": True} | options
    if path.suffix == ".gif":
        options |= {"disposal": 2}
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)
    return path


def frames_of(path: Path) -> tuple[list[np.ndarray], list[int], int | None]:
    """RGBA, durations in milliseconds and the number of repetitions that a file holds."""
    with Image.open(path) as image:
        found, durations = [], []
        for number in range(image.n_frames):
            image.seek(number)
            found.append(np.asarray(image.convert("RGBA")))
            durations.append(image.info["duration"])
        return found, durations, image.info.get("loop")


def convert(source: Path, target: Path, engine: Engine, **how: Any) -> Result:
    seen: list[Result] = []
    convert_folder(source, target, engine, Conversion(**how), on_progress=seen.append)
    return seen[0]


def assert_inverted(made: Sequence[np.ndarray], given: Sequence[Image.Image], most: int) -> None:
    for made_HWC, image in zip(made, given, strict=True):
        given_HWC = np.asarray(image.convert("RGBA"))
        assert np.array_equal(made_HWC[..., 3], given_HWC[..., 3])
        seen_HW = given_HWC[..., 3] > 0
        errors = np.abs(made_HWC[..., :3].astype(int) - (255 - given_HWC[..., :3].astype(int)))[seen_HW]
        assert errors.mean() <= most


@pytest.mark.parametrize("alpha", [False, True])
def test_gif(tmp_path: Path, engine: Engine, alpha: bool) -> None:
    source = save(tmp_path / "in" / "a.gif", drawn(alpha=alpha))
    given, times, _ = frames_of(source)
    outcome = convert(source, tmp_path / "out", engine)
    assert (outcome.status, outcome.target, outcome.notes) == ("converted", tmp_path / "out" / "a.gif", ())
    made, durations, loop = frames_of(tmp_path / "out" / "a.gif")
    assert (durations, loop) == (times, 0)
    assert_inverted(made, [Image.fromarray(frame) for frame in given], 0)


@pytest.mark.parametrize("alpha", [False, True])
def test_webp(tmp_path: Path, engine: Engine, alpha: bool) -> None:
    source = save(tmp_path / "a.webp", drawn(5, alpha=alpha), loop=3)
    convert(source, tmp_path / "out", engine, quality=100)
    made, durations, loop = frames_of(tmp_path / "out" / "a.webp")
    assert (durations, loop) == (DURATIONS[:5], 3)
    assert_inverted(made, drawn(5, alpha=alpha), 8)


def test_enlarged_with_alpha(tmp_path: Path) -> None:
    engine = Engine(save_model(tmp_path / "m.onnx", DOUBLE), device="cpu")
    source = save(tmp_path / "a.gif", drawn(4, alpha=True))
    convert(source, tmp_path / "b.gif", engine)
    made, _, _ = frames_of(tmp_path / "b.gif")
    for made_HWC, image in zip(made, drawn(4, alpha=True), strict=True):
        given_HWC = np.asarray(image)
        assert made_HWC.shape == (80, 120, 4)
        assert np.abs(made_HWC[::2, ::2, 3].astype(int) - given_HWC[..., 3]).mean() < 2
        opaque_HW = (given_HWC[..., 3] > 0) & (made_HWC[::2, ::2, 3] > 0)
        assert np.array_equal(made_HWC[::2, ::2][opaque_HW], given_HWC[opaque_HW])


@pytest.mark.parametrize(
    ("suffix", "loop", "target", "expected"),
    [
        (".gif", 0, ".webp", 0),
        (".gif", 2, ".webp", 3),  # GIF: twice more
        (".gif", None, ".webp", 1),
        (".gif", None, ".gif", None),
        (".gif", 2, ".gif", 2),
        (".webp", 1, ".gif", None),
        (".webp", 4, ".gif", 3),
        (".png", 2, ".webp", 2),
    ],
)
def test_times_and_repetitions_in_another_format(
    tmp_path: Path, engine: Engine, suffix: str, loop: int | None, target: str, expected: int | None
) -> None:
    source = save(tmp_path / f"a{suffix}", drawn(5), loop=loop)
    assert convert(source, tmp_path / f"b{target}", engine).status == "converted"
    _, durations, repeated = frames_of(tmp_path / f"b{target}")
    assert (durations, repeated) == (DURATIONS[:5], expected)


def test_a_png_with_a_picture_of_its_own_for_other_programs(tmp_path: Path, engine: Engine) -> None:
    source = save(tmp_path / "a.png", drawn(4), default_image=True, duration=[40, 50, 60])
    assert count_frames(source) == 3
    convert(source, tmp_path / "b.webp", engine)
    assert frames_of(tmp_path / "b.webp")[1] == [40, 50, 60]


def test_hundredths_add_up() -> None:
    found = hundredths(Timing((33,) * 10 + (4, 4, 4), 1))
    assert sum(found.milliseconds) == 340
    assert set(found.milliseconds[:10]) == {30, 40}
    assert hundredths(Timing((), 0)) == Timing((), 0)


def test_names_and_notes_in_a_folder(tmp_path: Path, engine: Engine) -> None:
    folder = tmp_path / "in"
    for name in ("moving.gif", "moving.png", "moving.webp"):
        save(folder / name, drawn(5))
    drawn()[0].save(folder / "still.gif")
    expected = 255 - np.asarray(drawn()[0])
    for format, names in (
        ("same", ["moving.gif", "moving.png", "moving.webp", "still.png"]),
        ("webp", ["moving.gif.webp", "moving.png.webp", "moving.webp", "still.webp"]),
        ("png", ["moving.gif.png", "moving.png", "moving.webp.png", "still.png"]),
        ("mp4", ["moving.gif", "moving.png", "moving.webp", "still.png"]),
    ):
        out = tmp_path / format
        report = convert_folder(folder, out, engine, Conversion(output_format=format))
        assert report.failed == ()
        assert sorted(path.name for path in out.iterdir() if path.name[0] != ".") == names
        still = [name for name in names if name.endswith(".png") and "still" not in name]
        said = "has 5 frames, but PNG holds only one; use --format webp to keep all"
        assert [note for one in report.noted for note in one.notes] == [
            f"{folder / (name if name.count('.') == 1 else name[:-4])}: {said}" for name in still
        ]
        assert np.abs(read_picture(out / names[-1]).rgb_HWC.astype(int) - expected).mean() < 8
        assert convert_folder(folder, out, engine, Conversion(output_format=format)).skipped == 4


def test_exif_goes_along_or_not(tmp_path: Path, engine: Engine) -> None:
    source = save(tmp_path / "a.webp", drawn(3), exif=exif())
    for metadata, tags in (("keep", {0x010F, 0x8825}), ("no-location", {0x010F}), ("strip", set())):
        convert(source, tmp_path / metadata, engine, metadata=metadata)
        with Image.open(tmp_path / metadata / "a.webp") as image:
            found = read_exif(image.info["exif"].removeprefix(b"Exif\0\0")) if "exif" in image.info else {}
        assert {tag for tag in (0x010F, 0x8825) if tag in found} == tags


def test_a_damaged_one_is_found_before_any_work(tmp_path: Path, engine: Engine) -> None:
    source = save(tmp_path / "in" / "a.gif", [Image.effect_noise((60, 40), 50 + number) for number in range(6)])
    data = source.read_bytes()
    source.write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageError, match=r"^name: damaged picture \([^\n]*\); replace it with a good copy$"):
        survey(source, "name")
    outcome = convert(tmp_path / "in", tmp_path / "out", engine)
    assert outcome.status == "failed"
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".translate.jsonl"]


def test_gif_is_no_format_of_stills(tmp_path: Path, engine: Engine) -> None:
    drawn()[0].save(tmp_path / "a.gif")
    with pytest.raises(DataError, match=r"cannot write \.gif"):
        convert_folder(tmp_path / "a.gif", tmp_path / "b.gif", engine)
    assert count_frames(b"GIF89a") == 1


def test_frames_that_are_alike_are_kept(tmp_path: Path) -> None:
    picture = Picture(np.full((8, 16, 3), 90, np.uint8))
    timing = Timing((50, 60, 70), 0)
    with RowWriter(tmp_path / "a.gif", 8, 16, alpha=False, bits=8, facts=picture, timing=timing) as writer:
        for _ in range(3):
            writer.write(picture)
    assert frames_of(tmp_path / "a.gif")[1] == [50, 60, 70]


def test_short_and_long_times_of_webp(tmp_path: Path, engine: Engine) -> None:
    times = [10, 7, 1, 33, 100, 20_000]
    convert(save(tmp_path / "a.webp", drawn(), duration=times), tmp_path / "b.webp", engine)
    assert frames_of(tmp_path / "b.webp")[1] == times


def test_frames_of_webp_that_are_alike_become_one(tmp_path: Path) -> None:
    """Which is shown as long as all."""
    pictures = [Picture(np.full((8, 16, 3), grey, np.uint8)) for grey in (90, 90, 200, 30, 30, 30)]
    timing = Timing((5, 60, 8, 9, 10, 11), 0)
    with RowWriter(tmp_path / "a.webp", 8, 16, alpha=False, bits=8, facts=pictures[0], timing=timing) as writer:
        for picture in pictures:
            writer.write(picture)
    assert frames_of(tmp_path / "a.webp")[1] == [65, 8, 30]


def apng(depth: int, colour_type: int, transparent: bytes, *rows: bytes) -> bytes:
    """Frames of one row and two pixels."""
    number, chunks = 0, [(b"IHDR", struct.pack(">IIBBBBB", 2, 1, depth, colour_type, 0, 0, 0)), (b"tRNS", transparent)]
    chunks.append((b"acTL", struct.pack(">II", len(rows), 0)))
    for row in rows:
        chunks.append((b"fcTL", struct.pack(">5I2H2B", number, 2, 1, 0, 0, 1, 10, 0, 0)))
        data = zlib.compress(b"\0" + row)
        chunks.append((b"fdAT", struct.pack(">I", number + 1) + data) if number else (b"IDAT", data))
        number += 2 if number else 1
    return png_chunks(*chunks, (b"IEND", b""))


@pytest.mark.parametrize(
    ("depth", "colour_type", "transparent", "other"),
    [
        (2, 0, 1, 2),
        (4, 0, 5, 15),
        (8, 0, 5, 15),
        (16, 0, 300, 400),
        (8, 2, 5, 15),
        (16, 2, 300, 3000),
    ],
)
def test_transparent_level_of_png(depth: int, colour_type: int, transparent: int, other: int) -> None:
    channels = 3 if colour_type else 1

    def row(*levels: int) -> bytes:
        digits = "".join(f"{level:0{depth}b}" * channels for level in levels)
        return int(digits.ljust(8, "0"), 2).to_bytes(max(1, len(digits) // 8), "big")

    data = apng(
        depth,
        colour_type,
        transparent.to_bytes(2, "big") * channels,
        row(transparent, other),
        row(other, transparent),
        row(other, other),
    )
    alpha = [found.to_array()[0, :, 3].tolist() for found in frames(data, "a.png")]
    assert alpha == [[0, 255], [255, 0], [255, 255]]
