"""What XMP says about an image's maker: a packet of its own, or one more description in a provider's."""

import re
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

__all__ = ["DIGITAL_SOURCE_TYPE", "UNTRAINED_SOURCE_TYPE", "Maker", "UntouchableError", "extended", "packet"]

DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""IPTC's term for media that a trained model made."""
UNTRAINED_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/algorithmicMedia"
"""IPTC's term for media that a program made by itself, without training data."""

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_IPTC_EXTENSION = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class UntouchableError(Exception):
    """There is nothing to insert, or no safe place for it."""


@dataclass(frozen=True)
class Maker:
    """What made an image.

    Args:
        model_name: as the model calls itself.
        trained: whether it learned from data, or is a program that draws.
    """

    model_name: str
    trained: bool

    @property
    def name(self) -> str:
        """The model's name without the characters that a text in XML, JSON or CBOR cannot hold."""
        return _NOT_IN_XML.sub("", self.model_name)

    @property
    def source_type(self) -> str:
        """IPTC's term for what it makes."""
        return DIGITAL_SOURCE_TYPE if self.trained else UNTRAINED_SOURCE_TYPE


def packet(maker: Maker) -> bytes:
    """A whole XMP packet that says who made the image."""
    opening = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    description = _description(maker, about="", with_tool=True)
    closing = b'</rdf:RDF></x:xmpmeta>\n<?xpacket end="w"?>'
    return f'{opening}<rdf:RDF xmlns:rdf="{_RDF}">'.encode() + description + closing


def extended(own: bytes, maker: Maker) -> bytes:
    """A provider's own XMP packet with one more description at its end.

    Raises:
        UntouchableError: it names a digital source type already, or cannot be extended safely.
    """
    end = b"</rdf:RDF>"
    if b"DigitalSourceType" in own or b"<!DOCTYPE" in own or own.count(end) != 1:
        raise UntouchableError
    try:
        first = _parsed(own).find(f".//{{{_RDF}}}Description")
        # Every description of a packet speaks about the same thing.
        about = "" if first is None else first.get(f"{{{_RDF}}}about", "")
        description = _description(maker, about, with_tool=b"CreatorTool" not in own)
        longer = own.replace(end, description + end)
        marks = f".//{{{_RDF}}}Description[@{{{_IPTC_EXTENSION}}}DigitalSourceType]"
        marked = _parsed(longer).find(marks) is not None
    except (ElementTree.ParseError, ValueError, LookupError):
        marked = False
    if not marked:
        raise UntouchableError
    return longer


def _description(maker: Maker, about: str, with_tool: bool) -> bytes:
    name = quoteattr(maker.name)
    tool = f' xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:CreatorTool={name}' if with_tool else ""
    text = (
        f'<rdf:Description xmlns:rdf="{_RDF}" rdf:about={quoteattr(about)} xmlns:Iptc4xmpExt="{_IPTC_EXTENSION}"'
        f' Iptc4xmpExt:DigitalSourceType="{maker.source_type}"{tool}/>'
    )
    return text.encode("ascii", "xmlcharrefreplace")


def _parsed(packet: bytes) -> ElementTree.Element:
    # Without a document type there are no entities to expand.
    return ElementTree.fromstring(packet.strip(b"\0"))  # noqa: S314
