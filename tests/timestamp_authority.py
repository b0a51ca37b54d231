"""A real RFC 3161 timestamp authority on loopback: OpenSSL's, behind HTTP."""

import subprocess
from pathlib import Path

from tests.loopback import Asked, LoopbackServer, Reply

__all__ = ["TimestampAuthority"]

SETTINGS = """
[req]
distinguished_name = name
x509_extensions = issuer
[name]
[issuer]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign
[authority]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
[tsa]
default_tsa = answers
[answers]
serial = ./serial
signer_cert = ./authority.pem
signer_key = ./authority.key
certs = ./issuer.pem
signer_digest = sha256
default_policy = 1.2.3.4
digests = sha256, sha384, sha512
ess_cert_id_alg = sha256
"""
NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-config", "openssl.cnf")


class TimestampAuthority(LoopbackServer):
    """Answers at ``url`` within a ``with`` block; ``asked`` counts the requests.

    Args:
        folder: an empty folder for its certificates.
    """

    def __init__(self, folder: Path) -> None:
        self.asked = 0
        self._folder = folder
        (folder / "openssl.cnf").write_text(SETTINGS)
        (folder / "serial").write_text("01\n")
        self._openssl(
            "req", "-x509", *NEW_KEY, "-keyout", "issuer.key", "-out", "issuer.pem", "-subj", "/O=T/CN=issuer"
        )
        self._openssl("req", *NEW_KEY, "-keyout", "authority.key", "-out", "authority.csr", "-subj", "/O=T/CN=time")
        issued = ("-CA", "issuer.pem", "-CAkey", "issuer.key", "-CAcreateserial", "-extfile", "openssl.cnf")
        self._openssl(
            "x509", "-req", "-in", "authority.csr", "-out", "authority.pem", *issued, "-extensions", "authority"
        )
        super().__init__(self._reply)

    def _reply(self, asked: Asked) -> Reply:
        self.asked += 1
        (self._folder / "query").write_bytes(asked.body)
        self._openssl("ts", "-reply", "-config", "openssl.cnf", "-queryfile", "query", "-out", "answer")
        # A connection that is kept would be answered when the block has ended.
        headers = {"Content-Type": "application/timestamp-reply", "Connection": "close"}
        return Reply((self._folder / "answer").read_bytes(), headers=headers)

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self._folder, check=True, capture_output=True, timeout=60)
