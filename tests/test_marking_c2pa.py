"""Signed images validate in the C2PA library, say how they were made, and keep pixels and compressed data."""

import io
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from datasets import Image as ImageFeature
from datasets import load_dataset
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tasks_lib import Distiset
from tasks_lib.errors import RecipeError, StopError
from tasks_lib.marking import DIGITAL_SOURCE_TYPE, UNTRAINED_SOURCE_TYPE, mark_as_generated
from tests.certificates import Chain, chain
from tests.encoded_images import FORMATS, MODES, encode, parts, pixels
from tests.endpoint import Endpoint
from tests.recipes import recipe_for
from tests.signing import MEDIA_TYPES, Mark, actions, opened, read
from tests.timestamp_authority import TimestampAuthority

OTHERS = {"GIF": "image/gif", "AVIF": "image/avif", "TIFF": "image/tiff"}
MANIFEST_PARTS = {"caBX", "EB", "C2PA"}
XMP_PARTS = {"iTXt", "E1", "XMP "}


@pytest.fixture(scope="module")
def signer() -> Chain:
    """One signer for the module."""
    return chain()


@pytest.fixture
def mark(signer: Chain, in_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Mark:
    """Signs as a trained model's mark."""
    return opened(signer, monkeypatch)


def without_manifest(data: bytes) -> list[tuple[str, bytes]]:
    return [part for part in parts(data) if part[0] not in MANIFEST_PARTS]


def other(form: str) -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((40, 30)).convert("RGB").save(buffer, format=form)
    return buffer.getvalue()


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_signed_image_validates_and_says_how_it_was_made(mark: Mark, signer: Chain, name: str) -> None:
    """The library trusts the signature, and finds the source type, the model and who wrote the claim."""
    signed = mark(encode(name), "org/model é")
    state, manifest, report = read(signed, MEDIA_TYPES[name], signer)
    assert state == "Trusted"
    assert "validation_status" not in report
    assert manifest["claim_generator_info"][0]["name"] == "imageloom"
    assert manifest["signature_info"]["common_name"] == "signer"
    (action,) = actions(manifest)
    assert action["action"] == "c2pa.created"
    assert action["digitalSourceType"] == DIGITAL_SOURCE_TYPE
    assert action["softwareAgent"]["name"] == "org/model é"
    assert "thumbnail" not in manifest


def test_pixels_and_compressed_data_stay(mark: Mark) -> None:
    """Whatever the format, mode, size and name, signing adds XMP and a manifest, and keeps every other part."""

    @given(st.data())
    def check(data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(FORMATS)))
        mode = data.draw(st.sampled_from(MODES[FORMATS[name]["format"]]))
        size = (data.draw(st.integers(1, 300)), data.draw(st.integers(1, 300)))
        original = encode(name, mode, size, seed=data.draw(st.integers(0, 9)))
        model = data.draw(st.text())
        signed = mark(original, model)
        before, after = parts(original), parts(signed)
        assert pixels(signed) == pixels(original)
        assert [part for part in after if part in before] == [part for part in before if part[0] != "VP8X"]
        added = {kind for kind, _ in after if kind not in dict(before)}
        assert added - {"VP8X"} & XMP_PARTS and added & MANIFEST_PARTS
        assert without_manifest(signed) == parts(mark_as_generated(original, model))

    check()


def test_two_signatures_differ_in_the_manifest_only(mark: Mark) -> None:
    """Signing is not deterministic, and all that changes from one to the next is the manifest."""
    for name in FORMATS:
        first, second = mark(encode(name), "model"), mark(encode(name), "model")
        assert first != second
        assert len(first) == len(second)
        assert without_manifest(first) == without_manifest(second)


@pytest.mark.parametrize("form", sorted(OTHERS))
def test_formats_without_a_place_for_xmp_are_signed(mark: Mark, signer: Chain, form: str) -> None:
    """GIF, AVIF and TIFF validate with equal pixels."""
    signed = mark(other(form), "model")
    assert read(signed, OTHERS[form], signer)[0] == "Trusted"
    assert pixels(signed) == pixels(other(form))


def test_what_cannot_be_signed_comes_back(mark: Mark) -> None:
    """Other formats and files that the library cannot parse are returned as they came."""
    assert mark(other("BMP"), "model") == other("BMP")
    assert mark(b"", "model") == b""
    for name in FORMATS:
        cut = encode(name, seed=1)[:60]
        assert mark(cut, "model") == cut


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_changed_byte_is_found(mark: Mark, signer: Chain, name: str) -> None:
    """A signed image whose data was changed afterwards does not validate."""
    signed = bytearray(mark(encode(name, seed=1), "model"))
    signed[-40 if name != "png" else -20] ^= 1
    assert read(bytes(signed), MEDIA_TYPES[name], signer)[0] == "Invalid"


