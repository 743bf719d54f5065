import time
from pathlib import Path
from xml.etree import ElementTree

import pytest
from made_files import XMP, saved, smooth
from PIL import Image

from translate.pictures.band_reader import RowReader
from translate.pictures.decode import decode
from translate.pictures.metadata import xmp

EXIF, TIFF = "{http://ns.adobe.com/exif/1.0/}", "{http://ns.adobe.com/tiff/1.0/}"


def description(packet: bytes) -> ElementTree.Element:
    """The properties, by a reader that is not ours."""
    found = ElementTree.fromstring(packet.decode()).find(".//{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description")
    assert found is not None
    return found


def test_orientation() -> None:
    assert xmp.orientation(XMP) == 6
    assert xmp.orientation(XMP.replace(b'tiff:Orientation="6"', b"")) == 0
    assert xmp.orientation(XMP.replace(b'"6"', b'"9"')) == 0


def test_upright() -> None:
    found = xmp.upright(XMP + b"\0", turned=True)
    assert found is not None
    assert description(found).get(TIFF + "Orientation") == "1"
    assert b"Thumbnails" not in found
    assert "Müller" in found.decode()
    for damaged in (
        b"",
        b"no markup",
        XMP + b"\xff",
        XMP.decode().encode("utf-16"),
        b"<" + bytes(9) + b"<",
        b"<" * (2 << 20),
    ):
        assert xmp.upright(damaged, turned=True) is None


TELEPHONE = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:Container="http://ns.google.com/photos/1.0/container/"
 xmlns:Item="http://ns.google.com/photos/1.0/container/item/" xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"
 xmlns:GCamera="http://ns.google.com/photos/1.0/camera/" xmlns:xmpNote="http://ns.adobe.com/xmp/note/"
 hdrgm:Version="1.0" GCamera:MotionPhoto="1" GCamera:MotionPhotoPresentationTimestampUs="968644"
 GCamera:MicroVideoOffset="4711" GCamera:SpecialTypeID="portrait" xmpNote:HasExtendedXMP="5AB1">
<GCamera:MotionPhotoVersion>1</GCamera:MotionPhotoVersion>
<Container:Directory><rdf:Seq>
<rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="Primary" Item:Mime="image/jpeg"/></rdf:li>
<rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="GainMap" Item:Length="66171"/></rdf:li>
<rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="MotionPhoto" Item:Length="4711"/></rdf:li>
</rdf:Seq></Container:Directory>
</rdf:Description></rdf:RDF></x:xmpmeta>"""


def test_what_followed_the_picture_in_its_file_is_not_announced() -> None:
    """A result has no gain map, no film of the moment before and no second packet, so nothing may look for them."""
    found = xmp.upright(TELEPHONE, turned=False)
    assert found is not None
    assert dict(description(found).attrib) == {"{http://ns.google.com/photos/1.0/camera/}SpecialTypeID": "portrait"}
    assert list(description(found)) == []


FACES = b"""<mwg-rs:Regions xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/"
 xmlns:stArea="http://ns.adobe.com/xmp/sType/Area#" rdf:parseType="Resource"><mwg-rs:RegionList><rdf:Seq>
<rdf:li rdf:parseType="Resource"><mwg-rs:Area stArea:x="0.1" stArea:y="0.2" stArea:w="0.1" stArea:h="0.1"/></rdf:li>
</rdf:Seq></mwg-rs:RegionList></mwg-rs:Regions>
<p:RegionInfo xmlns:p="http://ns.microsoft.com/photo/1.2/"><p:Rectangle>0.1,0.2,0.1,0.1</p:Rectangle></p:RegionInfo>
"""


@pytest.mark.parametrize("orientation", [1, 6])
def test_faces_are_left_out_where_they_would_be_in_the_wrong_place(tmp_path: Path, orientation: int) -> None:
    """Their places are those of the pixels as they are stored."""
    packet = XMP.replace(b"<dc:creator>", FACES + b"<dc:creator>").replace(b'"6"', b'"%d"' % orientation)
    data = saved(Image.fromarray(smooth()), "JPEG", xmp=packet)
    with RowReader(data, "a.jpg", tmp_path) as reader:
        for found in (decode(data).xmp, reader.facts.xmp):
            assert found is not None
            description(found)
            assert (b"stArea:x" in found, b"Rectangle" in found) == (orientation == 1, orientation == 1)
            assert "Müller" in found.decode()


def test_size() -> None:
    found = description(xmp.for_result(XMP, 48, 80))
    assert found.get(TIFF + "ImageWidth") == "80"
    assert [found.findtext(EXIF + name) for name in ("PixelXDimension", "PixelYDimension")] == ["80", "48"]
    assert found.get(EXIF + "ColorSpace") == "65535"
    assert description(xmp.for_result(XMP, 48, 80, srgb=True)).get(EXIF + "ColorSpace") == "1"


def test_location() -> None:
    found = xmp.without_location(XMP)
    assert found is not None
    assert b"GPS" not in found
    assert b"13,24E" not in found
    assert description(found).get("{http://purl.org/dc/elements/1.1/}format") == "image/jpeg"
    assert "Müller" in found.decode()


def test_other_names_of_the_namespace() -> None:
    assert xmp.orientation(XMP.replace(b"tiff:", b"t1:").replace(b"xmlns:tiff", b"xmlns:t1")) == 6
    found = xmp.without_location(XMP.replace(b"exif:", b"e:").replace(b"xmlns:exif", b"xmlns:e"))
    assert found is not None
    assert b"52,31.5N" not in found


def test_a_title_may_speak_of_gps() -> None:
    """As text, and as the value of an attribute."""
    packet = XMP.replace("Müller".encode(), b"My dog with a GPS collar").replace(b"image/jpeg", b"GPS 'n' > maps")
    found = xmp.without_location(packet)
    assert found is not None
    assert b"GPS collar" in found
    assert b"GPS 'n' > maps" in found
    assert b"exif:GPS" not in found


@pytest.mark.parametrize(
    "hidden", [b'drone:GpsLatitude="52"', b"exif:GPSLatitude=52", b"<exif:GPSTrack><rdf:Seq/></exif:GPSTrack>"]
)
def test_what_is_not_understood_does_not_get_out(hidden: bytes) -> None:
    assert xmp.without_location(XMP.replace(b'dc:format="image/jpeg"', hidden)) is None


@pytest.mark.parametrize(
    "hidden",
    [
        b'<dc:x xmlns:d="http://drone/" d:GpsLatitude="52"/>',
        b'<d:Latitude xmlns:d="http://drone/gps/">52</d:Latitude>',
        b"<exif:GPSTrack><rdf:Seq/></exif:GPSTrack>",
        b"<![CDATA[ drone:GpsLatitude=52 ]]>",
    ],
)
def test_names_that_are_not_understood_do_not_get_out(hidden: bytes) -> None:
    """Of packets that are whole."""
    packet = XMP.replace(b"<dc:creator>", hidden + b"<dc:creator>")
    description(packet)
    assert xmp.without_location(packet) is None


def test_hostile_packets_take_no_time() -> None:
    head = XMP[: XMP.index(b"<exif:PixelXDimension>")]
    began = time.perf_counter()
    for part in (
        b"<exif:GPSa>",
        b" ",
        b"<",
        b' exif:GPSa="',
        b" xmlns:a='http://ns.adobe.com/exif/1.0/'",
        b"<xmp:Thumbnails>",
    ):
        packet = head + part * (900_000 // len(part))
        xmp.upright(packet, turned=True)
        xmp.for_result(packet, 1, 1)
        xmp.without_location(packet)
    assert time.perf_counter() - began < 20
