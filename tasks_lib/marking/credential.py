"""Who signs C2PA manifests: the settings of ``marking: {type: c2pa}``, and the certificate and key they name."""

import os
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, field_validator

from tasks_lib.errors import MissingSecretError, RecipeError
from tasks_lib.settings import Settings

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
    from cryptography.x509 import Certificate

__all__ = ["C2paMarking", "Credential", "read_credential"]


class C2paMarking(Settings):
    """A signed C2PA manifest in each image; needs the extra `c2pa`.

    Signatures hold random salts, so that shards differ from build to build.
    """

    type: Literal["c2pa"]
    certificate: str
    """The file of the signer's certificate, followed by those that issued it, in PEM."""
    private_key_env: str = "C2PA_PRIVATE_KEY"
    """The environment variable that holds the private key in PEM, or the path of its file; never the key itself."""
    algorithm: Literal["es256", "es384", "es512", "ps256", "ps384", "ps512", "ed25519"] = "es256"
    """How the key signs: es256 with an elliptic curve key on P-256, ps256 with an RSA key, and so on."""
    timestamp_url: Annotated[str, Field(pattern=r"^https?://")] | None = None
    """An RFC 3161 timestamp authority, asked once an image. Without one, signatures hold until the certificate
    expires."""

    @field_validator("private_key_env")
    @classmethod
    def _check_variable(cls, name: str) -> str:
        if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name):
            # Not a ValueError, which pydantic tells together with the value: it may be the key.
            raise RecipeError(
                "marking.private_key_env: write the name of an environment variable, such as C2PA_PRIVATE_KEY; "
                "the key itself stays in that variable or in a file that it names."
            )
        return name


@dataclass(frozen=True)
class Credential:
    """What the C2PA library signs with, all of it in PEM."""

    certificates: bytes
    private_key: bytes = field(repr=False)


def read_credential(settings: C2paMarking) -> Credential:
    """The certificate and the key that a recipe names, once they are known to fit each other.

    Raises:
        MissingSecretError: the variable is not set, or does not hold a key.
        RecipeError: the certificate cannot be read or is not valid today, or certificate, key and algorithm
            do not fit each other.
    """
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    certificates = _read_certificates(settings.certificate)
    key = _read_key(settings)
    if key.public_key() != certificates[0].public_key():
        raise RecipeError(
            f"marking: the key in {settings.private_key_env} does not belong to the first certificate of "
            f"{settings.certificate} ({_subject(certificates[0])}); the signer's own certificate stands first, "
            "before those that issued it."
        )
    if settings.algorithm not in (possible := _algorithms(key)):
        raise RecipeError(
            f"marking.algorithm: the key in {settings.private_key_env} cannot sign with {settings.algorithm}; "
            + (f"write algorithm: {' or '.join(possible)}." if possible else "C2PA has no algorithm for such a key.")
        )
    return Credential(
        b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )


def _read_certificates(path: str) -> "list[Certificate]":
    from cryptography import x509

    try:
        certificates = x509.load_pem_x509_certificates(Path(path).read_bytes())
    except OSError as error:
        raise RecipeError(f"marking.certificate: {path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise RecipeError(f"marking.certificate: {path} does not hold certificates in PEM.") from error
    now = datetime.now(UTC)
    for each in certificates:
        if now > each.not_valid_after_utc:
            ended = f"{each.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
            raise RecipeError(f"marking.certificate: {_subject(each)} in {path} expired on {ended}; renew it.")
        if now < each.not_valid_before_utc:
            begins = f"{each.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
            raise RecipeError(f"marking.certificate: {_subject(each)} in {path} is not valid before {begins}.")
    return certificates


def _read_key(settings: C2paMarking) -> "PrivateKeyTypes":
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    name = settings.private_key_env
    value = os.environ.get(name, "").strip()
    if not value:
        raise MissingSecretError(
            f"marking needs the private key of {settings.certificate}, but the environment variable {name} is not "
            "set; set it to the key in PEM or to the path of its file."
        )
    # What the variable holds may be a key in the wrong shape: neither message nor cause may show it.
    try:
        pem = value.encode() if "-----BEGIN" in value else Path(value).read_bytes()
    except (OSError, ValueError):
        raise MissingSecretError(
            f"the environment variable {name} holds neither a private key in PEM nor the path of a "
            "file that can be read."
        ) from None
    try:
        return load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise MissingSecretError(
            f"the environment variable {name} does not lead to a private key in PEM without a passphrase."
        ) from None


def _algorithms(key: "PrivateKeyTypes") -> tuple[str, ...]:
    """What a key can sign with (C2PA 2.1, 13.2.1)."""
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    if isinstance(key, EllipticCurvePrivateKey):
        curves = {"secp256r1": ("es256",), "secp384r1": ("es384",), "secp521r1": ("es512",)}
        return curves.get(key.curve.name, ())
    if isinstance(key, RSAPrivateKey):
        return ("ps256", "ps384", "ps512")
    return ("ed25519",) if isinstance(key, Ed25519PrivateKey) else ()


def _subject(certificate: "Certificate") -> str:
    return f"the certificate of '{certificate.subject.rfc4514_string()}'"
