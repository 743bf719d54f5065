"""XMP packets: what must change when the pixels do (XMP specification, part 1, 7; part 2, EXIF and TIFF namespaces).

A packet is changed as text, since parsing and writing XML anew would lose its wrapper and its namespaces' short names.
"""

import re
from xml.parsers import expat

from translate.pictures.metadata.facts import Density

_EXIF = b"http://ns.adobe.com/exif/1.0/"
_TIFF = b"http://ns.adobe.com/tiff/1.0/"
_XMP = b"http://ns.adobe.com/xap/1.0/"
_PLACES = (
    (b"http://ns.adobe.com/photoshop/1.0/", rb"(?:City|State|Country)"),
    (b"http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/", rb"(?:Location|CountryCode)"),
)
"""Names of places, as IPTC's records have them (IPTC Photo Metadata Standard)."""
_IPTC_EXTENSION = b"http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_SOURCE_TYPE = b"DigitalSourceType"
_EMPTY = b"""\
<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
</rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>"""
_FOLLOWING = (
    (b"http://ns.adobe.com/hdr-gain-map/1.0/", rb"\w+"),
    (b"http://ns.google.com/photos/1.0/camera/", rb"(?:MotionPhoto|MicroVideo)\w*"),
    (b"http://ns.adobe.com/xmp/note/", b"HasExtendedXMP"),
)
"""What phones write about a gain map, a film or more XMP in the same file. Results have none of these."""
_CONTAINER = b"http://ns.google.com/photos/1.0/container/"
"""The list of these, with their lengths (Ultra HDR Image Format 1.1, Motion Photo 1.0)."""
_PLACE_STRUCTURES = (b"LocationCreated", b"LocationShown")
_REGIONS = (
    (b"http://www.metadataworkinggroup.com/schemas/regions/", b"Regions"),
    (b"http://ns.microsoft.com/photo/1.2/", b"RegionInfo"),
)
"""Where faces are, in coordinates of the stored pixels (MWG Guidelines; Microsoft's People Tags)."""
_MOST_BYTES, _MOST_PREFIXES = 1 << 20, 8
_QUOTES = (b'"', b"'")


def orientation(xmp: bytes) -> int:
    """Return how the stored pixels lie, 1 to 8 as in EXIF; 0 if it is not said."""
    for pattern in _patterns(xmp, _TIFF, b"Orientation"):
        match = re.search(pattern, xmp)
        if match and match[2] in (b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"8"):
            return int(match[2])
    return 0


def upright(xmp: bytes, *, turned: bool) -> bytes | None:
    """Return the packet of the same picture upright, alone in its file; None if it is damaged.

    `turned`: whether the pixels had to be turned; places in the picture, such as those of faces, are left out then.
    """
    xmp = xmp.rstrip(b"\0")
    if len(xmp) > _MOST_BYTES or b"<" not in xmp or b"\0" in xmp:
        return None
    try:
        xmp.decode()
    except UnicodeDecodeError:
        return None
    for prefix in _prefixes(xmp, _XMP):
        xmp = _without_element(xmp, prefix + b":Thumbnails")
    for prefix in _prefixes(xmp, _CONTAINER):
        xmp = _without_element(xmp, prefix + b":Directory")
    for namespace, name in _REGIONS if turned else ():
        for prefix in _prefixes(xmp, namespace):
            xmp = _without_element(xmp, prefix + b":" + name)
    for namespace, names in _FOLLOWING:
        for pattern in _patterns(xmp, namespace, names):
            xmp = re.sub(pattern, b"", xmp)
    return _with_values(xmp, _TIFF, b"Orientation", 1)


def for_result(xmp: bytes, height: int, width: int, *, srgb: bool = False, density: Density | None = None) -> bytes:
    """Return the packet with the picture's size and resolution, where it says one; and with sRGB, if that it became."""
    for names, number in (((b"ImageWidth", b"PixelXDimension"), width), ((b"ImageLength", b"PixelYDimension"), height)):
        xmp = _with_values(xmp, _TIFF, names[0], number)
        xmp = _with_values(xmp, _EXIF, names[1], number)
    if density is not None and density.absolute:
        for name, number in ((b"XResolution", density.x), (b"YResolution", density.y)):
            xmp = _with_values(xmp, _TIFF, name, round(number * 100), b"/100")
        xmp = _with_values(xmp, _TIFF, b"ResolutionUnit", 2)  # inches
    return _with_values(xmp, _EXIF, b"ColorSpace", 1) if srgb else xmp


