"""A C2PA manifest that came with an image stays, inside the one it is signed with."""

import io
from pathlib import Path

import c2pa
import pytest

from tasks_lib.marking import DIGITAL_SOURCE_TYPE, mark_as_generated
from tests.certificates import Chain, chain
from tests.encoded_images import FORMATS, encode, parts, pixels, with_manifest
from tests.signing import MEDIA_TYPES, actions, opened, read


def library_signer(by: Chain) -> c2pa.Signer:
    info = c2pa.C2paSignerInfo("es256", by.certificates.encode(), by.private_key.encode(), None)
    return c2pa.Signer.from_info(info)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_providers_manifest_becomes_the_parent(in_folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A manifest that came with the image validates inside the new one, which adds the statement in XMP."""
    provider, signer = chain(), chain()
    sent = opened(provider, monkeypatch)(encode(name), "provider/model")
    signed = opened(signer, monkeypatch)(sent, "asked/model")
    state, manifest, report = read(signed, MEDIA_TYPES[name], signer, provider)
    assert state == "Trusted"
    assert "validation_status" not in report
    (action,) = actions(manifest)
    assert (action["action"], action["digitalSourceType"]) == ("c2pa.opened", DIGITAL_SOURCE_TYPE)
    (parent,) = manifest["ingredients"]
    assert parent["relationship"] == "parentOf"
    kept = report["manifests"][parent["active_manifest"]]
    assert actions(kept)[0]["softwareAgent"]["name"] == "provider/model"
    assert read(sent, MEDIA_TYPES[name], provider)[1]["label"] == parent["active_manifest"]
    assert pixels(signed) == pixels(encode(name))


def test_a_provider_signed_image_without_xmp_gets_the_statement(
    in_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image whose manifest alone says how it was made says it in XMP too once it is signed anew."""
    bare, signer = encode("jpeg"), chain()
    with c2pa.Context.from_dict({"builder": {"thumbnail": {"enabled": False}}}, library_signer(chain())) as context:
        sent = io.BytesIO()
        made = {"action": "c2pa.created", "digitalSourceType": DIGITAL_SOURCE_TYPE}
        manifest = {"assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [made]}}]}
        c2pa.Builder(manifest, context=context).sign("image/jpeg", io.BytesIO(bare), sent)
    assert mark_as_generated(sent.getvalue(), "model") == sent.getvalue()
    signed = opened(signer, monkeypatch)(sent.getvalue(), "model")
    assert any(DIGITAL_SOURCE_TYPE.encode() in body for kind, body in parts(signed) if kind == "E1")
    assert read(signed, "image/jpeg", signer)[0] == "Trusted"


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_damaged_manifest_is_not_signed_over(in_folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """An image whose own manifest cannot be read gets what the IPTC marking gives it, and no signature."""
    original, _, _ = with_manifest(name, b"jumb c2pa actions")
    assert opened(chain(), monkeypatch)(original, "model") == mark_as_generated(original, "model")
