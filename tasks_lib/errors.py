"""Every error Imageloom raises, in one tree.

ImageloomError
├── UsageError                  the caller can mend it before anything is spent (exit code 2)
│   ├── RecipeError             the recipe cannot be read or does not make sense
│   ├── SourceError             the prompts cannot be read, are empty or lack a column
│   ├── MissingExtraError       an optional dependency is not installed
│   ├── MissingSecretError      a key or token is not in the environment
│   └── OutputError             the dataset folder cannot be written or must not be replaced
├── GenerationError             one generation has no image; its row keeps its place with the reason
│   ├── RefusedError            the endpoint's moderation said no
│   ├── InvalidRequestError     the endpoint understood and rejected this request
│   ├── TransientError          worth another attempt
│   │   ├── ThrottledError      the endpoint asks us to slow down
│   │   ├── LostImageError      an image that is paid for cannot be fetched
│   │   └── BadImageError       what came back is not one complete image
│   │       └── NoImageError    it is no image at all, and nobody pays for it
│   └── NotAskedError           the run ended before this generation was asked
├── StopError                   the run cannot go on; everything paid for is kept
│   └── TooManyFailuresError    more generations failed than the recipe allows
├── LostWorkerError             a worker process was lost in the middle of a batch, which may be run again
├── ImageCellError              a value in an image column is not an image
├── PublishError                the Hub did not take a dataset; it stays on disk as it is
└── StoreError                  the store cannot be read or written

A message says what failed, what was found and what to do.
"""

from typing import Any

__all__ = [
    "BadImageError",
    "GenerationError",
    "ImageCellError",
    "ImageloomError",
    "InvalidRequestError",
    "LostImageError",
    "LostWorkerError",
    "MissingExtraError",
    "MissingSecretError",
    "NoImageError",
    "NotAskedError",
    "OutputError",
    "PublishError",
    "RecipeError",
    "RefusedError",
    "SourceError",
    "StopError",
    "StoreError",
    "ThrottledError",
    "TooManyFailuresError",
    "TransientError",
    "UsageError",
]


class ImageloomError(Exception):
    """Base of every error of this package."""


class UsageError(ImageloomError):
    """Something the caller can mend; raised before anything is spent."""


class RecipeError(UsageError):
    """The recipe cannot be read or does not make sense."""


class SourceError(UsageError):
    """The prompts cannot be read, are empty or lack a column."""


class MissingExtraError(UsageError):
    """An optional dependency is not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        self.feature = feature
        self.extra = extra
        super().__init__(f"{feature} needs an optional dependency. Install it with: pip install 'imageloom[{extra}]'")

    def __reduce__(self) -> tuple[type["MissingExtraError"], tuple[str, str]]:
        return type(self), (self.feature, self.extra)


class MissingSecretError(UsageError):
    """A key or token is not in the environment."""


class OutputError(UsageError):
    """The dataset folder cannot be written or must not be replaced."""


class GenerationError(ImageloomError):
    """One generation has no image.

    Attributes:
        status: what the row's ``status`` becomes.
        attempts: calls made before giving up; the generator fills it in.
        seconds: time spent on those calls; the generator fills it in.
    """

    status = "failed"
    attempts = 0
    seconds = 0.0


class RefusedError(GenerationError):
    """The endpoint's moderation said no; asking again would get the same answer."""

    status = "refused"


class InvalidRequestError(GenerationError):
    """The endpoint understood the request and rejected it (HTTP 400, 413, 422)."""


class TransientError(GenerationError):
    """Worth another attempt: a timeout, a lost connection, HTTP 408, 409, 425, 5xx.

    Attributes:
        retry_after: seconds the endpoint asked us to wait, or ``None``.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class ThrottledError(TransientError):
    """The endpoint asks us to slow down (HTTP 429 and 503)."""


class LostImageError(TransientError):
    """An image was made, and so is paid for, but cannot be fetched from where it lies."""


class BadImageError(TransientError):
    """What came back is not one complete image within bounds."""


class NoImageError(BadImageError):
    """What came back is no image at all: nothing, a page, an error in words. Nobody is paid for that."""


class NotAskedError(GenerationError):
    """The run ended (a cap was reached) before this generation was asked."""

    status = "not_asked"


class StopError(ImageloomError):
    """The run cannot go on: no key, no credit, no such model. Everything paid for is kept."""


class TooManyFailuresError(StopError):
    """More generations failed than ``limits.max_failure_rate`` allows; what there is was written.

    Attributes:
        distiset: the dataset as it was written, with its report.
    """

    distiset: Any = None


class LostWorkerError(ImageloomError):
    """A worker was lost in the middle of a batch; what it had stored is kept, and another may run the batch."""


class ImageCellError(ImageloomError):
    """A value in an image column is not an image."""


class PublishError(ImageloomError):
    """The Hub did not take a dataset; it stays on disk as it is, and publishing again goes on where it stopped."""


class StoreError(ImageloomError):
    """The store cannot be read or written."""
