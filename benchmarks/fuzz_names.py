"""Sends odd file names through conversion, archives, dry runs, the check of data and the listing for training.

    python benchmarks/fuzz_names.py --tries 20000

Every file is a good picture of 16 x 16 pixels, and only its name is odd: random bytes, up to 255 of them, reserved
names of Windows, dots and spaces at the end, line breaks, emoji, combining and right-to-left characters, markup. Each
has to be converted once and skipped the second time, under a name of its own; output goes to an ASCII stream. Prints
what was done, or the seed and the number of the first folder that fails.
"""

import argparse
import contextlib
import io
import json
import os
import random
import struct
import tempfile
import time
import unicodedata
import zipfile
import zlib
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from PIL import Image

from translate.cli.main import main as translate
from translate.conversion.folder import Summary, convert_folder
from translate.conversion.manifest import FILE_NAME
from translate.conversion.worker import Conversion
from translate.data.layouts import list_files, list_pictures
from translate.data.split import hold_out
from translate.inference.engine import Engine
from translate.spec import METADATA_KEY, ModelSpec

IN_A_FOLDER = 50
"""Names tried together, so that they also have to stay apart."""

ODD = (
    "CON", "con", "NUL", "aux.txt", "COM1", "LPT9", "a. ", "b..", " ", "..x", "-rf", "--model", "~", "$(x)", "`x`",
    "%s", "{stem}", "{0}", "[/b]", "[red]", "'", '"', "a\nb", "\r", "\t", "\x1b[31m", "\x7f", "\u2028", "\u202egnp",
    "\ufeff", "a\\b", "a:b", "C:x", "*", "?", "<|>", "\U0001f469\u200d\U0001f467", "e\u0301", "é", "ﬁ", "İ", "ß", "SS",
    "Å", "한글", "写真", "\u0627", "\u0301", "a#b", "a%20b", "http:x", "s3:", "a;b", "null", "0", "True",
)  # fmt: skip
RANGES = ((32, 0x250), (0x300, 0x3100), (0x1F300, 0x1FA00))
"""Letters, combining characters and other scripts, emoji."""

TEMPLATES = ("{stem}", "{stem}", "{stem}-{model}", "{model}{stem}{scale}", "x" * 150 + "{stem}")
SUFFIXES = (".png", ".PNG", ".Png", ".jpg", ".webp", ".bmp", ".tif")


def random_name(dice: random.Random) -> bytes:
    """The name of a picture, not hidden, at most 255 bytes."""
    kind = dice.randrange(5)
    longest = 255 - 4
    length = dice.choice((1, 2, 5, 20, 100, 250, longest, dice.randint(1, longest)))
    if kind == 0:
        stem = bytes(dice.choice([n for n in range(1, 256) if n != ord("/")]) for _ in range(length))
    elif kind == 1:
        stem = dice.choice(ODD).encode()
    elif kind == 2:
        stem = "".join(dice.choice(ODD) for _ in range(dice.randint(1, 30))).encode()
    elif kind == 3:
        stem = bytes([dice.choice(b"abAB")]) * length
    else:
        stem = "".join(chr(dice.randrange(*dice.choice(RANGES))) for _ in range(length)).encode()
    suffix = dice.choice(SUFFIXES).encode()
    stem = stem.replace(b"/", b"_").replace(b"\0", b"_")[: 255 - len(suffix)]
    return (b"_" + stem[1:] if stem.startswith(b".") else stem) + suffix


