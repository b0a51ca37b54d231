"""What a build is measured against: the shortest loop that asks for images with the same client and keeps them.

Usage: ``python -m tests.benchmarks.raw_loop URL CALLS IN_FLIGHT FOLDER``
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp

__all__: list[str] = []


async def ask_all(url: str, calls: int, in_flight: int, folder: Path) -> None:
    """Keep ``in_flight`` calls going until all are answered; each image goes to its own file."""
    numbers = iter(range(calls))
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as client:
        await asyncio.gather(*(_work(client, url, numbers, folder) for _ in range(in_flight)))


async def _work(client: aiohttp.ClientSession, url: str, numbers: Iterator[int], folder: Path) -> None:
    for number in numbers:
        request = {"inputs": f"image {number}", "parameters": {"seed": number}}
        async with client.post(url, json=request, raise_for_status=True) as answer:
            (folder / f"{number}.jpeg").write_bytes(await answer.read())


if __name__ == "__main__":
    asyncio.run(ask_all(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])))
    print(json.dumps({"cpu_s": time.process_time()}))
