"""Good inputs for every target, a few KB each, made here: nothing is read from elsewhere."""

import io
import json
import pickle
import struct
import tempfile
import zipfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import page_requests
from conftest import DOUBLE, INVERT, save_model
from made_files import DISPLAY_P3, XMP, exif, icc_profile, png, png_chunks, saved, smooth, whole_files
from onnx import helper
from PIL import Image

from translate.spec import METADATA_KEY, ModelSpec


@cache
def pictures() -> Sequence[bytes]:
    """Every format that is read, and files of several pages or frames."""
    image = Image.fromarray(smooth())
    found = list(whole_files().values())
    others = {"JPEG2000": {}, "PPM": {}, "PCX": {}, "TGA": {}, "ICO": {"sizes": [(16, 16)]}, "QOI": {}}
    for kind, options in others.items():
        found.append(saved(image, kind, **options))
    moving = [Image.fromarray(np.roll(smooth(), 5 * number, axis=1)) for number in range(3)]
    several: dict[str, Any] = {"save_all": True, "append_images": moving[1:]}
    for kind in ("GIF", "PNG", "WEBP", "AVIF", "TIFF", "MPO"):
        found.append(saved(moving[0], kind, **several))
    found.append(saved(image.convert("CMYK"), "JPEG"))
    found.append(saved(image.convert("P"), "PNG", transparency=3))
    found.append(saved(image, "JPEG", progressive=True))
    cicp = (b"cICP", bytes([12, 13, 0, 1])), (b"gAMA", struct.pack(">I", 45455))
    found += [png(smooth(), 2, chunk) for chunk in cicp] + [png(smooth(16), 2, cicp[0])]
    return found


@cache
def for_bands() -> Sequence[bytes]:
    """Formats that are read from the top."""
    return [data for data in pictures() if data[:2] in (b"\x89P", b"\xff\xd8", b"II", b"MM")]


@cache
def metadata() -> Sequence[bytes]:
    """A letter, and a block of EXIF, XMP, IPTC or a colour profile."""
    iptc = b"\x1c\x02\x05\0\5Title\x1c\x02\x5a\0\6Berlin\x1c\x01\x5a\0\3\x1b%G"
    thumbnail = saved(Image.new("RGB", (8, 8)), "JPEG")
    return [
        *(b"E" + exif(6, order=order, thumbnail=thumbnail) for order in "<>"),
        b"E" + exif(3),
        b"X" + XMP,
        b"T" + iptc,
        *(b"C" + icc_profile(columns, gamma) for columns, gamma in ((DISPLAY_P3, None), (DISPLAY_P3, 2.2))),
    ]


@cache
def films() -> Sequence[bytes]:
    """Films of five small frames in every container."""
    from made_films import clip, write_film

    found: list[bytes] = []
    with tempfile.TemporaryDirectory() as folder:
        for number, suffix in enumerate((".mp4", ".mkv", ".webm", ".mov", ".avi")):
            codec = {".avi": "mpeg4", ".mov": "mjpeg"}.get(suffix)
            path = Path(folder, f"a{suffix}")
            options: dict[str, Any] = {"codec": codec, "tags": {"title": "a"}}
            if codec == "mjpeg":
                options["pix_fmt"] = "yuvj420p"
            sound = "aac" if number == 0 else None
            found.append(write_film(path, clip(5, 32, 48), sound=sound, **options).read_bytes())
    return found


@cache
def specs() -> Sequence[bytes]:
    """Descriptions of models, with every field in one of them."""
    full = ModelSpec(
        name="full", task="sketch-to-photo", architecture="a", labels=("shoe", "bag"), style_size=5,
        style_kind="colours", default_style=(0.1, 0, 0, 0, 0), detail=True, fixed={"detail": "0.5"}, receptive_field=40,
        working_size=64, content_share=0.8, scene_size=256, metrics={"psnr_db": 20.0}, parameters=5, gmacs_256=0.1,
    )  # fmt: skip
    placed = ModelSpec(name="p", task="sketch-to-photo", architecture="", working_size=32, content_share=0.5)
    scene = ModelSpec(name="s", task="day-to-night", architecture="", scene_size=32)
    return [one.to_json().encode() for one in (INVERT, DOUBLE, full, placed, scene)]


def model_with(spec: bytes) -> bytes:
    """A model that inverts colours, with this description."""
    made = onnx.load_from_string(model_files()[0])
    helper.set_model_props(made, {METADATA_KEY: spec.decode("utf-8", "replace")})
    return made.SerializeToString()


def _model(spec: ModelSpec = INVERT) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return save_model(Path(folder, "m.onnx"), spec).read_bytes()