def invert_model(path: Path) -> Path:
    """A model that inverts the colours."""
    graph = helper.make_graph(
        [helper.make_node("Sub", ["white", "image"], ["output"])],
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", "H", "W", 3])],
        [helper.make_tensor_value_info("output", TensorProto.UINT8, ["N", "H", "W", 3])],
        [helper.make_tensor("white", TensorProto.UINT8, [1], [255])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    spec = ModelSpec(name="invert", task="sketch-to-photo", architecture="255 - x")
    helper.set_model_props(model, {METADATA_KEY: spec.to_json()})
    onnx.save(model, path)
    return path


def picture_bytes(dice: random.Random) -> bytes:
    """A PNG that no other equals; what the bytes are decides, not the suffix."""
    file = io.BytesIO()
    Image.fromarray(np.frombuffer(dice.randbytes(16 * 16 * 3), np.uint8).reshape(16, 16, 3)).save(file, "PNG")
    return file.getvalue()


def raw_archive(path: Path, names: list[bytes], data: bytes) -> None:
    """An archive with these bytes as names, at random marked as UTF-8 or not."""
    body, listed = io.BytesIO(), io.BytesIO()
    for number, name in enumerate(names):
        sizes = (len(data), len(data), len(name), 0)
        facts = struct.pack("<HHHHIIIHH", 0x800 * (number % 2), 0, 0, 33, zlib.crc32(data), *sizes)
        start = body.tell()
        body.write(b"PK\3\4" + struct.pack("<H", 20) + facts + name + data)
        listed.write(b"PK\1\2" + struct.pack("<HH", 20, 20) + facts + struct.pack("<HHHII", 0, 0, 0, 0, start) + name)
    end = struct.pack("<HHHHIIH", 0, 0, len(names), len(names), len(listed.getvalue()), body.tell(), 0)
    path.write_bytes(body.getvalue() + listed.getvalue() + b"PK\5\6" + end)


def command(*arguments: object) -> tuple[int, list[str]]:
    """Status and lines of `translate` with the arguments, written to an ASCII stream."""
    out, errors = (io.TextIOWrapper(io.BytesIO(), encoding="ascii") for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        status = translate([str(argument) for argument in arguments])
    errors.flush()
    assert "Traceback" not in errors.buffer.getvalue().decode("ascii")  # pyright: ignore[reportAttributeAccessIssue]
    out.flush()
    return status, out.buffer.getvalue().decode("ascii").split("\n")[:-1]  # pyright: ignore[reportAttributeAccessIssue]


def results(folder: Path) -> list[str]:
    """Files in a folder of results, each with a name that every disk takes."""
    found = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    found = [name for name in found if name != FILE_NAME]
    assert all(len(os.fsencode(part)) <= 255 for name in found for part in name.split("/"))
    assert len({unicodedata.normalize("NFC", name).casefold() for name in found}) == len(found)
    return found


def check_summary(report: Summary, converted: int, skipped: int = 0) -> None:
    """Raise unless these are the numbers, and no error was unforeseen."""
    assert report.log is None, report.log.read_text()
    assert (report.converted, report.skipped, report.failed) == (converted, skipped, ()), report


def try_folder(folder: Path, dice: random.Random, count: int, engine: Engine) -> int:
    """Try `count` names in one folder; returns how many of them the file system takes."""
    source, task = folder / "in", ["--task", "super-resolution"]
    below = source / os.fsdecode(random_name(dice)).removesuffix(".png")
    names = sorted({random_name(dice) for _ in range(count)})
    for number, name in enumerate(names):
        place = below if number % 4 == 0 else source
        with contextlib.suppress(OSError):  # below, a name may be too long for the system's limit of paths
            place.mkdir(parents=True, exist_ok=True)
            (place / os.fsdecode(name)).write_bytes(picture_bytes(dice))
    files = list_pictures(source)
    made = len(files)
    how = Conversion(name=dice.choice(TEMPLATES), output_format=dice.choice(("same", "png")))
    options = ["--model", engine.path, "--device", "cpu", "--name", how.name, "--format", how.output_format]

    status, lines = command("convert", source, folder / "out", *options, "--dry-run")
    assert (status, lines[-1], len(lines)) == (0, f"{made} to convert, 0 to skip", made + 1), lines
    check_summary(convert_folder(source, folder / "out", engine, how), made)
    check_summary(convert_folder(source, folder / "out", engine, how), 0, made)
    assert len(results(folder / "out")) == made
    status, lines = command("convert", source, folder / "out", *options, "--json")
    assert json.loads(lines[-1])["skipped"] == made

    check_summary(convert_folder(source, folder / "out.zip", engine, how), made)
    with zipfile.ZipFile(folder / "out.zip") as archive:
        inside = archive.namelist()
    assert len(inside) == len(set(inside)) == made
    plain = sum("\\" not in name for name in inside)  # the others name folders, or hidden files, in an archive
    back = convert_folder(folder / "out.zip", folder / "back", engine)
    assert back.log is None, back.log.read_text()
    assert plain <= back.converted + len(back.failed) <= made, (plain, back, made)
    assert all("outside the archive" in str(failure.reason) for failure in back.failed)

    raw_archive(folder / "raw.zip", [dice.choice((b"", b"x\\", b"../", b"/", b"y/")) + name for name in names],
                picture_bytes(dice))  # fmt: skip
    raw = convert_folder(folder / "raw.zip", folder / "raw", engine, how)
    assert raw.log is None, raw.log.read_text()
    assert raw.converted == len(results(folder / "raw"))
    assert {path.name for path in folder.iterdir()} == {
        "in",
        "out",
        "out.zip",
        "back",
        "raw.zip",
        "raw",
    }  # nothing outside

    listing = list_files(source, layout="auto", paired=True, makes_source=True)
    train, held = hold_out(listing)
    assert sorted((*train.targets, *held.targets)) == sorted(listing.targets) == files
    for extra in ([], ["--json"]):
        status, lines = command("data", "check", source, *task, *extra)
        assert status == 1, lines  # pictures this small are found fault with
    return made


def fuzz(tries: int, seed: int) -> tuple[int, int]:
    """Try this many names; returns how many files there were, and how many folders.

    Raises:
        AssertionError: with the seed of the folder.
    """
    files = folders = 0
    with tempfile.TemporaryDirectory() as top:
        engine = Engine(invert_model(Path(top, "m.onnx")), threads=1, device="cpu")
        while folders * IN_A_FOLDER < tries:
            with tempfile.TemporaryDirectory(dir=top) as folder:
                try:
                    count = min(IN_A_FOLDER, tries - folders * IN_A_FOLDER)
                    files += try_folder(Path(folder), random.Random(f"{seed} {folders}"), count, engine)
                except Exception as error:
                    error.add_note(f"folder {folders} of seed {seed}")
                    raise
            folders += 1
    return files, folders


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    wall, used = time.perf_counter(), time.process_time()
    files, folders = fuzz(options.tries, options.seed)
    wall, used = time.perf_counter() - wall, time.process_time() - used
    print(f"{options.tries} names, {files} files in {folders} folders, no fault; {wall:.0f} s, {used:.0f} s of CPU")


if __name__ == "__main__":
    main()
