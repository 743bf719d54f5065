"""What is said of results, and of what they were made from."""

import hashlib
import json
import subprocess
import sys
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import Any

import c2pa
import numpy as np
import pytest
from conftest import DOUBLE, INVERT, save_model
from made_films import write_film
from PIL import Image

from translate.conversion.folder import Summary, convert_folder
from translate.conversion.huge import convert_huge
from translate.conversion.worker import Conversion
from translate.credentials import sign
from translate.credentials.identity import identity_of
from translate.credentials.library import context
from translate.credentials.manifest import Maker
from translate.credentials.sign import MARK, Signer, has_credentials
from translate.credentials.verify import verify
from translate.errors import ConfigError, ImageError
from translate.inference.engine import Engine
from translate.pictures.encode import Metadata
from translate.pictures.metadata.xmp import with_source_type
from translate.pictures.operations import read_picture
from translate.pictures.pages import count_pages
from translate.tasks import TASKS

pytestmark = pytest.mark.usefixtures("no_watermarks")

ADDRESS = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
CAMERA = b"http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(save_model(tmp_path / "invert.onnx", INVERT), threads=1)


@pytest.fixture
def doubling(tmp_path: Path) -> Engine:
    return Engine(save_model(tmp_path / "double.onnx", DOUBLE), threads=1)


def run(source: Path, out: Path, engine: Engine, metadata: Metadata = "keep", **options: object) -> Summary:
    how = Conversion(credentials="on", metadata=metadata, **options)  # type: ignore[arg-type]
    summary = convert_folder(source, out, engine, how)
    assert not summary.failed
    return summary


def saved(path: Path, image_HWC: np.ndarray, **options: Any) -> Path:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(image_HWC).save(path, **options)
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_what_is_said(tmp_path: Path, doubling: Engine, image_HWC: np.ndarray) -> None:
    source = saved(tmp_path / "in.png", image_HWC)
    run(source, tmp_path / "out", doubling)
    found = verify(tmp_path / "out" / "in.png").credentials
    assert found is not None
    assert found.program.startswith("translate ")
    assert (found.model, found.model_sha256) == ("double", sha256(doubling.path))
    assert found.source_types == ("algorithmicallyEnhanced",)
    assert found.actions[-1] == "c2pa.enhanced"
    (one,) = found.ingredients
    assert (one.title, one.sha256, one.credentials, one.faults) == ("in.png", sha256(source), None, ())
    assert b"thumbnail" not in (tmp_path / "out" / "in.png").read_bytes()


def test_tasks_say_what_they_make() -> None:
    types = {name: task.source_type for name, task in TASKS.items()}
    assert types["sketch-to-photo"] == "trainedAlgorithmicMedia"
    assert types["day-to-night"] == types["night-to-day"] == "compositeWithTrainedAlgorithmicMedia"
    assert types["super-resolution"] == "algorithmicallyEnhanced"


def test_credentials_of_the_input_are_kept(
    tmp_path: Path, engine: Engine, doubling: Engine, image_HWC: np.ndarray
) -> None:
    source = saved(tmp_path / "in" / "a.png", image_HWC)
    run(source.parent, tmp_path / "once", engine)
    run(tmp_path / "once" / "a.png", tmp_path / "twice", doubling)
    verdict = verify(tmp_path / "twice" / "a.png")
    assert (verdict.state, verdict.trusted) == ("valid", True)
    assert verdict.credentials is not None
    (parent,) = verdict.credentials.ingredients
    assert (parent.sha256, parent.faults) == (sha256(tmp_path / "once" / "a.png"), ())
    assert parent.credentials is not None
    assert parent.credentials.model == "invert"
    assert [one.sha256 for one in parent.credentials.ingredients] == [sha256(source)]


def test_a_changed_input_is_recorded_as_changed(tmp_path: Path, engine: Engine, image_HWC: np.ndarray) -> None:
    source = saved(tmp_path / "a.bmp", image_HWC)
    run(source, tmp_path / "once", engine, output_format="png")
    signed = tmp_path / "once" / "a.png"
    data = bytearray(signed.read_bytes())
    data[-1] ^= 1  # the checksum of the last chunk
    signed.write_bytes(data)
    run(signed, tmp_path / "twice", engine)
    verdict = verify(tmp_path / "twice" / "a.png")
    assert verdict.state == "valid"  # this file is as it was signed ...
    assert verdict.credentials is not None
    (parent,) = verdict.credentials.ingredients
    assert parent.faults == ("the file was changed after it was signed",)  # ... but that one was not


