"""Marking adds one XMP statement to an image and changes nothing else."""

import io
import json
import shutil
import struct
import subprocess
import zlib
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tasks_lib.marking import DIGITAL_SOURCE_TYPE, UNTRAINED_SOURCE_TYPE, mark_as_generated
from tests.encoded_images import FORMATS, MODES, encode, parts, pixels, with_manifest

PROVIDER_PACKET = (
    b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="uuid:1" xmlns:dc="http://purl.org/dc/elements/1.1/" dc:format="image/x"/>'
    b'</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)


def with_xmp(name: str, packet: bytes) -> bytes:
    """Encode an image that already carries an XMP packet."""
    if name != "png":
        return encode(name, xmp=packet)
    body = b"iTXtXML:com.adobe.xmp\0\0\0\0\0" + packet
    data = encode(name)
    return data[:33] + struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body)) + data[33:]


@given(st.data())
def test_pixels_and_compressed_data_stay(data: st.DataObject) -> None:
    """Whatever the format, mode and size, the pixels and every part but the new XMP stay byte for byte."""
    name = data.draw(st.sampled_from(sorted(FORMATS)))
    mode = data.draw(st.sampled_from(MODES[FORMATS[name]["format"]]))
    size = (data.draw(st.integers(1, 300)), data.draw(st.integers(1, 300)))
    original = encode(name, mode, size, seed=data.draw(st.integers(0, 9)))
    marked = mark_as_generated(original, data.draw(st.text()))
    before, after = parts(original), parts(marked)
    added = [part for part in after if part not in before]
    assert pixels(marked) == pixels(original)
    assert [part for part in after if part in before] == [part for part in before if part[0] != "VP8X"]
    packet = next(body for _, body in added if DIGITAL_SOURCE_TYPE.encode() in body)
    ElementTree.fromstring(packet[packet.index(b"<?xpacket") : packet.rindex(b"?>") + 2])
    assert {kind for kind, _ in added} <= {"iTXt", "E1", "XMP ", "VP8X"}


@given(st.sampled_from(sorted(FORMATS)), st.text(), st.text())
def test_marking_twice_is_marking_once(name: str, model: str, other: str) -> None:
    """A marked image is left alone, and the same call gives the same bytes."""
    marked = mark_as_generated(encode(name), model)
    assert mark_as_generated(encode(name), model) == marked
    assert mark_as_generated(marked, other) == marked


@given(st.sampled_from(sorted(FORMATS)), st.integers(1, 2000))
def test_cut_files_come_back_as_they_are(name: str, missing: int) -> None:
    """A file that ends too early is returned as it came."""
    cut = encode(name, seed=1)[:-missing]
    assert mark_as_generated(cut, "model") == cut


@given(st.sampled_from(sorted(FORMATS)), st.integers(0, 120), st.binary(max_size=8))
def test_damaged_files_never_raise(name: str, at: int, damage: bytes) -> None:
    """Damage in the header never raises."""
    data = encode(name)
    mark_as_generated(data[:at] + damage + data[at + len(damage) :], "model")


@pytest.mark.parametrize("other", ["GIF", "BMP", "TIFF", "AVIF"])
def test_other_formats_come_back_as_they_are(other: str) -> None:
    """A format without a place for the mark is returned as it came."""
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, format=other)
    assert mark_as_generated(buffer.getvalue(), "model") == buffer.getvalue()
    assert mark_as_generated(b"", "model") == b""


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_an_unmarked_packet_is_extended(name: str) -> None:
    """XMP that a provider wrote keeps its statements, in one packet, and gains ours about the same thing."""
    marked = mark_as_generated(with_xmp(name, PROVIDER_PACKET), "model")
    assert marked.count(b"<x:xmpmeta") == 1
    assert b'dc:format="image/x"' in marked
    assert marked.count(b'rdf:about="uuid:1"') == 2
    assert DIGITAL_SOURCE_TYPE.encode() in marked
    assert mark_as_generated(marked, "other") == marked
    assert pixels(marked) == pixels(encode(name))


