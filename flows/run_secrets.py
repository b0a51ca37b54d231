"""Keys and tokens of a run: taken from Prefect Secret blocks, and refused among its parameters."""

import os
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache
from threading import Lock
from typing import cast

from prefect.blocks.system import Secret
from prefect.context import FlowRunContext

from tasks_lib.errors import MissingSecretError, UsageError
from tasks_lib.plain_secrets import refuse_secrets

__all__ = ["refuse_secret_parameters", "secrets_in_environment"]


def refuse_secret_parameters() -> None:
    """Refuse the flow run that is under way if it was given a key or a password; each flow begins with this.

    Raises:
        RecipeError: it was; the message says where, never what.
    """
    context = FlowRunContext.get()
    # As the server keeps them.
    refuse_secrets(context.flow_run.parameters if context and context.flow_run else {})


@asynccontextmanager
async def secrets_in_environment(blocks: Mapping[str, str]) -> AsyncIterator[None]:
    """Put secrets into the environment while the block runs; a variable that somebody else has set stays as it is.

    Args:
        blocks: environment variable to the name of the Secret block that holds its value.

    Raises:
        MissingSecretError: there is no such block.
        UsageError: a run of this process that is under way has another secret in that variable.
    """
    variables = _filled_variables()
    async with AsyncExitStack() as taken:
        for variable, name in blocks.items():
            if not variables.set_by_others(variable):
                variables.take(variable, await _value(variable, name), name)
                taken.callback(variables.leave, variable)
        yield


class _FilledVariables:
    """Environment variables that runs of this process have filled; the last to leave one empties it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._runs: Counter[str] = Counter()

    def set_by_others(self, variable: str) -> bool:
        with self._lock:
            return not self._runs[variable] and bool(os.environ.get(variable))

    def take(self, variable: str, value: str, name: str) -> None:
        with self._lock:
            if self._runs[variable] and os.environ.get(variable) != value:
                raise UsageError(
                    f"another run of this process has another secret in {variable} than the Prefect Secret block "
                    f"'{name}' holds. Let it end first, run the two in processes of their own, or have the recipes "
                    "name different variables."
                )
            os.environ[variable] = value
            self._runs[variable] += 1

    def leave(self, variable: str) -> None:
        with self._lock:
            self._runs[variable] -= 1
            if not self._runs[variable]:
                os.environ.pop(variable, None)


@cache
def _filled_variables() -> _FilledVariables:
    # One for the process, as its environment is.
    return _FilledVariables()


async def _value(variable: str, name: str) -> str:
    try:
        block = await Secret.aload(name)
    except ValueError as error:
        raise MissingSecretError(
            f"the recipe takes {variable} from the Prefect Secret block '{name}', which this server does not have. "
            f"Create it in the UI under Blocks, or set the environment variable {variable}."
        ) from error
    return str(cast(Secret[str], block).get())
