"""What a task calls ``self.llm``: inputs become numbered, seeded requests, and their answers outputs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tasks_lib.errors import ImageCellError
from tasks_lib.generation import Generation
from tasks_lib.generator import ImageGenerator
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

    def read(self, formatted_input: Any) -> tuple[ImageRequest, dict[str, Any], str]:
        """What an input asks for: the request as yet without options, seed and number; its options; its key."""
        request, own = _parts(formatted_input)
        options = {**self._options, **own}
        return request, options, self._key(request, canonical_json(options) if own else self._json)

    def key(self, formatted_input: Any) -> str:
        """What makes two requests equal but for their number: 32 hexadecimal digits."""
        return self.read(formatted_input)[2]

    def _key(self, request: ImageRequest, options: str) -> str:
        images = request.images if request.mask is None else (*request.images, b"mask", request.mask)
        digests = ",".join(f'"{sha256(image)}"' for image in images)
        return sha256(f"[{canonical_json(request.prompt)},[{digests}],{options}]")[:32]


def _parts(formatted_input: Any) -> tuple[ImageRequest, dict[str, Any]]:
    """What an input asks for, and its own options."""
    if not isinstance(formatted_input, Mapping):
        return ImageRequest(str(formatted_input)), {}
    own = dict(formatted_input)
    prompt, images, mask = (own.pop(name, None) for name in ("prompt", "images", "mask"))
    return ImageRequest(str(prompt), images=tuple(images or ()), mask=mask), own


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
        self.outputs: list[dict[str, Any]] = []
        """All that :meth:`generate_outputs` gave, in order, where it is to be ``detailed``."""

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
            inputs: prompts, or request mappings with ``prompt``, perhaps ``images`` and a ``mask`` (encoded), and
                options of their own. An input that is ``None``, blank, or the error that kept a row from becoming
                one is not asked; its outputs say so.
            num_generations: images for each input.
            options: sent with each request; the model's own are used where none are given.

        Returns:
            A list for each input with ``num_generations`` outputs ``{"images": [base64]}``. One without an
            image has an empty list, its ``status`` and its ``error``.
        """
        options = options or self.get_generation_kwargs()
        requests = self.requests(inputs, num_generations, options)
        answers = iter(self.generator.generate([request for request in requests if request]))
        outputs = [
            self._output(next(answers)) if request else self._not_asked(inputs[place // num_generations])
            for place, request in enumerate(requests)
        ]
        if self.detailed:
            self.outputs += outputs
        return [outputs[start : start + num_generations] for start in range(0, len(outputs), num_generations)]

    def forget(self) -> None:
        """Drop the accounts of images that stand in no row: a task may ask several, and keep the best."""
        for output in self.outputs:
            self.generator.take_account(output["generation"]["fingerprint"] or "")

    def requests(
        self, inputs: Sequence[Any], num_generations: int, options: Mapping[str, Any]
    ) -> list[ImageRequest | None]:
        """The numbered requests, ``num_generations`` for each input; ``None`` for one that cannot be asked."""
        shared = RequestOptions(options)
        requests: list[ImageRequest | None] = []
        for each in inputs:
            requests += [None] * num_generations if _fault(each) else self._numbered(each, shared, num_generations)
        return requests

    def _numbered(self, formatted_input: Any, options: RequestOptions, count: int) -> list[ImageRequest]:
        request, sent, key = options.read(formatted_input)
        first = self._numbers[key]
        self._numbers[key] += count
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
        details = {
            "column": generation_column(generation.record),
            "fingerprint": generation.fingerprint,
            "created": generation.record.created if generation.record else None,
            "attempts": generation.attempts,
            "seconds": round(generation.seconds, 3),
        }
        return {"images": images, "status": generation.status, "error": generation.error, "generation": details}

    def _not_asked(self, formatted_input: Any) -> dict[str, Any]:
        output: dict[str, Any] = {"images": [], "status": "failed", "error": _fault(formatted_input)}
        details = {"column": None, "fingerprint": None, "created": None, "attempts": 0, "seconds": 0.0}
        return {**output, "generation": details} if self.detailed else output

    def _cells(self, generation: Generation) -> list[str]:
        record, store = generation.record, self.generator.store
        if record is None:
            return []
        if store is None:
            return [image_to_str(generation.data or b"")]
        if self.detailed:
            return [store.reference(record.file_name)]
        return [image_to_str(store.read([record.file_name])[0] or b"")]


def _fault(formatted_input: Any) -> str | None:
    """Why an input cannot be asked, if it cannot."""
    if isinstance(formatted_input, ImageCellError):
        return f"{formatted_input} So nothing was asked."
    prompt = formatted_input.get("prompt") if isinstance(formatted_input, Mapping) else formatted_input
    if prompt is None or (isinstance(prompt, str) and not prompt.strip()):
        return "the prompt is empty, so nothing was asked."
    return None