def test_a_program_that_draws_does_not_pass_for_a_trained_model(
    signer: Chain, in_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The manifest of an untrained model's image says algorithmic, in XMP too."""
    signed = opened(signer, monkeypatch, trained=False)(encode("png"), "painter")
    assert actions(read(signed, "image/png", signer)[1])[0]["digitalSourceType"] == UNTRAINED_SOURCE_TYPE
    assert UNTRAINED_SOURCE_TYPE.encode() in dict(parts(signed))["iTXt"]
    assert DIGITAL_SOURCE_TYPE.encode() not in signed


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [
        ("es256", ec.generate_private_key(ec.SECP256R1())),
        ("es384", ec.generate_private_key(ec.SECP384R1())),
        ("es512", ec.generate_private_key(ec.SECP521R1())),
        ("ps256", rsa.generate_private_key(65537, 2048)),
        ("ps384", rsa.generate_private_key(65537, 2048)),
        ("ps512", rsa.generate_private_key(65537, 2048)),
        ("ed25519", ed25519.Ed25519PrivateKey.generate()),
    ],
)
def test_each_algorithm_signs(in_folder: Path, monkeypatch: pytest.MonkeyPatch, algorithm: str, key: Any) -> None:
    """Every algorithm that a recipe may name gives a signature that validates."""
    by = chain(key)
    signed = opened(by, monkeypatch, algorithm=algorithm)(encode("jpeg"), "model")
    state, manifest, _ = read(signed, "image/jpeg", by)
    assert state == "Trusted"
    assert manifest["signature_info"]["alg"].lower() == algorithm


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_exiftool_reads_both_marks(mark: Mark, name: str, tmp_path: Path) -> None:
    """ExifTool finds IPTC's statement in a signed image, the manifest's action too, and no fault in the file."""
    if shutil.which("exiftool") is None:
        pytest.skip("exiftool is missing: apt-get install libimage-exiftool-perl")
    path = tmp_path / f"signed.{name}"
    path.write_bytes(mark(encode(name), "org/model"))
    command = ["exiftool", "-json", "-G", "-validate", "-warning", "-all", str(path)]
    facts = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)[0]
    assert facts["XMP:DigitalSourceType"] == DIGITAL_SOURCE_TYPE
    assert facts["XMP:CreatorTool"] == "org/model"
    if not name.startswith("webp"):  # which ExifTool 12.57 does not look for manifests in
        assert facts["JUMBF:ActionsAction"] == "c2pa.created"
        assert facts["JUMBF:ActionsDigitalSourceType"] == DIGITAL_SOURCE_TYPE
    assert facts["ExifTool:Validate"] == "OK", facts.get("ExifTool:Warning")


def test_a_timestamp_authority_stamps_each_image(
    signer: Chain, in_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Its time is in the signature; one that falls silent stops the build, or never lets it begin."""
    with TimestampAuthority(tmp_path_factory.mktemp("authority")) as authority:
        mark = opened(signer, monkeypatch, timestamp_url=authority.url)
        state, manifest, _ = read(mark(encode("jpeg"), "model"), "image/jpeg", signer)
    assert state == "Trusted"
    assert manifest["signature_info"]["time"]
    assert authority.asked == 2
    with pytest.raises(StopError, match=r"an image of model cannot be signed: .*every image paid for is in the store"):
        mark(encode("jpeg"), "model")
    with pytest.raises(RecipeError, match=r"with cert\.pem and the timestamp authority http://127.* failed: .*http"):
        opened(signer, monkeypatch, timestamp_url=authority.url)


def test_a_dataset_of_signed_images(
    build_dataset: Callable[..., Distiset], endpoint: Endpoint, signer: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every image of a dataset validates with the pixels that were sent; the store keeps the bytes as they came."""
    Path("cert.pem").write_text(signer.certificates)
    monkeypatch.setenv("SIGNING_KEY", signer.private_key)
    marking = {"type": "c2pa", "certificate": "cert.pem", "private_key_env": "SIGNING_KEY"}
    build_dataset(recipe_for(endpoint, ["a cat", "a dog [jpeg]"], marking=marking))
    cells = load_dataset("dataset")["train"].cast_column("image", ImageFeature(decode=False))["image"]
    sent = {endpoint.image_for(call.prompt, call.parameters) for call in endpoint.calls}
    assert {path.read_bytes() for path in Path("store").rglob("*") if path.suffix in (".png", ".jpg", ".jpeg")} == sent
    assert sorted(pixels(cell["bytes"]) for cell in cells) == sorted(pixels(each) for each in sent)
    assert [read(cells[0]["bytes"], "image/png", signer)[0], read(cells[1]["bytes"], "image/jpeg", signer)[0]] == [
        "Trusted",
        "Trusted",
    ]
    # The last of the three lines is the public half, which each signature shows, and the gallery in base64.
    lines = [line.encode() for line in signer.private_key.splitlines()[1:3]]
    kept = [path for path in Path().rglob("*") if path.is_file()]
    assert not [path for path in kept if any(line in path.read_bytes() for line in lines)]
