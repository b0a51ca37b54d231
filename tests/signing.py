"""Signs images as a recipe would, and reads back with the C2PA library what was signed."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import c2pa
import pytest

from tasks_lib.marking.choice import open_mark
from tasks_lib.marking.credential import C2paMarking
from tests.certificates import Chain

__all__ = ["MEDIA_TYPES", "Mark", "actions", "opened", "read"]

Mark = Callable[[bytes, str], bytes]
MEDIA_TYPES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp", "webp-lossless": "image/webp"}


def opened(by: Chain, monkeypatch: pytest.MonkeyPatch, trained: bool = True, **changes: Any) -> Mark:
    """The mark of a recipe that names the chain, by files in the current folder."""
    Path("cert.pem").write_text(by.certificates)
    monkeypatch.setenv("C2PA_PRIVATE_KEY", by.private_key)
    signs = open_mark(C2paMarking(type="c2pa", certificate="cert.pem", **changes), trained)
    assert signs is not None
    return signs


def read(data: bytes, media_type: str, *anchors: Chain) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The validation state, the newest manifest and the whole report of a signed image."""
    trust = {"trust": {"trust_anchors": "".join(each.anchor for each in anchors)}}
    with c2pa.Context.from_dict(trust) as context, c2pa.Reader(media_type, io.BytesIO(data), context=context) as reader:
        return str(reader.get_validation_state()), reader.get_active_manifest() or {}, json.loads(reader.json())


def actions(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """What a manifest says was done."""
    (assertion,) = [each for each in manifest["assertions"] if each["label"].startswith("c2pa.actions")]
    found: list[dict[str, Any]] = assertion["data"]["actions"]
    return found
