"""Signs images with a C2PA manifest that says a model made them."""

import io
import re
from collections.abc import Callable
from typing import Any

from PIL import Image

from tasks_lib.errors import MissingExtraError, RecipeError, StopError
from tasks_lib.marking.credential import C2paMarking, Credential, read_credential
from tasks_lib.marking.iptc import mark_as_generated, with_statement
from tasks_lib.marking.xmp import Maker
from tasks_lib.version import imageloom_version

__all__ = ["open_c2pa_mark"]

_MEDIA_TYPES = {
    re.compile(rb"\x89PNG\r\n\x1a\n"): "image/png",
    re.compile(rb"\xff\xd8\xff"): "image/jpeg",
    re.compile(rb"RIFF.{4}WEBP", re.DOTALL): "image/webp",
    re.compile(rb"GIF8[79]a"): "image/gif",
    re.compile(rb".{4}ftypavi[fs]", re.DOTALL): "image/avif",
    re.compile(rb"II\*\0|MM\0\*"): "image/tiff",
}
_LIBRARY_SETTINGS = {
    "builder": {"thumbnail": {"enabled": False}},
    # Reading a provider's manifest asks no server.
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
}
_PARENT = {"title": "as it came", "relationship": "parentOf", "label": "parent"}
"""How a manifest names the image that it was signed over."""


def open_c2pa_mark(settings: C2paMarking, trained: bool) -> Callable[[bytes, str], bytes]:
    """A function that signs an image, given its bytes and the name of the model that made it.

    It gives back the image with IPTC's statement in its XMP (PNG, JPEG, WebP) and a C2PA manifest that binds
    both to the signer's certificate; pixels and their compressed data stay byte for byte. PNG, JPEG, WebP, GIF,
    AVIF and TIFF can be signed. What cannot be (other formats, a file or a manifest that the library cannot
    parse) gets what :func:`~tasks_lib.marking.iptc.mark_as_generated` gives it, at least the bytes as they came.

    The manifest says that the model created the image, with IPTC's digital source type. A manifest that came
    with the image is kept inside the new one, as the parent ingredient, where readers still validate it. An
    edited image counts as created too: its source is not known here.

    Signing is not deterministic: the library salts each assertion, whatever the algorithm. Two signatures of one
    image differ in the manifest, and in nothing else.

    Args:
        settings: certificate, key and algorithm.
        trained: whether the model learned from data, or is a program that draws.

    Raises:
        MissingExtraError: the extra `c2pa` is not installed.
        MissingSecretError: the private key is not in the environment.
        RecipeError: certificate, key and algorithm do not fit each other, or a test image cannot be signed.

    Sources: C2PA 2.1, sections 9 (binding), 18.4 (ingredients) and 18.16 (actions).
    """
    try:
        import c2pa  # noqa: F401  # only to know that it is there
        import cryptography  # noqa: F401  # the same
    except ImportError as error:
        raise MissingExtraError("marking: c2pa", "c2pa") from error
    mark = _C2paMark(read_credential(settings), settings, trained)
    mark.try_out()
    return mark


class _C2paMark:
    """Holds the library's signer; the key stays inside it."""

    def __init__(self, credential: Credential, settings: C2paMarking, trained: bool) -> None:
        import c2pa

        self._settings = settings
        self._trained = trained
        self._generator = {"name": "imageloom", "version": imageloom_version()}
        signer = c2pa.Signer.from_info(
            c2pa.C2paSignerInfo(
                settings.algorithm, credential.certificates, credential.private_key, settings.timestamp_url
            )
        )
        self._context = c2pa.Context.from_dict(_LIBRARY_SETTINGS, signer)

    def __call__(self, data: bytes, model_name: str) -> bytes:
        """The image, signed.

        Raises:
            StopError: no image can be signed any more.
        """
        import c2pa

        maker = Maker(model_name, self._trained)
        media_type = next((name for beginning, name in _MEDIA_TYPES.items() if beginning.match(data)), None)
        try:
            return self._sign(data, media_type, maker) if media_type else data
        except c2pa.C2paError.Signature as error:
            raise StopError(
                f"marking: an image of {model_name} cannot be signed: {error}; every image paid for is in the store: "
                "see to certificate and timestamp authority and build again, and nothing is asked twice."
            ) from error
        except c2pa.C2paError:
            return mark_as_generated(data, model_name, self._trained)

    def try_out(self) -> None:
        """Sign a tiny image and read it back.

        Raises:
            RecipeError: the library refuses the certificate, or the timestamp authority does not answer.
        """
        import c2pa

        buffer = io.BytesIO()
        Image.new("RGB", (8, 8)).save(buffer, format="PNG")
        try:
            signed = self._sign(buffer.getvalue(), "image/png", Maker("test", self._trained))
            with c2pa.Reader("image/png", io.BytesIO(signed), context=self._context) as reader:
                fault = None if reader.get_validation_state() in ("Valid", "Trusted") else "it does not validate"
        except c2pa.C2paError as error:
            fault = str(error)
        if fault:
            authority = self._settings.timestamp_url
            raise RecipeError(
                f"marking: signing a test image with {self._settings.certificate}"
                f"{f' and the timestamp authority {authority}' if authority else ''} failed: {fault}; as for the "
                "certificate, C2PA asks for one that another one issued, for digital signatures, with the purpose "
                "email protection or document signing."
            )

    def _sign(self, data: bytes, media_type: str, maker: Maker) -> bytes:
        import c2pa

        has_parent = self._has_manifest(data, media_type)
        actions = {"actions": [_opened(maker) if has_parent else _created(maker)]}
        manifest = {
            "claim_generator_info": [self._generator],
            "assertions": [{"label": "c2pa.actions.v2", "data": actions}],
        }
        signed = io.BytesIO()
        with c2pa.Builder(manifest, context=self._context) as builder:
            if has_parent:
                builder.add_ingredient(_PARENT, media_type, io.BytesIO(data))
            builder.sign(media_type, io.BytesIO(with_statement(data, maker)), signed)
        return signed.getvalue()

    def _has_manifest(self, data: bytes, media_type: str) -> bool:
        import c2pa

        reader = c2pa.Reader.try_create(media_type, io.BytesIO(data), context=self._context)
        if reader is not None:
            reader.close()
        return reader is not None


def _created(maker: Maker) -> dict[str, Any]:
    return {
        "action": "c2pa.created",
        "softwareAgent": {"name": maker.name},
        "digitalSourceType": maker.source_type,
    }


def _opened(maker: Maker) -> dict[str, Any]:
    """For an image whose own manifest says who created it; the source type is said again for simple readers."""
    return {
        "action": "c2pa.opened",
        "softwareAgent": {"name": "imageloom"},
        "description": f"generated by {maker.name}",
        "digitalSourceType": maker.source_type,
        "parameters": {"ingredientIds": [_PARENT["label"]]},
    }