@pytest.mark.parametrize("name", sorted(FORMATS))
@pytest.mark.parametrize(
    "packet",
    [
        PROVIDER_PACKET.replace(b"dc:format", b"dc:DigitalSourceType"),
        PROVIDER_PACKET.replace(b"</rdf:RDF>", b""),
        PROVIDER_PACKET.replace(b"</rdf:RDF>", b"<!-- </rdf:RDF> --></rdf:RDF>"),
        PROVIDER_PACKET.replace(b"</rdf:RDF></x:xmpmeta>", b"</rdf:RDF ><!-- </rdf:RDF> --></x:xmpmeta>"),
        PROVIDER_PACKET.decode().encode("utf-16"),
        b'<!DOCTYPE x [<!ENTITY a "b">]>' + PROVIDER_PACKET,
        b"",
    ],
    ids=["has one", "not well-formed", "two ends", "end in a comment", "utf-16", "doctype", "empty"],
)
def test_a_packet_that_must_not_be_extended_stays(name: str, packet: bytes) -> None:
    """XMP that names a source type, or cannot be extended safely, leaves the file as it came."""
    original = with_xmp(name, packet or b" ")
    assert mark_as_generated(original, "model") == original


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_manifest_is_kept(name: str) -> None:
    """A C2PA manifest stays byte for byte; one that names a source type keeps the whole file, so it stays valid."""
    original, kind, part = with_manifest(name, b"jumb c2pa actions")
    marked = mark_as_generated(original, "model")
    assert (kind, part) in parts(marked)
    assert DIGITAL_SOURCE_TYPE.encode() in marked
    assert pixels(marked) == pixels(original)
    stated, _, _ = with_manifest(name, b"jumb c2pa " + DIGITAL_SOURCE_TYPE.encode())
    assert mark_as_generated(stated, "model") == stated


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_exif_and_colour_profile_stay(name: str) -> None:
    """EXIF and the colour profile are the same bytes afterwards, and the mark stands after a JPEG's EXIF."""
    exif = Image.Exif()
    exif[0x010E] = "a description"
    original = encode(name, exif=exif.tobytes(), icc_profile=b"profile")
    marked = mark_as_generated(original, "model")
    with Image.open(io.BytesIO(marked)) as image:
        assert image.getexif()[0x010E] == "a description"
        assert image.info["icc_profile"] == b"profile"
    if name == "jpeg":
        exif_at, xmp_at = (number for number, (kind, _) in enumerate(parts(marked)) if kind == "E1")
        assert xmp_at == exif_at + 1
    if name == "png":
        kinds = [kind for kind, _ in parts(marked)]
        assert kinds.index("iTXt") < kinds.index("IDAT")


@pytest.mark.parametrize(("name", "mode", "flags"), [("webp", "RGB", 0x04), ("webp-lossless", "RGBA", 0x14)])
def test_a_simple_webp_becomes_an_extended_one(name: str, mode: str, flags: int) -> None:
    """The new VP8X header has the right flags and the canvas of the only frame."""
    kind, header = parts(mark_as_generated(encode(name, mode, (301, 7)), "model"))[0]
    assert (kind, header[8]) == ("VP8X", flags)
    assert (int.from_bytes(header[12:15], "little") + 1, int.from_bytes(header[15:18], "little") + 1) == (301, 7)


def test_the_upscaling_bits_of_a_webp_are_no_part_of_its_canvas() -> None:
    """A lossy frame that asks for upscaling, which decoders ignore, keeps its own size as the canvas."""
    original = bytearray(encode("webp"))
    original[27] |= 0x40
    original[29] |= 0x80
    header = parts(mark_as_generated(bytes(original), "model"))[0][1]
    assert header[12:18] == bytes([32, 0, 0, 19, 0, 0])


def test_an_animated_webp_keeps_its_flags() -> None:
    """An extended WebP only gains the XMP flag."""
    original = encode("webp", "RGBA", save_all=True, append_images=[Image.new("RGBA", (33, 20), "red")])
    before, after = parts(original)[0][1], parts(mark_as_generated(original, "model"))[0][1]
    assert after == before[:8] + bytes([before[8] | 0x04]) + before[9:]


def test_a_model_name_too_long_for_a_jpeg_segment_leaves_the_file() -> None:
    """A packet that does not fit one JPEG segment is not written."""
    assert mark_as_generated(encode("jpeg"), "x" * 70_000) == encode("jpeg")


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_exiftool_reads_the_mark(name: str, tmp_path: Path) -> None:
    """ExifTool, which did not write it, finds the source type and the model's name, and no fault in the file."""
    if shutil.which("exiftool") is None:
        pytest.skip("exiftool is missing: apt-get install libimage-exiftool-perl")
    model = 'org/"model" <1> & é'
    for label, original in {"bare": encode(name), "extended": with_xmp(name, PROVIDER_PACKET)}.items():
        path = tmp_path / f"{label}.{name}"
        path.write_bytes(mark_as_generated(original, model))
        command = ["exiftool", "-json", "-validate", "-warning", "-charset", "UTF8", "-all", str(path)]
        facts = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)[0]
        assert facts["DigitalSourceType"] == DIGITAL_SOURCE_TYPE
        assert facts["CreatorTool"] == model
        assert facts["Validate"] == "OK", facts.get("Warning")


def test_a_program_that_draws_does_not_pass_for_a_trained_model() -> None:
    """An image of an untrained model is marked as algorithmic, not as made by a trained one."""
    marked = mark_as_generated(encode("png"), "painter", trained=False)
    assert UNTRAINED_SOURCE_TYPE.encode() in marked
    assert DIGITAL_SOURCE_TYPE.encode() not in marked
