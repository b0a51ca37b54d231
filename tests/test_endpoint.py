"""The test endpoint speaks the text-to-image protocol and accounts for every call."""

import base64
import contextlib
import hashlib
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from hypothesis import given
from hypothesis import strategies as st

from tests.endpoint import Endpoint
from tests.endpoint_client import connect, hung_call, opened, post, raw_request, wait_for_in_flight
from tests.endpoint_images import image_for, pixels_for, shows_prompt

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("image_format", ["png", "jpeg", "webp"])
def test_hub_client_gets_the_image_of_its_prompt(endpoint: Endpoint, image_format: str) -> None:
    """Hugging Face's own client receives exactly the announced bytes, showing this prompt and no other."""
    prompt = f"a siamese cat [{image_format}]"
    with InferenceClient(model=endpoint.url, token="hf_test") as client:
        image = client.text_to_image(prompt, width=96, height=128, seed=7)
    parameters = {"width": 96, "height": 128, "seed": 7}
    sent = image.fp.getvalue()
    assert sent == endpoint.image_for(prompt, parameters)
    assert (image.format, image.size) == (image_format.upper(), (96, 128))
    assert shows_prompt(image, prompt, parameters)
    assert not shows_prompt(image, prompt, {**parameters, "seed": 8})
    (call,) = endpoint.calls
    assert (call.prompt, call.parameters, call.status, call.delivered) == (prompt, parameters, 200, True)
    assert call.headers["authorization"] == "Bearer hf_test"
    assert call.sent_sha256 == hashlib.sha256(sent).hexdigest()
    assert call.time_started <= call.time_ended


def test_hub_client_gets_an_edited_image(endpoint: Endpoint) -> None:
    """To edit an image is another request than to make one: the source image is part of it."""
    source = image_for("before", image_format="png")
    with InferenceClient(model=endpoint.url, token="hf_test") as client:
        image = client.image_to_image(source, prompt="make it blue")
    (call,) = endpoint.calls
    assert call.prompt == "make it blue"
    assert call.asked.source is not None
    assert base64.b64decode(call.asked.source) == source
    assert shows_prompt(image, call.prompt, call.parameters, call.asked.source)
    assert not shows_prompt(image, call.prompt, call.parameters)


def test_hub_client_sees_an_error(endpoint: Endpoint) -> None:
    """Hugging Face's client reports the status and the headers that a scenario sends."""
    with InferenceClient(model=endpoint.url, token="hf_test") as client, pytest.raises(HfHubHTTPError) as caught:
        client.text_to_image("a cat {{429 retry-after=3}}")
    assert caught.value.response.status_code == 429
    assert caught.value.response.headers["Retry-After"] == "3"


@given(prompt=st.text(), other=st.text(), seed=st.integers(), side=st.integers(64, 80))
def test_pixels_carry_the_request(prompt: str, other: str, seed: int, side: int) -> None:
    """An image shows its own request in every format and size, and never another prompt's."""
    parameters = {"seed": seed, "width": side}
    for image_format in ("png", "webp"):
        image = opened(image_for(prompt, parameters, image_format=image_format))
        assert image.convert("RGB").tobytes() == pixels_for(prompt, parameters).tobytes()
        assert shows_prompt(image, prompt, parameters)
        assert shows_prompt(image, other, parameters) == (prompt == other)


@pytest.mark.parametrize("image_format", ["png", "jpeg", "webp"])
def test_big_images(image_format: str) -> None:
    """Benchmark images have about the size asked for, decode, and differ from prompt to prompt only in a comment."""
    first, second = (image_for(prompt, image_format=image_format, image_bytes=100_000) for prompt in ("one", "another"))
    assert 90_000 < len(first) < 110_000
    assert first != second
    assert opened(first).tobytes() == opened(second).tobytes()


def test_client_that_leaves(http: httpx2.Client) -> None:
    """An image that nobody waits for any more is not delivered."""
    with Endpoint(latency_s=0.3) as endpoint:
        with httpx2.Client(trust_env=False, timeout=0.1) as impatient, pytest.raises(httpx2.ReadTimeout):
            post(impatient, endpoint, "a cat")
        assert post(http, endpoint, "a dog").elapsed.total_seconds() >= 0.3
        assert [call.delivered for call in endpoint.calls] == [False, True]


