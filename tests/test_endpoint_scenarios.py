"""The test endpoint goes wrong exactly as a prompt tells it to."""

import json
import socket
from email.utils import parsedate_to_datetime

import httpx2
import pytest
from PIL import Image

from tests.endpoint import Endpoint
from tests.endpoint_client import connect, opened, post, raw_request, wait_for_in_flight
from tests.endpoint_images import shows_prompt
from tests.endpoint_scenarios import mixed_fault


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 408, 409, 413, 422, 425, 429, 500, 502, 503, 504])
def test_errors_end(endpoint: Endpoint, http: httpx2.Client, status: int) -> None:
    """A marker's error comes the number of times it says, then the image; each call is in the account."""
    prompt = f"a cat {{{{{status} times=2}}}}"
    assert [post(http, endpoint, prompt).status_code for _ in range(3)] == [status, status, 200]
    assert [call.status for call in endpoint.calls_for(prompt)] == [status, status, 200]


def test_transient_errors_happen_once_and_lasting_ones_for_ever(endpoint: Endpoint, http: httpx2.Client) -> None:
    """Without `times`, what another try mends happens once and what it cannot mend happens every time."""
    assert [post(http, endpoint, "{{500}}").status_code for _ in range(3)] == [500, 200, 200]
    assert [post(http, endpoint, "{{404}}").status_code for _ in range(3)] == [404, 404, 404]
    assert [post(http, endpoint, "{{503 times=inf}}").status_code for _ in range(3)] == [503, 503, 503]


