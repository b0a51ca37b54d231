"""The one sentence of any fault of a store's location."""

from collections.abc import Iterator
from contextlib import contextmanager

from tasks_lib.errors import StoreError, UsageError

__all__ = ["explained"]


@contextmanager
def explained(what: str, location: str) -> Iterator[None]:
    """Turn what a file system raises into a :class:`StoreError` that says what could not be done there."""
    try:
        yield
    except UsageError:
        raise
    # Each file system raises what its own library does (botocore, gcsfs, aiohttp ...), and they share no base.
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise StoreError(
            f"the store at {location} cannot be {what}: {reason}. "
            "Mend that, then run again: what is in the store is not asked again."
        ) from error
