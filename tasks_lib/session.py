"""What a task calls ``self.llm``: inputs become numbered, seeded requests, and their answers outputs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tasks_lib.generator import Generation, ImageGenerator
from tasks_lib.images import image_to_str
from tasks_lib.models import ImageRequest
from tasks_lib.provenance import Record, canonical_json, sha256

__all__ = ["GenerationSession", "RequestOptions", "generation_column"]


class RequestOptions:
    """The options of a run's requests; an input's own win.

    Args:
        options: what requests send unless their input says otherwise.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = dict(options)
        # Spelled once: most inputs of a run are texts, without options of their own.
        self._json = canonical_json(self._options)

    def request(self, formatted_input: Any) -> ImageRequest:
        """The request of an input, with neither seed nor number."""
        prompt, images, own = _parts(formatted_input)
        return ImageRequest(prompt=prompt, options={**self._options, **own}, images=images)

    def key(self, formatted_input: Any) -> str:
        """What makes two requests equal but for their number: 32 hexadecimal digits."""
        prompt, images, own = _parts(formatted_input)
        options = canonical_json({**self._options, **own}) if own else self._json
        digests = ",".join(f'"{sha256(image)}"' for image in images)
        return sha256(f"[{canonical_json(prompt)},[{digests}],{options}]")[:32]


def _parts(formatted_input: Any) -> tuple[str, tuple[bytes, ...], dict[str, Any]]:
    """Prompt, source images and own options of an input."""
    if not isinstance(formatted_input, Mapping):
        return str(formatted_input), (), {}
    own = {name: value for name, value in formatted_input.items() if name not in {"prompt", "images"}}
    return str(formatted_input.get("prompt")), tuple(formatted_input.get("images") or ()), own


def generation_column(record: Record | None) -> dict[str, Any] | None:
    """The value of the ``generation`` column: facts fixed when the image arrived, so that shards are repeatable."""
    if record is None:
        return None
    return {
        "seed": record.seed,
        "fingerprint": record.fingerprint,
        "image_sha256": record.sha256,
        "width": record.width,
        "height": record.height,
        "format": record.format,
        "options": canonical_json(record.request.get("options", {})),
        "seconds": record.seconds,
        "cost_usd": record.cost_usd,
    }


class GenerationSession:
    """Asks a generator on behalf of one task, and numbers equal requests so that each gets its own image.

    Args:
        generator: answers the requests.
        seed: the recipe's; the seed of each generation derives from it, the request and its number.
        numbers: how many of a request earlier rows asked, by :meth:`RequestOptions.key`.
        detailed: give store references with status and provenance, as a flow needs, instead of base64.
    """

    def __init__(
        self,
        generator: ImageGenerator,
        seed: int = 0,
        numbers: Mapping[str, int] | None = None,
        detailed: bool = False,
    ) -> None:
        self.generator = generator
        self.seed = seed
        self.detailed = detailed
        self._numbers: Counter[str] = Counter(numbers or {})

    @property
    def model_name(self) -> str:
        """The model's name."""
        return self.generator.model.model_name

    def get_generation_kwargs(self) -> dict[str, Any]:
        """The options that the model sends with every request."""
        return self.generator.model.get_generation_kwargs()

    def starting_at(self, numbers: Mapping[str, int]) -> "GenerationSession":
        """A session of its own over the same generator, for a batch whose earlier rows asked ``numbers``."""
        return GenerationSession(self.generator, self.seed, numbers, self.detailed)

    def generate_outputs(
        self, inputs: Sequence[Any], num_generations: int = 1, **options: Any
    ) -> list[list[dict[str, Any]]]:
        """Generate images for formatted inputs.

        Args:
            inputs: prompts, or request mappings with ``prompt``, perhaps ``images``, and options of their own. An
                input that is ``None`` or blank is not asked; its outputs say so.
            num_generations: images for each input.
            options: sent with each request; the model's own are used where none are given.

        Returns:
            A list for each input with ``num_generations`` outputs ``{"images": [base64]}``. One without an
            image has an empty list, its ``status`` and its ``error``.
        """
        options = options or self.get_generation_kwargs()
        requests = self.requests(inputs, num_generations, options)
        answers = iter(self.generator.generate([request for request in requests if request]))
        outputs = [self._output(next(answers)) if request else _blank_output() for request in requests]
        return [outputs[start : start + num_generations] for start in range(0, len(outputs), num_generations)]

    def requests(
        self, inputs: Sequence[Any], num_generations: int, options: Mapping[str, Any]
    ) -> list[ImageRequest | None]:
        """The numbered requests for formatted inputs, ``num_generations`` for each; ``None`` for a blank one."""
        shared = RequestOptions(options)
        requests: list[ImageRequest | None] = []
        for each in inputs:
            requests += [None] * num_generations if _is_blank(each) else self._numbered(each, shared, num_generations)
        return requests

    def _numbered(self, formatted_input: Any, options: RequestOptions, count: int) -> list[ImageRequest]:
        request, key = options.request(formatted_input), options.key(formatted_input)
        first = self._numbers[key]
        self._numbers[key] += count
        sent = dict(request.options)
        fixed = sent.pop("seed", None)
        return [
            replace(request, options=sent, seed=self._seed(key, number, fixed), number=number)
            for number in range(first, first + count)
        ]

    def _seed(self, key: str, number: int, fixed: int | None) -> int | None:
        if not self.generator.model.takes_seed:
            return None
        if fixed is not None:
            return fixed + number
        # 31 bits: some servers keep seeds in a signed 32-bit integer.
        return int(sha256(f"{self.seed} {key} {number}")[:8], 16) >> 1

    def _output(self, generation: Generation) -> dict[str, Any]:
        images = self._cells(generation)
        if not self.detailed:
            if generation.status == "ok":
                return {"images": images}
            return {"images": [], "status": generation.status, "error": generation.error}
        return {
            "images": images,
            "status": generation.status,
            "error": generation.error,
            "generation": {
                "column": generation_column(generation.record),
                "attempts": generation.attempts,
                "seconds": round(generation.seconds, 3),
            },
        }

    def _cells(self, generation: Generation) -> list[str]:
        record, store = generation.record, self.generator.store
        if record is None:
            return []
        if store is None:
            return [image_to_str(generation.data or b"")]
        if self.detailed:
            return [store.reference(record.file_name)]
        return [image_to_str(store.read([record.file_name])[0] or b"")]


def _is_blank(formatted_input: Any) -> bool:
    prompt = formatted_input.get("prompt") if isinstance(formatted_input, Mapping) else formatted_input
    return prompt is None or (isinstance(prompt, str) and not prompt.strip())


def _blank_output() -> dict[str, Any]:
    return {"images": [], "status": "failed", "error": "the prompt is empty, so nothing was asked."}
