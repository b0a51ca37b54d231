"""Keys and tokens that a recipe takes from Prefect Secret blocks."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import cast

from prefect.blocks.system import Secret

from tasks_lib.errors import MissingSecretError

__all__ = ["secrets_in_environment"]


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
