import struct

import pytest
from made_files import exif, read_exif

from translate.pictures.metadata import exif as exif_tags
from translate.pictures.metadata.tiff_tags import Tiff, Value, pack, swapped

ORDERS = ["<", ">"]
MAKER_NOTE = b"maker's own offsets " * 3


@pytest.mark.parametrize("order", ORDERS)
def test_orientation(order: str) -> None:
    assert [exif_tags.orientation(exif(number, order=order)) for number in range(10)] == [0, *range(1, 9), 0]
    for damaged in (b"", b"II*\0", b"MM\0*\0\0\0\x08", b"II*\0\xff\xff\xff\xff", b"Exif\0\0" + exif(6)):
        assert exif_tags.orientation(damaged) == 0


@pytest.mark.parametrize("order", ORDERS)
def test_upright_changes_the_orientation_and_drops_the_thumbnail(order: str) -> None:
    stored = exif(6, order=order, thumbnail=b"\xff\xd8 old pixels \xff\xd9")
    found = exif_tags.upright(stored)
    assert found is not None
    assert b"old pixels" not in found
    tags = read_exif(found)
    assert tags[0x0112] == 1
    assert tags[0x010F].encode("latin-1").decode() == "Müller"
    assert tags.get_ifd(1) == {}
    # The maker's note stays where it was: it holds offsets.
    assert found.index(MAKER_NOTE) == stored.index(MAKER_NOTE)
    # Where the subject is counts from a corner that has moved.
    assert 0x9214 not in tags.get_ifd(0x8769)
    straight = exif_tags.upright(exif(1, order=order))
    assert straight == exif(1, order=order)


@pytest.mark.parametrize("order", ORDERS)
def test_size(order: str) -> None:
    same = exif_tags.for_result(exif(order=order), 24, 40)
    assert same is not None
    assert read_exif(same).get_ifd(0x8769)[0x9214] == (10, 10, 5, 5)
    other = exif_tags.for_result(exif(order=order), 70_000, 80)
    assert other is not None
    inner = read_exif(other).get_ifd(0x8769)
    assert (inner[0xA003], inner[0xA002]) == (70_000, 80)
    assert 0x9214 not in inner
    assert inner[0x927C] == MAKER_NOTE


@pytest.mark.parametrize("order", ORDERS)
def test_colour_space(order: str) -> None:
    stored = exif(order=order)
    assert read_exif(stored).get_ifd(0xA005) == {1: "R03"}
    found = exif_tags.for_result(stored, 24, 40, srgb=True)
    assert found is not None
    inner = read_exif(found).get_ifd(0x8769)
    assert inner[0xA001] == 1
    assert 0xA005 not in inner
    assert exif_tags.for_result(stored, 24, 40) == stored


@pytest.mark.parametrize("order", ORDERS)
def test_location_is_taken_out_with_its_bytes(order: str) -> None:
    found = exif_tags.without_location(exif(order=order))
    assert found is not None
    tags = read_exif(found)
    assert tags.get_ifd(0x8825) == {}
    assert tags[0x010F].encode("latin-1").decode() == "Müller"
    assert tags.get_ifd(0x8769)[0xA002] == 40
    assert b"2024:02:29" not in found
    assert struct.pack(order + "2L", 4242, 100) not in found


def test_damaged_exif_is_left_out() -> None:
    for damaged in (b"", b"no exif at all", b"MM\0*\xff\xff\xff\xff", exif()[:20]):
        assert exif_tags.upright(damaged) is None
        assert exif_tags.for_result(damaged, 1, 1) is None
        assert exif_tags.without_location(damaged) is None


def test_no_bit_makes_it_fail() -> None:
    whole = exif(6, thumbnail=b"thumbnail")
    for place in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        found = exif_tags.upright(bytes(damaged))
        if found is not None:
            exif_tags.for_result(found, 5, 7)
            exif_tags.without_location(found)
            exif_tags.without_orientation(found)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ORDERS)
def test_directories_survive_writing_and_reading(order: str, big: bool) -> None:
    directory = {
        258: Value(3, struct.pack(order + "3H", 8, 8, 8)),
        256: Value(4, struct.pack(order + "L", 70_000)),
        270: Value(2, b"a text that does not fit inside\0"),
    }
    head = (b"II" if order == "<" else b"MM") + struct.pack(
        order + "HHHQ" if big else order + "HL", *([43, 8, 0, 16] if big else [42, 8])
    )
    tiff = Tiff(head + pack(directory, len(head), order, big))
    assert tiff.first == len(head)
    assert tiff.directory(tiff.first) == directory


def test_swapped() -> None:
    assert swapped(Value(5, struct.pack("<2L", 3, 7))).data == struct.pack(">2L", 3, 7)
    assert swapped(Value(3, struct.pack("<3H", 1, 2, 3))).data == struct.pack(">3H", 1, 2, 3)
    assert swapped(Value(12, struct.pack("<d", 0.1))).data == struct.pack(">d", 0.1)
    assert swapped(Value(7, b"abcd")).data == b"abcd"
