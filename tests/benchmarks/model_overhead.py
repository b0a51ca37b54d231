"""What a call of a model costs in CPU above the bare SDK it uses, against the same endpoint.

``python -m tests.benchmarks.model_overhead SIDE URL CALLS`` is one side: ``bare-hub``, ``our-hub``, ``bare-openai`` or
``our-openai``; it prints the milliseconds of CPU that a call takes.
"""

import asyncio
import base64
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterator

from tests.benchmarks.figure import Figure, at_most
from tests.benchmarks.processes import endpoint_process, run_module
from tests.openai_endpoint import OpenAIEndpoint

__all__ = ["model_overhead"]

CALLS = 400
IN_FLIGHT = 8
IMAGE_BYTES = 100_000
ROUNDS = 3
WARM_UP = 20


def model_overhead() -> Iterator[Figure]:
    """Calls for 100 KB images, eight in flight; below zero where we are cheaper than the SDK."""
    with endpoint_process(0.0, IMAGE_BYTES, "jpeg") as endpoint:
        yield _compare("hub", endpoint.url)
    with OpenAIEndpoint(image_bytes=IMAGE_BYTES, image_format="jpeg") as endpoint:
        yield _compare("openai", endpoint.url)


def _compare(name: str, url: str) -> Figure:
    sides = {side: [_measured(f"{side}-{name}", url) for _ in range(ROUNDS)] for side in ("bare", "our")}
    best = {side: min(runs) for side, runs in sides.items()}
    return at_most(
        0.5, f"model_overhead_{name}_ms", best["our"] - best["bare"], our_ms=best["our"], bare_ms=best["bare"]
    )


def _measured(side: str, url: str) -> float:
    return float(run_module("model_overhead", side, url, str(CALLS))["cpu_ms"])


async def _bare_hub(url: str) -> tuple[Callable[[int], Awaitable[bytes]], Callable[[], Awaitable[None]]]:
    from huggingface_hub import AsyncInferenceClient

    client = AsyncInferenceClient(model=url, token="x")  # no endpoint of this benchmark looks at it

    async def ask(number: int) -> bytes:
        image = await client.text_to_image(f"image {number}", seed=number)
        return bytes(image.fp.getvalue())  # type: ignore[attr-defined]  # before it is loaded, Pillow keeps the file

    return ask, client.close


async def _bare_openai(url: str) -> tuple[Callable[[int], Awaitable[bytes]], Callable[[], Awaitable[None]]]:
    from openai import AsyncOpenAI

    client = AsyncOpenAI(base_url=url, api_key="x", max_retries=0)

    async def ask(number: int) -> bytes:
        answer = await client.images.generate(model="gpt-image-2", prompt=f"image {number}")
        assert answer.data
        return base64.b64decode(answer.data[0].b64_json or "")

    return ask, client.close


async def _ours(kind: str, url: str) -> tuple[Callable[[int], Awaitable[bytes]], Callable[[], Awaitable[None]]]:
    from tasks_lib.models import ImageRequest, InferenceEndpointsImageGeneration, OpenAIImageGeneration

    model: InferenceEndpointsImageGeneration | OpenAIImageGeneration
    if kind == "hub":
        model = InferenceEndpointsImageGeneration(base_url=url)
    else:
        model = OpenAIImageGeneration(model_id="gpt-image-2", base_url=url)
    model.load()

    async def ask(number: int) -> bytes:
        return (await model.agenerate(ImageRequest(f"image {number}", seed=number if kind == "hub" else None))).data

    return ask, model.aclose


async def _cpu_ms(side: str, url: str, calls: int) -> float:
    who, kind = side.split("-")
    bare = _bare_hub if kind == "hub" else _bare_openai
    ask, close = await (bare(url) if who == "bare" else _ours(kind, url))
    numbers = iter(range(WARM_UP + calls))

    async def work(count: int) -> None:
        for _ in range(count):
            assert len(await ask(next(numbers))) > IMAGE_BYTES // 2

    await work(WARM_UP)
    started = time.process_time()
    await asyncio.gather(*(work(calls // IN_FLIGHT) for _ in range(IN_FLIGHT)))
    spent = time.process_time() - started
    await close()
    return spent / calls * 1000


if __name__ == "__main__":
    print(json.dumps({"cpu_ms": asyncio.run(_cpu_ms(sys.argv[1], sys.argv[2], int(sys.argv[3])))}))