def test_keep_alive(endpoint: Endpoint) -> None:
    """One connection serves many calls, also those sent before their turn."""
    prompts = [f"cat {number} {{{{500}}}}" for number in range(5)]
    with connect(endpoint) as connection, connection.makefile("rb") as answers:
        connection.sendall(b"".join(raw_request(prompt) for prompt in prompts * 2))
        statuses = []
        for _ in range(10):
            head = list(iter(answers.readline, b"\r\n"))
            length = next(line for line in head if line.startswith(b"Content-Length"))
            answers.read(int(length.split()[1]))
            statuses.append(int(head[0].split()[1]))
    assert statuses == [500] * 5 + [200] * 5
    assert [call.prompt for call in endpoint.calls] == prompts * 2


def test_pause(endpoint: Endpoint, http: httpx2.Client) -> None:
    """A paused endpoint refuses connections, kept ones too, and comes back under the same URL."""
    url = endpoint.url
    assert post(http, endpoint, "before").status_code == 200
    endpoint.pause()
    with pytest.raises(httpx2.ConnectError):
        post(http, endpoint, "meanwhile")
    endpoint.resume()
    assert endpoint.url == url
    assert post(http, endpoint, "after").status_code == 200
    assert [call.prompt for call in endpoint.calls] == ["before", "after"]


def test_limit_in_flight(endpoint: Endpoint, http: httpx2.Client) -> None:
    """With three allowed in flight a fourth gets 429, which costs its prompt no attempt, until a place is free."""
    endpoint.allow(3, retry_after="2")
    hung = [hung_call(endpoint, number) for number in range(3)]
    wait_for_in_flight(endpoint, 3)
    throttled = post(http, endpoint, "a cat {{500}}")
    assert (throttled.status_code, throttled.headers["Retry-After"]) == (429, "2")
    hung.pop().close()
    wait_for_in_flight(endpoint, 2)
    assert [post(http, endpoint, "a cat {{500}}").status_code for _ in range(2)] == [500, 200]
    assert endpoint.most_in_flight == 4
    for connection in hung:
        connection.close()


def test_wrong_requests(endpoint: Endpoint, http: httpx2.Client) -> None:
    """What does not follow the protocol, or names no known scenario, is answered 400 with the reason."""
    contents: list[object] = [
        [],
        {"prompt": "a cat"},
        {"inputs": "a cat", "parameters": {"width": 0}},
        {"inputs": "{{typo}}"},
        {"inputs": "{{429 times}}"},
    ]
    for content in contents:
        answer = http.post(endpoint.url, json=content)
        assert answer.status_code == 400
        assert answer.json()["error"]
    assert http.post(endpoint.url, content=b"no JSON").status_code == 400
    assert endpoint.in_flight == 0


def test_stop() -> None:
    """Leaving the context ends calls that hang or that nobody reads, and the account can still be read."""
    with contextlib.ExitStack() as clients:
        with Endpoint() as endpoint:
            clients.enter_context(hung_call(endpoint, 1))
            unread = clients.enter_context(connect(endpoint))
            unread.sendall(raw_request("{{huge}}"))
            wait_for_in_flight(endpoint, 2)
        assert [call.delivered for call in endpoint.calls] == [False, False]
        assert endpoint.in_flight == 0


def test_process(http: httpx2.Client) -> None:
    """As a process of its own it prints its URL first, serves there and tells its account."""
    command = [sys.executable, "-m", "tests.endpoint", "--port", "0", "--latency", "0.1", "--image-bytes", "20000"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        answer = http.post(url, json={"inputs": "a cat"})
        account = http.get(url).json()
        process.terminate()
    assert answer.elapsed.total_seconds() >= 0.1
    assert answer.content == image_for("a cat", image_format="png", image_bytes=20_000)
    assert account == {"calls": 1, "delivered": 1, "most_in_flight": 1, "by_status": {"200": 1}}
