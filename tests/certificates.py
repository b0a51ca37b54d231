"""Certificate chains for tests of signing, made on the spot."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["Chain", "chain"]

PURPOSE = ExtendedKeyUsageOID.EMAIL_PROTECTION


@dataclass(frozen=True)
class Chain:
    """A signer's certificate and its issuer's, the signer's key and the issuer as trust anchor; PEM text."""

    certificates: str
    private_key: str
    anchor: str


def chain(
    key: CertificateIssuerPrivateKeyTypes | None = None,
    days: tuple[float, float] = (-1, 30),
    purpose: x509.ObjectIdentifier = PURPOSE,
) -> Chain:
    """A chain that follows C2PA's certificate profile (C2PA 2.1, 14.5.1).

    Args:
        key: the signer's; a new one on P-256 by default.
        days: from when to when the signer's certificate is valid, counted from now.
        purpose: its extended key usage.
    """
    key = key or ec.generate_private_key(ec.SECP256R1())
    authority = ec.generate_private_key(ec.SECP256R1())
    root = _certificate("authority", authority, "authority", authority, (-60, 60))
    signer = _certificate("signer", key, "authority", authority, days, purpose)
    return Chain(
        certificates=_pem(signer) + _pem(root),
        private_key=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        anchor=_pem(root),
    )


def _certificate(
    subject: str,
    key: CertificateIssuerPrivateKeyTypes,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    days: tuple[float, float],
    purpose: x509.ObjectIdentifier | None = None,
) -> x509.Certificate:
    begins, ends = (datetime.now(UTC) + timedelta(days=each) for each in days)
    builder = (
        x509.CertificateBuilder(_name(issuer), _name(subject), key.public_key(), x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=purpose is None, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=purpose is None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if purpose is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    # C2PA shows the organisation as who signed.
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Imageloom's tests"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()