@pytest.mark.parametrize("where", ["outermost box", "statement"])
def test_damaged_credentials_of_the_input(where: str, tmp_path: Path, engine: Engine, image_HWC: np.ndarray) -> None:
    source = saved(tmp_path / "a.png", image_HWC)
    run(source, tmp_path / "once", engine)
    data = (tmp_path / "once" / "a.png").read_bytes()
    # Its length; or that of a text, which shows only when the parent is signed along.
    at = data.index(MARK) - 8 if where == "outermost box" else data.index(b"digitalSourceType") - 1
    (tmp_path / "a.png").write_bytes(data[:at] + b"\xff\xff\xff\xff" + data[at + 4 :])
    summary = run(tmp_path / "a.png", tmp_path / "twice", engine)
    verdict = verify(tmp_path / "twice" / "a.png")
    assert verdict.state == "valid"
    assert [note for result in summary.noted for note in result.notes if "are damaged and were left out" in note]


@pytest.mark.parametrize("metadata", ["strip", "no-location"])
def test_nothing_private(metadata: Metadata, tmp_path: Path, engine: Engine, image_HWC: np.ndarray) -> None:
    source = saved(tmp_path / "secret place.png", image_HWC)
    run(source, tmp_path / "once", engine)
    summary = run(tmp_path / "once" / "secret place.png", tmp_path / "twice", engine, metadata)
    result = tmp_path / "twice" / "secret place.png"
    assert b"secret" not in result.read_bytes()
    found = verify(result).credentials
    assert found is not None
    (one,) = found.ingredients
    assert (one.title, one.credentials) == ("", None)
    assert one.sha256 == sha256(tmp_path / "once" / "secret place.png")
    assert ["left out" in note for result in summary.noted for note in result.notes] == [True]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".avif", ".tif"])
@pytest.mark.parametrize("metadata", ["keep", "strip"])
def test_xmp_says_it_too(
    suffix: str, metadata: Metadata, tmp_path: Path, engine: Engine, image_HWC: np.ndarray
) -> None:
    xmp = with_source_type(None, CAMERA.decode()).replace(b"</rdf:RDF>", b"<!-- mine --></rdf:RDF>")
    source = saved(tmp_path / f"in{suffix}", image_HWC, xmp=xmp) if suffix in (".webp", ".avif") else None
    source = source or saved(tmp_path / f"in{suffix}", image_HWC)
    run(source, tmp_path / "out", engine, metadata)
    packet = read_picture(tmp_path / "out" / f"in{suffix}").xmp or b""
    assert packet.count(ADDRESS.encode()) == 1
    assert CAMERA not in packet


@pytest.mark.parametrize(
    "stated",
    [
        b' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" Iptc4xmpExt:DigitalSourceType="%b"/>',
        b' xmlns:x="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"><x:DigitalSourceType>%b</x:DigitalSourceType>'
        b"</r:Description>",
        b' xmlns:x="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"><x:DigitalSourceType r:resource="%b"/>'
        b"</r:Description>",
        b"/>%b",
    ],
    ids=["attribute", "element", "resource", "none"],
)
def test_another_source_type_is_replaced(stated: bytes) -> None:
    body = stated.replace(b"%b", CAMERA) if b"Iptc" in stated else stated.replace(b"%b", b"")
    packet = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    packet += b'<r:Description r:about=""/><r:Description r:about=""' + body + b"</r:RDF></x:xmpmeta>"
    found = with_source_type(packet, ADDRESS)
    assert CAMERA not in found
    assert found.count(ADDRESS.encode()) == 1
    assert found.count(b"r:Description") >= packet.count(b"<r:Description")
    assert with_source_type(found, ADDRESS).count(ADDRESS.encode()) == 1


def test_pages(tmp_path: Path, engine: Engine, image_HWC: np.ndarray) -> None:
    """Of several pages no program could read the last, so that XMP has to do."""
    first, *others = [Image.fromarray(np.roll(image_HWC, shift, axis=1)) for shift in (0, 4)]
    first.save(tmp_path / "in.tif", save_all=True, append_images=others)
    summary = run(tmp_path / "in.tif", tmp_path / "out", engine)
    result = tmp_path / "out" / "in.tif"
    assert count_pages(result) == 2
    verdict = verify(result)
    assert (verdict.state, verdict.declared) == ("none", "trainedAlgorithmicMedia")
    assert ["several pages" in note for result in summary.noted for note in result.notes] == [True]
    run(tmp_path / "in.tif", tmp_path / "first", engine, pages="first")
    assert verify(tmp_path / "first" / "in.tif").state == "valid"


@pytest.mark.parametrize(("name", "declared"), [("a.bmp", ""), ("a.mkv", "trainedAlgorithmicMedia")])
def test_formats_without(name: str, declared: str, tmp_path: Path, engine: Engine, image_HWC: np.ndarray) -> None:
    source = tmp_path / name
    if name.endswith(".bmp"):
        saved(source, image_HWC)
    else:
        write_film(source)
    summary = run(source, tmp_path / "out", engine)
    verdict = verify(tmp_path / "out" / name)
    assert (verdict.state, verdict.declared) == ("none", declared)
    said = [note for result in summary.noted for note in result.notes if "cannot hold content credentials" in note]
    assert len(said) == 1


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_pictures_larger_than_memory(suffix: str, tmp_path: Path, engine: Engine, image_HWC: np.ndarray) -> None:
    source = saved(tmp_path / f"in{suffix}", image_HWC)
    signer = Signer(identity_of("on"), Maker("invert", "", "sketch-to-photo"))
    stamp = signer.stamp("in", source, "00", private=False)
    target = tmp_path / f"out{suffix}"
    convert_huge(source, target, engine, source_type=ADDRESS, finish=stamp.sign_file)
    assert verify(target).state == "valid"
    np.testing.assert_array_equal(read_picture(target).to_array(), 255 - image_HWC)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["invert.onnx", f"in{suffix}", f"out{suffix}"])


