"""The Prefect server of a command: reached before anything begins, or one sentence says why not."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from prefect.context import AsyncClientContext
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL

from tasks_lib.errors import ImageloomError
from tasks_lib.models.endpoint_url import without_login

__all__ = ["reached_server"]


@asynccontextmanager
async def reached_server() -> AsyncIterator[None]:
    """Hold a connection to the server while the block runs; flows in it use the same, so that it costs nothing.

    Raises:
        ImageloomError: it does not answer, is no Prefect server, or lets nobody in without a key.
    """
    async with AsyncExitStack() as connection:
        try:
            # Asks for the server's version, with the headers and keys of every call.
            await connection.enter_async_context(AsyncClientContext.get_or_create())
        except PrefectHTTPStatusError as error:
            raise ImageloomError(
                f"{_place()} answered {error.response.status_code}. Give the key it wants in PREFECT_API_AUTH_STRING "
                "or PREFECT_API_KEY, or name another server in PREFECT_API_URL."
            ) from error
        except (RuntimeError, ValueError) as error:  # Prefect's own, and a version that is none
            raise ImageloomError(
                f"{_place()} does not answer as one ({str(error)[:200]}). Start it with `prefect server start`, or "
                "name another in PREFECT_API_URL."
            ) from error
        yield


def _place() -> str:
    url = PREFECT_API_URL.value()
    return f"the Prefect server at {without_login(str(url))[0]}" if url else "Prefect's temporary server"
