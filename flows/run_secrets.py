"""Keys and tokens of a run: taken from Prefect Secret blocks, and refused among its parameters."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import cast

from prefect.blocks.system import Secret
from prefect.context import FlowRunContext

from tasks_lib.errors import MissingSecretError
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
    """Put secrets into the environment while the block runs; a variable that is set already stays as it is.

    Args:
        blocks: environment variable to the name of the Secret block that holds its value.

    Raises:
        MissingSecretError: there is no such block.
    """
    missing = {variable: name for variable, name in blocks.items() if not os.environ.get(variable)}
    for variable, name in missing.items():
        os.environ[variable] = await _value(variable, name)
    try:
        yield
    finally:
        for variable in missing:
            os.environ.pop(variable, None)


async def _value(variable: str, name: str) -> str:
    try:
        block = await Secret.aload(name)
    except ValueError as error:
        raise MissingSecretError(
            f"the recipe takes {variable} from the Prefect Secret block '{name}', which this server does not have. "
            f"Create it in the UI under Blocks, or set the environment variable {variable}."
        ) from error
    return str(cast(Secret[str], block).get())