def test_too_large_to_sign(tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    write_film(tmp_path / "film.mp4")
    monkeypatch.setattr(sign, "available_memory_bytes", lambda: 100)
    summary = convert_folder(tmp_path / "film.mp4", tmp_path / "out", engine, Conversion(credentials="on"))
    (failed,) = summary.failed
    assert "too few to sign it" in (failed.reason or "")
    assert not list((tmp_path / "out").glob("*film*"))
    assert not list((tmp_path / "out").glob("*.part*"))


def test_what_cannot_be_signed_is_not_written(
    tmp_path: Path, engine: Engine, image_HWC: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise c2pa.C2paError("Other: no")

    monkeypatch.setattr(c2pa.Builder, "sign", refuse)
    source = saved(tmp_path / "a.png", image_HWC)
    (failed,) = convert_folder(source, tmp_path / "out", engine, Conversion(credentials="on")).failed
    assert "cannot be signed (Other: no)" in (failed.reason or "")
    assert not (tmp_path / "out" / "a.png").exists()


def test_without_credentials_nothing_has_changed(tmp_path: Path, engine: Engine, image_HWC: np.ndarray) -> None:
    """Results from before there were credentials stay valid: their digest is that of the other options."""
    how = Conversion()
    options = asdict(how)
    for name in ("credentials", "framing", "pages", "strength", "watermark"):  # what has no effect
        del options[name]
    data = engine.path.read_bytes() + json.dumps(options, sort_keys=True).encode()
    assert how.digest(engine) == hashlib.sha256(data).hexdigest()
    assert how.digest(engine) != Conversion(credentials="on").digest(engine)
    source = saved(tmp_path / "in" / "a.png", image_HWC)
    convert_folder(source.parent, tmp_path / "out", engine)
    assert not has_credentials(tmp_path / "out" / "a.png")
    assert convert_folder(source.parent, tmp_path / "out", engine).skipped == 1
    summary = convert_folder(source.parent, tmp_path / "out", engine, Conversion(credentials="on"))
    assert (summary.converted, has_credentials(tmp_path / "out" / "a.png")) == (1, True)


def test_a_bad_certificate_stops_at_once(tmp_path: Path, engine: Engine, image_HWC: np.ndarray) -> None:
    source = saved(tmp_path / "a.png", image_HWC)
    with pytest.raises(ConfigError, match="cannot be read"):
        convert_folder(source, tmp_path / "out", engine, Conversion(credentials=str(tmp_path / "none.pem")))
    assert not (tmp_path / "out").exists()


def test_zip_archives(tmp_path: Path, engine: Engine, image_HWC: np.ndarray) -> None:
    import zipfile

    saved(tmp_path / "in" / "a.jpg", image_HWC)
    run(tmp_path / "in", tmp_path / "out.zip", engine)
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        archive.extract("a.jpg", tmp_path)
    assert verify(tmp_path / "a.jpg").state == "valid"


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"none\.png: cannot be read"):
        verify(tmp_path / "none.png")


def test_the_files_of_others_name_no_model(image_HWC: np.ndarray, tmp_path: Path) -> None:
    """A manifest as another program writes it: an older list of actions, an agent that is only text."""
    signer = Signer(identity_of("on"), Maker("", "", ""))
    claim = {
        "claim_generator_info": [{"name": "Paint\x1b[31m", "version": "3"}],
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [
            {"action": "c2pa.created", "softwareAgent": {"name": "Painter"},
             "digitalSourceType": "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCreation"}]}}],
    }  # fmt: skip
    encoded, result = BytesIO(), BytesIO()
    Image.fromarray(image_HWC).save(encoded, "PNG")
    with c2pa.Builder(json.dumps(claim), context(checks=False)) as builder:
        builder.sign(signer.native, "image/png", encoded, result)
    path = tmp_path / "theirs.png"
    path.write_bytes(result.getvalue())
    found = verify(path).credentials
    assert found is not None
    assert found.program == r"Paint\x1b[31m 3"  # no codes for the terminal
    assert (found.model, found.model_sha256, found.ingredients) == ("Painter", "", ())
    assert found.source_types == ("digitalCreation",)


def test_importing_costs_nothing() -> None:
    code = (
        "import sys, translate.cli.convert, translate.credentials.verify, translate.cli.verify\n"
        "assert not {'c2pa', 'cryptography'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
