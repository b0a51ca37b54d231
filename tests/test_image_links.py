"""Links to images are followed to where they may lead, and nowhere else."""

import asyncio
import datetime
import selectors
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tasks_lib.errors import BadImageError, GenerationError, LostImageError, StopError, TransientError
from tasks_lib.models import ImageRequest, OpenAIImageGeneration
from tasks_lib.models.http_post import HttpPoster
from tasks_lib.models.image_links import fetch_image
from tests.generating import generator_with
from tests.loopback import Asked, LoopbackServer, Reply

PUBLIC = "http://93.184.215.14/v1/"
IMAGE = b"\x89PNG, or so"
HASTE = 20
"""Times that the clock of these tests is as fast as others: pauses of 16 seconds are over in one."""


class LinkServer(LoopbackServer):
    """Answers GET by the path: /image, /to/URL redirects, /503/4 fails four times, anything else is 404."""

    def __init__(self, certificate: Path | None = None) -> None:
        super().__init__(self._reply, certificate)
        self.asked: list[tuple[str, str]] = []
        """Host and path of every request."""

    def _reply(self, asked: Asked) -> Reply:
        self.asked.append((asked.headers["host"], asked.path))
        if asked.path.startswith("/to/"):
            return Reply(status=302, headers={"Location": asked.path.removeprefix("/to/")})
        if asked.path.startswith("/50"):
            _, status, times = asked.path.split("/")
            return Reply(IMAGE, int(status) if len(self.asked) <= int(times) else 200)
        return Reply(IMAGE, 200 if asked.path.startswith("/image") else 404)


@pytest.fixture
def server() -> Iterator[LinkServer]:
    with LinkServer() as running:
        yield running


class HurriedSelector(selectors.DefaultSelector):
    """Waits a fraction of the time."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(timeout and timeout / HASTE)


class Resolver(asyncio.SelectorEventLoop):
    """A hurried event loop that answers look-ups of names from a list, and addresses as they are."""

    def __init__(self, *answers: str) -> None:
        super().__init__(HurriedSelector())
        self.answers = list(answers)
        """Of each look-up, with spaces between its addresses."""
        self.looked_up: list[str] = []

    def time(self) -> float:
        return super().time() * HASTE

    async def getaddrinfo(self, host: Any, port: Any, **hints: Any) -> Any:
        name = host if isinstance(host, str) else host.decode()
        if name.endswith(".test"):
            self.looked_up.append(name)
            found = self.answers.pop(0).split()
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]
        return await super().getaddrinfo(host, port, **hints)


def fetch(link: str, endpoint: str, loop: Resolver | None = None, max_bytes: int = 1000) -> bytes:
    async def ask() -> bytes:
        http = HttpPoster(max_bytes)
        try:
            # As long as a model has by default.
            async with asyncio.timeout(120):
                return await fetch_image(http, link, endpoint)
        finally:
            await http.aclose()

    with asyncio.Runner(loop_factory=lambda: loop or Resolver()) as runner:
        return runner.run(ask())


def test_link_on_the_endpoints_own_kind_of_address(server: LinkServer) -> None:
    """An endpoint on this machine may link to this machine, in full, relatively and by redirects."""
    for link in (f"{server.url}/image", "/image", f"{server.url}/to//image", f"/to/{server.url}/to//image?a=b"):
        assert fetch(link, f"{server.url}/v1/") == IMAGE


@pytest.mark.parametrize(
    ("host", "kind"),
    [
        ("127.0.0.1", "loopback"),
        ("127.9.9.9", "loopback"),
        ("2130706433", "loopback"),
        ("[::1]", "loopback"),
        ("[::ffff:127.0.0.1]", "loopback"),
        ("[2002:7f00:1::]", "loopback"),
        ("[64:ff9b::7f00:1]", "loopback"),
        ("0.0.0.0", "reserved"),
        ("[::]", "reserved"),
        ("255.255.255.255", "reserved"),
        ("224.0.0.1", "reserved"),
        ("169.254.169.254", "link-local"),
        ("[fe80::1]", "link-local"),
        ("10.0.0.1", "private"),
        ("172.16.0.1", "private"),
        ("192.168.1.1", "private"),
        ("100.64.0.1", "private"),
        ("[fd00::1]", "private"),
    ],
)
def test_public_endpoint_cannot_lead_us_inside(server: LinkServer, host: str, kind: str) -> None:
    """A link from a public endpoint to an address that is not public ends the run before anything is connected to."""
    with pytest.raises(StopError, match=f"is on a {kind} address") as caught:
        fetch(f"http://me:secret@{host}:{server.port}/image?signature=x", PUBLIC)
    assert server.asked == []
    assert "secret" not in str(caught.value) and "signature" not in str(caught.value)


def test_local_endpoint_cannot_lead_us_to_another_kind_of_address(server: LinkServer) -> None:
    """Not even an endpoint on this machine may link to the metadata service of a cloud, at once or by a redirect."""
    metadata = "http://169.254.169.254/latest/meta-data"
    for link in (metadata, f"{server.url}/to/{metadata}"):
        with pytest.raises(StopError, match="link-local"):
            fetch(link, f"{server.url}/v1/")


def test_checked_address_is_the_one_connected_to(server: LinkServer) -> None:
    """The name of a link is looked up once: a second answer cannot lead elsewhere. The server hears the name."""
    loop = Resolver("127.0.0.1", "169.254.169.254")
    assert fetch(f"http://images.test:{server.port}/image", f"{server.url}/v1/", loop) == IMAGE
    assert loop.looked_up == ["images.test"]
    assert server.asked == [(f"images.test:{server.port}", "/image")]
    with pytest.raises(StopError, match="private"):
        fetch(f"http://images.test:{server.port}/image", f"{server.url}/v1/", Resolver("10.0.0.1"))


@pytest.fixture
def silent(server: LinkServer) -> Iterator[str]:
    """An address on which nobody answers a call for a connection, at the server's port."""
    with socket.create_server(("127.0.0.2", server.port), backlog=0) as listening, ExitStack() as waiting:
        for _ in range(4):
            caller = waiting.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(listening.getsockname())
        yield "127.0.0.2"