def test_markers_happen_one_after_the_other(endpoint: Endpoint, http: httpx2.Client) -> None:
    """Several markers in a prompt happen in their order, and again after a reset."""
    prompt = "{{429}} a cat {{500 times=2}} {{empty}}"
    for _ in range(2):
        answers = [post(http, endpoint, prompt) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [429, 500, 500, 200, 200]
        assert [bool(answer.content) for answer in answers[3:]] == [False, True]
        endpoint.reset()
        assert endpoint.calls == []


def test_retry_after(endpoint: Endpoint, http: httpx2.Client) -> None:
    """An error names a delay in seconds, as a date, or not at all."""
    assert post(http, endpoint, "{{503 retry-after=2}}").headers["Retry-After"] == "2"
    assert "Retry-After" not in post(http, endpoint, "{{429}}").headers
    dated = post(http, endpoint, "{{429 retry-date=3600}}").headers["Retry-After"]
    assert parsedate_to_datetime(dated).utcoffset() is not None
    assert dated.endswith("GMT")


@pytest.mark.parametrize(
    ("scenario", "status", "wording"),
    [
        ("refused-bfl", 400, "Content Moderated"),
        ("refused-fal", 422, "content_policy_violation"),
        ("refused-hf", 400, "content moderation"),
        ("refused-openai", 400, "moderation_blocked"),
        ("refused-replicate", 400, "NSFW content detected"),
        ("refused-replicate status=200", 200, "NSFW content detected"),
        ("refused-together", 400, "NSFW content"),
    ],
)
def test_refusals(endpoint: Endpoint, http: httpx2.Client, scenario: str, status: int, wording: str) -> None:
    """A refused prompt is refused every time, in JSON with its provider's words."""
    for _ in range(2):
        answer = post(http, endpoint, f"{{{{{scenario}}}}}")
        assert answer.status_code == status
        assert wording in json.dumps(answer.json())


@pytest.mark.parametrize("scenario", ["reset-before", "reset-middle", "close-middle"])
def test_cut_connections(endpoint: Endpoint, http: httpx2.Client, scenario: str) -> None:
    """A cut connection is an error for the client, not delivered in the account, and mended by another try."""
    prompt = f"a cat {{{{{scenario}}}}}"
    with pytest.raises(httpx2.TransportError):
        post(http, endpoint, prompt)
    assert post(http, endpoint, prompt).content == endpoint.image_for(prompt, {"seed": 1})
    assert [call.delivered for call in endpoint.calls] == [False, True]
    assert endpoint.calls[0].sent_sha256 is None


def received_before_reset(connection: socket.socket) -> bytes:
    """Read until the connection is reset; fails when it ends in order."""
    received = b""
    try:
        while piece := connection.recv(4096):
            received += piece
    except ConnectionResetError:
        return received
    raise AssertionError("the connection ended without a reset")


@pytest.mark.parametrize(("scenario", "begins"), [("reset-before", False), ("reset-middle", True)])
def test_resets_are_real(endpoint: Endpoint, scenario: str, begins: bool) -> None:
    """A reset reaches the client as a reset, before any byte or after the first half."""
    with connect(endpoint) as connection:
        connection.sendall(raw_request(f"{{{{{scenario}}}}}"))
        assert received_before_reset(connection).startswith(b"HTTP/1.1 200 OK") == begins


def test_hang(endpoint: Endpoint) -> None:
    """A hung call stays in flight without a byte until the client leaves, and is not delivered."""
    with httpx2.Client(trust_env=False, timeout=0.2) as impatient, pytest.raises(httpx2.ReadTimeout):
        post(impatient, endpoint, "{{hang}}")
    wait_for_in_flight(endpoint, 0)
    assert [call.delivered for call in endpoint.calls] == [False]


def test_trickle(endpoint: Endpoint, http: httpx2.Client) -> None:
    """A trickling image comes byte by byte at its pace and is whole in the end."""
    with http.stream("POST", endpoint.url, json={"inputs": "{{trickle ms=1}}"}) as answer:
        pieces = list(answer.iter_raw())
    assert len(pieces) > 100
    (call,) = endpoint.calls
    assert call.time_ended - call.time_started >= 0.001 * sum(len(piece) for piece in pieces)
    assert b"".join(pieces) == endpoint.image_for("{{trickle ms=1}}")


def test_slow(endpoint: Endpoint, http: httpx2.Client) -> None:
    """A slow call gets its image, later."""
    answer = post(http, endpoint, "{{slow seconds=0.2}}")
    assert answer.elapsed.total_seconds() >= 0.2
    assert answer.content == endpoint.image_for("{{slow seconds=0.2}}", {"seed": 1})


def test_what_is_no_image(endpoint: Endpoint, http: httpx2.Client) -> None:
    """HTML, nothing and half an image come with status 200 over a connection that ends in order."""
    assert post(http, endpoint, "{{html}}").headers["Content-Type"].startswith("text/html")
    assert post(http, endpoint, "{{empty}}").content == b""
    for scenario in ("half", "half-png", "half [webp]", "half-jpeg"):
        marker, _, asked_format = scenario.partition(" ")
        answer = post(http, endpoint, f"{{{{{marker}}}}} {asked_format}")
        assert answer.status_code == 200
        with pytest.raises(OSError, match=r"(?i)truncated|could not create decoder"):
            opened(answer.content)


def test_what_nobody_wants(endpoint: Endpoint, http: httpx2.Client) -> None:
    """A black image is black, a mislabelled one is right but for its label, a bomb is small and declares a lot."""
    black = post(http, endpoint, "{{black}} [jpeg]")
    assert (black.headers["Content-Type"], opened(black.content).format) == ("image/jpeg", "JPEG")
    assert not any(opened(black.content).tobytes())
    mislabelled = post(http, endpoint, "{{wrong-type}}")
    assert mislabelled.headers["Content-Type"] == "text/plain"
    assert shows_prompt(opened(mislabelled.content), "{{wrong-type}}", {"seed": 1})
    bomb = post(http, endpoint, "{{bomb}}").content
    assert len(bomb) < 100_000
    assert bomb[16:24] == (20_000).to_bytes(4) * 2
    with pytest.raises(Image.DecompressionBombError):
        opened(bomb)


@pytest.mark.parametrize(("marker", "header"), [("huge", "Content-Length"), ("huge length=no", "Transfer-Encoding")])
def test_huge(endpoint: Endpoint, http: httpx2.Client, marker: str, header: str) -> None:
    """A huge body is streamed, 300 MB of it, with its length or in chunks."""
    with http.stream("POST", endpoint.url, json={"inputs": f"{{{{{marker}}}}}"}) as answer:
        assert header in answer.headers
        assert sum(len(piece) for piece in answer.iter_raw()) > 300_000_000
    assert endpoint.calls[0].delivered


def test_huge_abandoned(endpoint: Endpoint, http: httpx2.Client) -> None:
    """A client that stops reading a huge body frees the endpoint, and the call is not delivered."""
    with http.stream("POST", endpoint.url, json={"inputs": "{{huge}}"}) as answer:
        next(answer.iter_raw())
    wait_for_in_flight(endpoint, 0)
    assert not endpoint.calls[0].delivered


def test_mixed_faults() -> None:
    """The share asked for meets a fault, the same requests with the same seed, others with another."""
    keys = [b"%d" % number for number in range(2000)]
    hit = [key for key in keys if mixed_fault(key, 0.2, seed=1)]
    assert 340 < len(hit) < 460
    assert hit != [key for key in keys if mixed_fault(key, 0.2, seed=2)]
    assert [mixed_fault(key, 0.2, seed=1) for key in hit] == [mixed_fault(key, 0.2, seed=1) for key in hit]
    assert len({str(mixed_fault(key, 0.2, seed=1)) for key in hit}) > 8


def test_fail_share_spares_second_calls(http: httpx2.Client) -> None:
    """With every first call failing, no first call brings the image and every second one does."""
    with Endpoint(fail_share=1.0, fail_seed=3) as endpoint:
        for number in range(40):
            whole = endpoint.image_for(f"cat {number}", {"seed": 1})
            try:
                assert post(http, endpoint, f"cat {number}").content != whole
            except httpx2.TransportError:
                assert not endpoint.calls[-1].delivered
            assert post(http, endpoint, f"cat {number}").content == whole