@cache
def model_files() -> Sequence[bytes]:
    """Two models."""
    return [_model(), _model(DOUBLE), b"PK\x03\x04" + bytes(30), b"\x80\x02}q\0."]


@cache
def manifests() -> Sequence[bytes]:
    """Lines about processes and results."""
    import platform

    entry = {"source": "a.png", "size": 10, "modified_ns": 5, "input": "ab", "made_by": "cd", "target": "a.png"}
    host = platform.node()
    lines: list[dict[str, Any]] = [
        {"begun": "0a1b2c3d", "host": host, "pid": 2**22 - 1}, entry, {**entry, "source": "b.png", "target": "b.png"},
        {"ended": "0a1b2c3d"}, {"begun": "4e5f6071", "host": host, "pid": 2**22 - 2},
    ]  # fmt: skip
    return [b"".join(json.dumps(line).encode() + b"\n" for line in lines)]


@cache
def archives() -> Sequence[bytes]:
    """Archives, packed and plain, with names of several kinds."""
    found: list[bytes] = []
    picture = png(smooth(), 2)
    for kind in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", kind) as archive:
            for name in ("a.png", "folder/é.png", "folder/", "b"):
                archive.writestr(name, b"" if name.endswith("/") else picture)
            archive.comment = b"made by hand"
        found.append(file.getvalue())
    return found


@cache
def checkpoints() -> Sequence[bytes]:
    """A tiny U-Net as tensors by name: what torch writes, now and formerly, and safetensors."""
    import torch
    from classic_networks import BATCH, TheirUNet
    from safetensors.torch import save

    torch.manual_seed(0)
    state = TheirUNet(3, 1, BATCH).state_dict()
    found: list[bytes] = []
    for held, options in (
        (state, {}),
        ({"netG_A": state, "netD": state}, {}),
        (state, {"_use_new_zipfile_serialization": False}),
    ):
        file = io.BytesIO()
        torch.save(held, file, **options)
        found.append(file.getvalue())
    enlarger = {"body.0.weight": torch.zeros(4, 3, 3, 3), "body.0.bias": torch.zeros(4)}
    return [*found, save(state), save(enlarger), pickle.dumps({"a": [1]}, protocol=2)]


@cache
def run_files() -> Sequence[bytes]:
    """A letter, and a file of a training run."""
    import torch
    from safetensors.torch import save

    from translate.trainers.pix2pix import Pix2PixConfig
    from translate.training.snapshot import FORMAT, HEADER_KEY

    config = json.loads(json.dumps(Pix2PixConfig().settings()))
    header = {
        "format": FORMAT, "task": "pix2pix", "trainer": "translate.trainers.pix2pix:Pix2Pix", "config": config,
        "data": "x", "images_seen": 5, "steps": 1, "seconds_used": 1.0, "best": {"metric": "psnr", "value": 1.0},
    }  # fmt: skip
    lines: list[dict[str, Any]] = [
        {"event": "start", "images": 0, "pictures": {"train": 5, "held_out": 1}},
        {"event": "progress", "images": 10, "bad_steps": 1, "share": 0.5, "seconds": 1.0, "images_per_second": 5.0,
         "losses": {"generator.l1": 0.5, "discriminator": 1.0}},
        {"event": "validation", "images": 10, "metrics": {"psnr_db": 20.0}},
        {"event": "warning", "images": 10, "name": "collapse", "text": "a", "lit": True},
        {"event": "rejected", "file": "a.png: damaged"},
        {"event": "start", "images": 5},
    ]  # fmt: skip
    asked = {**page_requests.QUESTION, "started": "2024-01-01T00:00:00"}
    return [
        b"S" + save({"a": torch.zeros(1)}, {HEADER_KEY: json.dumps(header)}),
        b"L" + b"\n".join(json.dumps(line).encode() for line in lines),
        b"P" + json.dumps(asked).encode(),
        b"M" + json.dumps({"psnr_db": 18.2, "ssim": 1}).encode(),
        b"J" + json.dumps(config).encode(),
    ]


@cache
def requests() -> Sequence[bytes]:
    """One for each route."""
    return page_requests.requests(png(smooth(), 2), archives()[1])


@cache
def events() -> Sequence[bytes]:
    """One of each kind."""
    return page_requests.events()


@cache
def names() -> Sequence[bytes]:
    """Lists of names, one a line."""
    from mutations import ODD_TEXTS

    odd = "\n".join(text for text in ODD_TEXTS if "\n" not in text)
    usual = "a.png\nA.PNG\na.jpg\ncon.png\n1,2\n2-3\n1h30m\n{stem}-{model}"
    return [odd.encode("utf-8", "surrogatepass"), usual.encode(), png_chunks((b"IHDR", b"\n" * 9))]
