"""A real RFC 3161 timestamp authority on loopback: OpenSSL's, behind HTTP."""

import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

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


class TimestampAuthority:
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

        class Handler(BaseHTTPRequestHandler):
            def do_POST(handler) -> None:  # noqa: N805
                answer = self._answer(handler.rfile.read(int(handler.headers["Content-Length"])))
                handler.send_response(200)
                handler.send_header("Content-Type", "application/timestamp-reply")
                handler.send_header("Content-Length", str(len(answer)))
                handler.end_headers()
                handler.wfile.write(answer)

            def log_message(handler, *_: object) -> None:  # noqa: N805
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self._server.server_port}/"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, query: bytes) -> bytes:
        self.asked += 1
        (self._folder / "query").write_bytes(query)
        self._openssl("ts", "-reply", "-config", "openssl.cnf", "-queryfile", "query", "-out", "answer")
        return (self._folder / "answer").read_bytes()

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self._folder, check=True, capture_output=True, timeout=60)
