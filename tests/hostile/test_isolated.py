"""Uploads are read in processes of their own: with the same result, and with an end to time, memory and trust."""

import dataclasses
import errno
import gc
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import bombs
import numpy as np
import pytest
from made_files import saved, smooth, whole_files
from PIL import Image
from programs import until

from translate.errors import ImageError, TooLarge
from translate.pictures import isolated, isolated_child
from translate.pictures.decoder import IN_PROCESS
from translate.pictures.isolated import IsolatedDecoder
from translate.pictures.operations import Picture, encode

NOT_READ = r"^a\.png: cannot be read within \S+ s and \S+ GB of memory; save it again with another program, or make it"


@pytest.fixture(scope="module")
def reader() -> Generator[IsolatedDecoder]:
    found = IsolatedDecoder()
    yield found
    found.close()


def same(one: Picture, other: Picture) -> bool:
    arrays = [(getattr(one, name), getattr(other, name)) for name in ("rgb_HWC", "alpha_HW")]
    rest = [field.name for field in dataclasses.fields(Picture) if field.name not in ("rgb_HWC", "alpha_HW")]
    return all(
        np.array_equal(a, b) and getattr(a, "dtype", None) == getattr(b, "dtype", None) for a, b in arrays
    ) and all(getattr(one, name) == getattr(other, name) for name in rest)


@pytest.mark.parametrize("name", whole_files())
def test_the_same_as_in_this_process(name: str, reader: IsolatedDecoder, tmp_path: Path) -> None:
    data = whole_files()[name]
    (tmp_path / name).write_bytes(data)
    for given in (data, tmp_path / name):
        for bits in (8, 16):
            assert same(reader.decode(given, name, bits=bits), IN_PROCESS.decode(given, name, bits=bits))
        assert reader.stated(given, name, 100) == IN_PROCESS.stated(given, name, 100)
        assert reader.count_frames(given) == IN_PROCESS.count_frames(given)
        assert reader.count_pages(given) == IN_PROCESS.count_pages(given)
        assert reader.jpeg_quality(given) == IN_PROCESS.jpeg_quality(given)


def animation(frames: int = 4) -> bytes:
    first, *others = (Image.fromarray(np.roll(smooth(), shift, axis=1)) for shift in range(frames))
    return saved(first, "WebP", save_all=True, append_images=others, duration=40, lossless=True)


def test_animations(reader: IsolatedDecoder) -> None:
    data = animation()
    found, expected = reader.survey(data, "a.webp"), IN_PROCESS.survey(data, "a.webp")
    assert same(found.facts, expected.facts)
    assert dataclasses.replace(found, facts=expected.facts) == expected
    pairs = zip(reader.frames(data, "a.webp"), IN_PROCESS.frames(data, "a.webp"), strict=True)
    assert [same(*pair) for pair in pairs] == [True] * 4
    with closing(reader.frames(data, "a.webp")) as frames:  # whoever stops early leaves a process that can go on
        next(frames)
    assert reader.count_frames(data) == 4


def test_texts_and_profiles_arrive(reader: IsolatedDecoder) -> None:
    picture = IN_PROCESS.decode(encode(Picture(smooth()), ".png"))
    data = bombs.png_with(b"zTXt", depth=16, length=5000)
    found = reader.decode(data)
    assert [one.text for one in found.texts] == ["a" * 5000]
    assert same(reader.decode(encode(picture, ".png")), picture)


def test_errors_are_those_of_the_decoder(reader: IsolatedDecoder, tmp_path: Path) -> None:
    for data, name in (
        (b"GIF89a", "a.gif"),
        (b"no picture", "b.png"),
        (b"", "c.png"),
        (tmp_path / "none.png", "d.png"),
    ):
        with pytest.raises(ImageError) as expected:
            IN_PROCESS.decode(data, name)
        with pytest.raises(ImageError) as found:
            reader.decode(data, name)
        assert str(found.value) == str(expected.value)
    with pytest.raises(TooLarge, match=r"^e\.png: 60000 x 60000 pixels is too large") as large:
        reader.decode(bombs.png_of_empty_sides(), "e.png", max_pixels=1000)
    assert (large.value.height, large.value.width) == (60_000, 60_000)


def test_a_process_answers_many_requests_and_is_replaced_when_it_died(reader: IsolatedDecoder) -> None:
    data = encode(Picture(smooth()), ".png")
    reader.decode(data)
    (first,) = reader._idle  # pyright: ignore[reportPrivateUsage]
    reader.decode(data)
    assert reader._idle == [first]  # pyright: ignore[reportPrivateUsage]
    first.process.kill()
    first.process.wait()
    assert reader.decode(data).height == 24
    (second,) = reader._idle  # pyright: ignore[reportPrivateUsage]
    assert second is not first


