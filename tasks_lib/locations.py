"""Locations by URL: what opens which kind."""

import fsspec

from tasks_lib.errors import MissingExtraError, UsageError

__all__ = ["missing_package"]

EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
"""Those of our extras that open a protocol."""


def missing_package(what: str, url: str, error: ImportError) -> UsageError:
    """The error for a kind of URL whose package is not installed.

    Args:
        what: lies there, such as "A store".
        url: of which only the protocol is told.
        error: of fsspec, which names the package.
    """
    protocol = fsspec.utils.get_protocol(url)
    if protocol in EXTRAS:
        return MissingExtraError(f"{what} at {protocol}://", EXTRAS[protocol])
    return UsageError(f"{what} at {protocol}:// needs a package that is not installed: {error}.")
