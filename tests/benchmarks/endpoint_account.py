"""The test endpoint as a process that also says when its calls began and ended.

Prints its URL; then, for each line it reads, a JSON object for the calls since the last one: ``calls``,
``delivered`` and ``began``, when the first of them had come in whole (seconds since 1970).
"""

import asyncio
import json
import sys
import time
from typing import Any

from tests.endpoint_server import HOST, Behaviour, EndpointServer

__all__: list[str] = []


async def serve(behaviour: Behaviour) -> None:
    """Serve until the input ends."""
    server = EndpointServer(behaviour)
    await server.listen(0)
    print(f"http://{HOST}:{server.port}", flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(_account(server)), flush=True)
        await server.forget()


def _account(server: EndpointServer) -> dict[str, Any]:
    since_1970 = time.time() - time.monotonic()
    began = min((call.time_started for call in server.calls), default=0.0)
    delivered = sum(call.delivered for call in server.calls)
    return {"calls": len(server.calls), "delivered": delivered, "began": began + since_1970}


if __name__ == "__main__":
    asyncio.run(serve(Behaviour(float(sys.argv[1]), int(sys.argv[2]), sys.argv[3])))