def test_memory_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sound picture of 900 MB; 200 MB are allowed. The next picture is read."""
    if sys.platform != "linux":
        pytest.skip("other systems do not limit the address space")
    monkeypatch.setattr(isolated, "BYTES_PER_16_BIT_PIXEL", 0)
    with closing(IsolatedDecoder(spare_bytes=200 << 20)) as reader:
        with pytest.raises(ImageError, match=r"^a\.png: not enough memory to decode it"):
            reader.decode(bombs.png_of_true_sides(), "a.png", max_pixels=10**9)
        assert reader.decode(encode(Picture(smooth()), ".png"), max_pixels=1000).height == 24


def test_time_has_an_end() -> None:
    """A sound picture of 100 megapixels takes longer than that."""
    with closing(IsolatedDecoder(seconds=0.05)) as reader:
        with pytest.raises(ImageError, match=NOT_READ):
            reader.decode(bombs.png_of_true_sides(10_000), "a.png", max_pixels=10**9)
        reader.seconds = 30.0
        assert reader.decode(encode(Picture(smooth()), ".png")).height == 24


ANSWERS = {
    "nothing, for ever": "time.sleep(600)",
    "nothing": "sys.exit()",
    "garbage": "out.write(b'\\xff' * 100)",
    "no JSON": "out.write(b'\\5\\0\\0\\0hello')",
    "a list": "say([1])",
    "deep JSON": "text = b'[' * 10**6; out.write(len(text).to_bytes(4, 'little') + text)",
    "a length without an end": "out.write((2**32 - 1).to_bytes(4, 'little'))",
    "half a message": "out.write((1000).to_bytes(4, 'little') + b'{')",
    "no picture": "say({})",
    "another picture than wanted": "say(picture | {'shape': [1 << 20, 1 << 20]})",
    "a picture without rows": "say(picture | {'shape': [0, 4]})",
    "negative sides": "say(picture | {'shape': [-2, -2]})",
    "sides that are no numbers": "say(picture | {'shape': [True, '4']})",
    "another type": "say(picture | {'dtype': 'object'})",
    "more bits than wanted": "say(picture | {'dtype': 'uint16'})",
    "fewer pixels than promised": "say(picture); out.write(bytes(7))",
    "a profile of a terabyte": "say(picture | {'blobs': {'icc': 1 << 40}})",
    "a profile of a negative length": "say(picture | {'blobs': {'icc': -1}})",
    "notes that are no texts": "say(picture | {'notes': [{}]})",
    "very many notes": "say(picture | {'notes': ['a'] * 10_000})",
    "texts with other fields": "say(picture | {'texts': [['a']]})",
    "an infinite size": "say(picture | {'size': {'height': float('inf'), 'width': 1, 'absolute': True}})",
    "a size that is none": "say(picture | {'size': 'large'})",
    "too large without a size": "say({'too_large': 'x'})",
}
HOSTILE = """
import json, sys, time
out = sys.stdout.buffer
def say(message):
    body = json.dumps(message).encode()
    out.write(len(body).to_bytes(4, "little") + body)
    out.flush()
picture = {
    "shape": [2, 2], "dtype": "uint8", "alpha": False, "blobs": {}, "notes": [], "size": None, "texts": [], "pages": 1
}
say({"ready": True})
sys.stdin.buffer.read(4)
"""


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_process_that_was_taken_over(answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may answer whatever it likes: the parent takes no memory for it, and says one line."""
    monkeypatch.setattr(isolated, "_START", HOSTILE + ANSWERS[answer] + "\nout.flush()")
    with closing(IsolatedDecoder(seconds=1.0 if "ever" in answer else 30.0)) as reader:
        with pytest.raises(ImageError, match=NOT_READ):
            reader.decode(bytes(100), "a.png", max_pixels=100)
        assert reader._idle == []  # pyright: ignore[reportPrivateUsage]


def test_what_it_says_is_one_line_about_this_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolated, "_START", HOSTILE + "say({'error': 'b.png:\\n\\x1b[31m' + 'x' * 10**6})")
    with closing(IsolatedDecoder()) as reader, pytest.raises(ImageError) as found:
        reader.decode(b"", "a.png", max_pixels=100)
    assert str(found.value).startswith("a.png: b.png:\\n\\x1b[31mxxx")
    assert len(str(found.value)) < 1100


def test_a_process_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolated, "_START", "raise SystemExit")
    with (
        closing(IsolatedDecoder()) as reader,
        pytest.raises(ImageError, match=r"^pictures cannot be read: the process"),
    ):
        reader.decode(b"", "a.png")