def without_location(xmp: bytes) -> bytes | None:
    """Return the packet without the place where the picture was taken, or its name; None if that is not sure."""
    for namespace, names in _PLACES:
        for pattern in _patterns(xmp, namespace, names):
            xmp = re.sub(pattern, b"", xmp)
    for prefix in _prefixes(xmp, _IPTC_EXTENSION):
        for name in _PLACE_STRUCTURES:
            xmp = _without_element(xmp, prefix + b":" + name)
            if prefix + b":" + name in xmp:
                return None
    for pattern in _patterns(xmp, _EXIF, rb"GPS\w*"):
        xmp = re.sub(pattern, b"", xmp)
    for prefix in _prefixes(xmp, _EXIF):
        xmp = re.sub(rb"<" + prefix + rb":GPS\w*(?:\s[^<>]*)?/>", b"", xmp)
    # What is written in a way that is not known here, or by drones under names of their own, must not get out.
    return None if b"gps" in _names(xmp).lower() else xmp


def _names(xmp: bytes) -> bytes:
    """Names of elements, attributes and namespaces, one a line; the packet itself if they are not sure."""
    if b"<!" in xmp:  # entities, and markup that is to be taken for text
        return xmp
    names: list[str] = []
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = lambda name, attributes: names.extend((name, *attributes))
    parser.StartNamespaceDeclHandler = lambda prefix, address: names.extend((prefix or "", address or ""))
    try:
        parser.Parse(xmp, True)
    except expat.ExpatError:
        return xmp
    return "\n".join(names).encode()


def with_source_type(xmp: bytes | None, address: str) -> bytes:
    """Return the packet with this digital source type (IPTC Photo Metadata Standard) and no other.

    A new packet if there is none, or one in which the property cannot be put.
    """
    xmp = xmp or _EMPTY
    for pattern in _patterns(xmp, _IPTC_EXTENSION, _SOURCE_TYPE):
        xmp = re.sub(pattern, b"", xmp)
    for prefix in _prefixes(xmp, _IPTC_EXTENSION):
        xmp = re.sub(rb"<" + prefix + rb":" + _SOURCE_TYPE + rb"\b[^<>]*/>", b"", xmp)
    ends = list(re.finditer(rb"</(\w+):RDF\s*>", xmp))
    if len(ends) != 1 or b":" + _SOURCE_TYPE in xmp:
        return with_source_type(None, address)
    stated = b'<%b:Description %b:about="" xmlns:Iptc4xmpExt="%b" Iptc4xmpExt:DigitalSourceType="%b"/>\n' % (
        ends[0][1], ends[0][1], _IPTC_EXTENSION, address.encode(),
    )  # fmt: skip
    return xmp[: ends[0].start()] + stated + xmp[ends[0].start() :]


def _prefixes(xmp: bytes, namespace: bytes) -> list[bytes]:
    """Short names that the packet gives the namespace."""
    found = re.findall(rb"xmlns:([\w-]+)\s*=\s*[\"']" + re.escape(namespace) + rb"[\"']", xmp)
    return list(dict.fromkeys(found))[:_MOST_PREFIXES]


def _patterns(xmp: bytes, namespace: bytes, name: bytes) -> list[bytes]:
    """Patterns of a property with a plain value, as attribute and as element: (before)(value)(after)."""
    patterns: list[bytes] = []
    for prefix in _prefixes(xmp, namespace):
        full = prefix + rb":" + name
        patterns += [
            rb"(\s" + full + rb"\s*=\s*" + quote + rb")([^<" + quote + rb"]*)(" + quote + rb")" for quote in _QUOTES
        ]
        patterns.append(rb"(<" + full + rb"(?:\s[^<>]*)?(?<!/)>)([^<]*)(</" + full + rb"\s*>)")
    return patterns


def _with_values(xmp: bytes, namespace: bytes, name: bytes, number: int, over: bytes = b"") -> bytes:
    """Write `number`, or the fraction `number` / `over`, wherever the property is."""
    for pattern in _patterns(xmp, namespace, name):
        xmp = re.sub(pattern, rb"\g<1>%d%b\g<3>" % (number, over), xmp)
    return xmp


def _without_element(xmp: bytes, name: bytes) -> bytes:
    start = xmp.find(b"<" + name)
    end = xmp.rfind(b"</" + name + b">")
    return xmp[:start] + xmp[end + len(name) + 3 :] if 0 <= start < end else xmp
