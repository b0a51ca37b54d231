"""What a build is measured against: the shortest loop that asks for images with the same client and keeps them.

Usage: ``python -m tests.benchmarks.raw_loop URL CALLS IN_FLIGHT FOLDER``
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2

__all__: list[str] = []


async def ask_all(url: str, calls: int, in_flight: int, folder: Path) -> None:
    """Keep ``in_flight`` calls going until all are answered; each image goes to its own file."""
    numbers = iter(range(calls))
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx2.AsyncClient(limits=limits, timeout=None, trust_env=False) as client:
        await asyncio.gather(*(_work(client, url, numbers, folder) for _ in range(in_flight)))


async def _work(client: httpx2.AsyncClient, url: str, numbers: Iterator[int], folder: Path) -> None:
    for number in numbers:
        answer = await client.post(url, json={"inputs": f"image {number}", "parameters": {"seed": number}})
        answer.raise_for_status()
        (folder / f"{number}.jpeg").write_bytes(answer.content)


if __name__ == "__main__":
    asyncio.run(ask_all(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])))
    print(json.dumps({"cpu_s": time.process_time()}))