def test_a_process_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many processes are running, for example."""

    def full(*_: Any, **__: Any) -> Any:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(isolated.subprocess, "Popen", full)
    message = r"^pictures cannot be read: the process that reads them does not start \(Resource temporarily unav"
    with closing(IsolatedDecoder()) as reader, pytest.raises(ImageError, match=message):
        reader.decode(b"", "a.png")


def test_every_frame_has_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """An animation of thousands of frames takes longer than one of them may."""
    limits: list[float] = []

    class Asking:
        """A channel that asks for one frame after the other."""

        def receive(self) -> dict[str, str]:
            return {"do": "next"}

        def send_picture(self, _: Any) -> None:
            limits.append(0.0)

        def send(self, _: Any) -> None:
            limits.append(-1.0)

    monkeypatch.setattr(isolated_child, "_limit_time", limits.append)
    request = {"do": "frames", "name": "a.webp", "seconds": 7.0}
    isolated_child._answer(Asking(), request, animation())  # pyright: ignore[reportPrivateUsage, reportArgumentType]
    assert limits == [0.0, 7.0] * 4 + [-1.0]


LIMITED = """
import os, resource, sys
from translate.pictures import isolated_child
def answer(channel, request, data):
    try:
        open({path!r}, "wb", buffering=0).write(b"x" * 10)
        written = True
    except OSError:
        written = False
    files = []
    try:
        while len(files) < 1000:
            files.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        pass
    count = len(files)
    for one in files:
        os.close(one)
    secret = "SECRET" in os.environ or "PYTHONPATH" in os.environ
    heavy = [name for name in ("torch", "onnxruntime", "gradio") if name in sys.modules]
    channel.send(dict(error=f"{{written}} {{count < 64}} {{secret}} {{heavy}} {{os.getcwd()}}"))
isolated_child._answer = answer
isolated_child.main()
"""


def test_what_it_may_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write no file, open few, and see neither the environment nor the models."""
    pytest.importorskip("resource")
    monkeypatch.setenv("SECRET", "x")
    start = isolated._START.partition("; from")[0]  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(isolated, "_START", start + LIMITED.format(path=str(tmp_path / "written")))
    with closing(IsolatedDecoder()) as reader, pytest.raises(ImageError) as found:
        reader.decode(b"", "a.png")
    assert str(found.value) == f"a.png: False True False [] {Path(sys.executable).anchor}"
    assert (tmp_path / "written").read_bytes() == b""


def test_it_ends_with_its_parent(tmp_path: Path) -> None:
    """Also when that is killed."""
    code = (
        "import sys, time; from translate.pictures.isolated import IsolatedDecoder; r = IsolatedDecoder(); "
        "r.count_pages(b''); print(r._idle[0].process.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert Path(f"/proc/{child}").exists() or sys.platform != "linux"
        parent.kill()
    if sys.platform == "linux":
        until(lambda: not _runs(child))


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_it_ends_when_nobody_needs_it() -> None:
    reader: Any = IsolatedDecoder()
    reader.count_pages(b"")
    (child,) = reader._idle
    del reader
    gc.collect()
    assert child.process.returncode is not None


def test_others_do_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a picture of one user takes all of its time, those of others are read."""
    said: list[str] = []
    hanging: list[Any] = []

    def hang() -> None:
        try:
            reader.decode(b"", "slow.png", max_pixels=100)
        except ImageError as error:
            said.append(str(error))

    with closing(IsolatedDecoder()) as reader:
        begin = isolated._Child.__init__  # pyright: ignore[reportPrivateUsage]

        def noticed(child: Any) -> None:
            begin(child)
            hanging.append(child)

        with monkeypatch.context() as patch:
            patch.setattr(isolated, "_START", HOSTILE + "time.sleep(600)")
            patch.setattr(isolated._Child, "__init__", noticed)  # pyright: ignore[reportPrivateUsage]
            thread = threading.Thread(target=hang)
            thread.start()
            until(lambda: hanging)
        assert reader.decode(encode(Picture(smooth()), ".png")).height == 24
        assert said == []
        hanging[0].process.kill()
        thread.join()
    assert [line.partition(":")[0] for line in said] == ["slow.png"]


def test_a_process_may_be_started_before_it_is_needed() -> None:
    reader: Any = IsolatedDecoder()
    reader.start()
    until(lambda: len(reader._idle) == 1)
    (child,) = reader._idle
    reader.decode(encode(Picture(smooth()), ".png"))
    assert reader._idle == [child]
    reader.close()
    assert child.process.returncode is not None