@pytest.mark.parametrize("address", ["::1", "127.0.0.3", "silent"])
def test_every_address_of_a_name_is_tried(server: LinkServer, silent: str, address: str) -> None:
    """Where nobody listens at the first address of a link's host, or answers there, the next one gives the image."""
    first = silent if address == "silent" else address
    loop = Resolver(f"{first} 127.0.0.1")
    assert fetch(f"http://images.test:{server.port}/image", f"{server.url}/v1/", loop) == IMAGE
    assert loop.looked_up == ["images.test"]
    with pytest.raises(StopError, match="private"):
        fetch(f"http://images.test:{server.port}/image", f"{server.url}/v1/", Resolver(f"{first} 10.0.0.1"))


def certificate_for(name: str, folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    today = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(today - datetime.timedelta(1)).not_valid_after(today + datetime.timedelta(1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "certificate.pem"
    path.write_bytes(private + builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return path


def test_certificate_must_be_for_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the address is connected to, the certificate is checked for the name of the link."""
    certificate = certificate_for("images.test", tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with LinkServer(certificate) as server:
        loop = Resolver("127.0.0.1")
        assert fetch(f"https://images.test:{server.port}/image", f"{server.url}/v1/", loop) == IMAGE
        with pytest.raises(TransientError, match="gave no answer: ClientConnectorCertificateError"):
            fetch(f"https://other.test:{server.port}/image", f"{server.url}/v1/", Resolver(*["127.0.0.1"] * 7))
    assert len(server.asked) == 1


def test_image_that_is_not_there_yet(server: LinkServer) -> None:
    """An image that is paid for is worth more tries of its link; one that stays away is asked for anew."""
    for path in ("/500/4", "/503/4"):
        assert fetch(path, f"{server.url}/v1/") == IMAGE
        server.asked.clear()
    with pytest.raises(TransientError, match=r"/500/7, answered 500"):
        fetch("/500/7", f"{server.url}/v1/")
    server.asked.clear()
    with pytest.raises(LostImageError, match=r"/gone, answered 404"):
        fetch("/gone?signature=x", f"{server.url}/v1/")
    assert len(server.asked) == 3
    with pytest.raises(TransientError, match="gave no answer: ClientConnectorError"):
        fetch("http://127.0.0.1:9/image", f"{server.url}/v1/")


def test_an_image_that_is_lost_counts_toward_a_cap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the link of an image leads nowhere, it was paid for all the same, and the cap ends the attempts."""
    monkeypatch.setenv("OPENAI_API_KEY", "key")
    posts: list[str] = []

    def reply(asked: Asked) -> Reply:
        if asked.method == "GET":
            return Reply(status=404)
        posts.append(asked.path)
        return Reply(b'{"data": [{"url": "/gone.png"}]}', headers={"Content-Type": "application/json"})

    with LoopbackServer(reply) as server:
        model = OpenAIImageGeneration(model_id="a", dialect="compatible", base_url=f"{server.url}/v1")
        with generator_with(model, tmp_path, max_images=2) as generator:
            (found,) = generator.generate([ImageRequest("a cat")])
    assert (found.status, len(posts), generator.budget.images) == ("not_asked", 2, 2)


@pytest.mark.parametrize(
    "link",
    ["file:///etc/passwd", "ftp://127.0.0.1/x", "https://", "http://[::1", "http://127.0.0.1:99999/x", "data:,x"],
)
def test_what_is_no_link(server: LinkServer, link: str) -> None:
    """Only http and https are followed, and a malformed link is a bad image rather than a crash."""
    with pytest.raises(BadImageError, match="none that can be fetched"):
        fetch(link, f"{server.url}/v1/")


def test_too_much_of_it(server: LinkServer) -> None:
    """Too many bytes and too many redirects end the attempt."""
    with pytest.raises(GenerationError, match="at most 3 are taken"):
        fetch("/image", f"{server.url}/v1/", max_bytes=3)
    with pytest.raises(GenerationError, match="redirected more than 5 times"):
        fetch("/to/" * 7 + "/image", f"{server.url}/v1/")
