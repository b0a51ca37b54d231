"""Options of one provider, sent as they are: all but the number of images, of which one a request is kept."""

from typing import Annotated, Any

from pydantic import AfterValidator

__all__ = ["ExtraOptions"]

NUMBERS_OF_IMAGES = ("n", "num_images", "num_images_per_prompt", "num_outputs")
"""How providers call it."""


def _checked(fields: dict[str, Any]) -> dict[str, Any]:
    for name in NUMBERS_OF_IMAGES:
        if fields.get(name) not in (None, 1):
            raise ValueError(
                f"{name} is {fields[name]!r}, but of each call one image is kept, and the others would be paid for "
                "nothing; for several images of a prompt set num_generations of the task, and for several in one call "
                "images_per_call of an openai model"
            )
    return fields


ExtraOptions = Annotated[dict[str, Any], AfterValidator(_checked)]
"""Fields by name, with values as JSON has them."""
