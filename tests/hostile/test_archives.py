"""Archives that are made to harm, sent as a batch and converted on the command line.

Names that lead out, links, devices, encrypted members and sizes that lie: `tests/page/test_ui_batch_refused.py`,
`tests/conversion/test_bad_names.py`.
"""

import io
import resource
import struct
import zipfile
from pathlib import Path

import pytest
from bombs import GIBIBYTE, inflating
from conftest import INVERT, save_model
from made_files import saved
from PIL import Image

from translate.conversion.folder import convert_folder
from translate.conversion.sources import ZipSource
from translate.inference.engine import Engine
from ui.batch import uploads
from ui.refused import Refused

PNG = saved(Image.new("RGB", (8, 8), (1, 2, 3)), "PNG")


def packed(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


def raw_member(name: str, stream: bytes, size: int, method: int = 8) -> bytes:
    """An archive of one packed member that says it has `size` bytes unpacked."""
    encoded = name.encode()
    facts = struct.pack("<HHHHHLLLHH", 20, 0, method, 0, 33, 0, len(stream), size, len(encoded), 0)
    local = b"PK\3\4" + facts + encoded + stream
    central = b"PK\1\2\x14\0" + facts + struct.pack("<HHHLL", 0, 0, 0, 0, 0) + encoded
    end = b"PK\5\6" + struct.pack("<HHHHLLH", 0, 0, 1, 1, len(central), len(local), 0)
    return local + central + end


def reason(content: bytes, path: Path) -> str:
    path.write_bytes(content)
    with pytest.raises(Refused) as found:
        uploads.check_archive(path, path.name)
    return str(found.value)


def converted(content: bytes, folder: Path) -> tuple[list[str], list[str]]:
    """Names of the results of `translate convert`, and reasons of failures."""
    (folder / "in.zip").write_bytes(content)
    engine = Engine(save_model(folder / "invert.onnx", INVERT), threads=1)
    summary = convert_folder(folder / "in.zip", folder / "out", engine, workers=1)
    names = [str(path.relative_to(folder / "out")) for path in (folder / "out").rglob("*.png")]
    return sorted(names), [result.reason or "" for result in summary.failed]


def test_a_ratio_of_a_thousand(tmp_path: Path) -> None:
    """A member of a GB in a MB: the page refuses it by its size; without one, no more is unpacked than it says."""
    stream = inflating(GIBIBYTE)[2:-4]
    assert "is larger than 0.5 GB" in reason(raw_member("a.png", stream, GIBIBYTE), tmp_path / "b.zip")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    names, failed = converted(packed(("good.png", PNG)) and raw_member("a.png", stream, 100), tmp_path)
    assert names == []
    assert [line.split(": ", 1)[1][:20] for line in failed] == ["cannot be unpacked ("]
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < 200 << 20


def test_many_members_of_half_a_gigabyte(tmp_path: Path) -> None:
    """Like 42.zip, but flat: each is small enough, all together are not."""
    one = raw_member("0.png", inflating(500 << 20)[2:-4], 500 << 20)
    local, central = one[: one.index(b"PK\1\2")], one[one.index(b"PK\1\2") : one.rindex(b"PK\5\6")]
    members = [central[:-5] + f"{number}.png".encode() for number in range(10)] * 2  # of one and the same content
    body = b"".join(members)
    end = b"PK\5\6" + struct.pack("<HHHHLLH", 0, 0, len(members), len(members), len(body), len(local), 0)
    assert "GB unpacked; pack up to" in reason(local + body + end, tmp_path / "b.zip")


def test_archives_in_archives_are_not_opened(tmp_path: Path) -> None:
    inner = packed(("a.png", PNG))
    for _ in range(5):
        inner = packed(("inner.zip", inner), ("inner.png.zip", inner))
    names, failed = converted(packed(("deep.zip", inner), ("good.png", PNG), ("no.png", inner)), tmp_path)
    assert names == ["good.png"]
    assert len(failed) == 1
    assert "not a PNG" in failed[0]


def test_one_name_for_two_members(tmp_path: Path) -> None:
    """The last counts, as it would if they were unpacked; also by names that differ only in how they are written."""
    other = saved(Image.new("RGB", (8, 8), (9, 9, 9)), "PNG")
    with pytest.warns(UserWarning, match="Duplicate name"):
        content = packed(("a.png", PNG), ("a.png", other))
    names, failed = converted(content, tmp_path)
    assert (names, failed) == (["a.png"], [])
    assert Image.open(tmp_path / "out" / "a.png").getpixel((0, 0)) == (246, 246, 246)
    assert len(list(ZipSource(tmp_path / "in.zip", lambda name, head: True).groups())) == 1


@pytest.mark.parametrize("method", [12, 14, 93, 98])
def test_unusual_packing_is_refused(method: int, tmp_path: Path) -> None:
    """A stream of LZMA may ask for 4 GB before its first byte is unpacked."""
    assert "is packed in an unusual way" in reason(raw_member("a.png", bytes(20), 10, method), tmp_path / "b.zip")


def test_lies_about_64_bits(tmp_path: Path) -> None:
    """The record for large archives says that there are very many members, or that the list is elsewhere."""
    good = packed(("a.png", PNG))
    place = good.rindex(b"PK\5\6")
    large = b"PK\6\6" + struct.pack("<QHHLLQQQQ", 44, 45, 45, 0, 0, 1 << 40, 1 << 40, 1 << 50, 1 << 50)
    locator = b"PK\6\7" + struct.pack("<LQL", 0, place, 1)
    end = b"PK\5\6" + struct.pack("<HHHHLLH", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    assert "too many files" in reason(good[:place] + large + locator + end, tmp_path / "b.zip")
    extra = struct.pack("<HHQQ", 1, 16, 1 << 60, 1 << 60)
    name = b"a.png"
    facts = struct.pack("<HHHHHLLLHH", 45, 0, 8, 0, 33, 0, 0xFFFFFFFF, 0xFFFFFFFF, len(name), len(extra))
    central = b"PK\1\2\x2d\0" + facts + struct.pack("<HHHLL", 0, 0, 0, 0, 0) + name + extra
    end = b"PK\5\6" + struct.pack("<HHHHLLH", 0, 0, 1, 1, len(central), 0, 0)
    assert "is larger than 0.5 GB" in reason(central + end, tmp_path / "b.zip")
