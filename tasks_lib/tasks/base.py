"""What an image task is: it turns a row into a request, and an answer back into columns."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, ClassVar, Self

from pydantic import Field, PrivateAttr

from tasks_lib.errors import ImageCellError, ImageloomError, SourceError, StopError
from tasks_lib.generator import ImageGenerator
from tasks_lib.models import AnyImageGenerationModel
from tasks_lib.session import GenerationSession
from tasks_lib.settings import Settings

__all__ = ["ImageTask", "Row", "StepInput", "StepOutput"]

Row = dict[str, Any]
"""Column values of one prompt; once processed, with the task's outputs."""
StepInput = list[Row]
StepOutput = Iterator[list[Row]]


class ImageTask(Settings, ABC):
    """A step that asks an image generation model for images.

    A subclass names its columns and implements :meth:`format_input` and :meth:`format_output`; it may override
    :meth:`process` and talk to ``self.llm`` itself. This is distilabel's ``ImageTask``, carried on.
    """

    category: ClassVar[str] = "text-to-image"
    """The Hub's name for what the dataset is for, one of its task categories."""
    image_output: ClassVar[str] = "image"
    """The output that holds images; a dataset needs to be told where its first rows have none."""

    name: str = ""
    """What the task is called in messages."""
    image_generation_model: AnyImageGenerationModel
    """The model that answers."""
    num_generations: int = Field(default=1, ge=1)
    """Images for each row."""
    group_generations: bool = False
    """Keep the images of one row together, as lists in one row, instead of a row for each."""
    input_mappings: dict[str, str] = Field(default_factory=dict)
    """Which column of the source an input is read from: prompt: Prompt."""
    output_mappings: dict[str, str] = Field(default_factory=dict)
    """What an output is called in the dataset: image: picture."""

    _session: GenerationSession | None = PrivateAttr(None)

    @property
    @abstractmethod
    def inputs(self) -> list[str] | dict[str, bool]:
        """The columns that a row must have; as a dict, name to whether it is required."""

    @property
    @abstractmethod
    def outputs(self) -> list[str] | dict[str, bool]:
        """The columns that the task adds; ``model_name`` is one of them."""

    @abstractmethod
    def format_input(self, input: Row) -> Any:
        """The prompt for a row, or a request mapping with ``prompt`` and ``images``."""

    @abstractmethod
    def format_output(self, output: Row, input: Row) -> Row:
        """The output columns of one generation.

        Args:
            output: ``{"images": [image]}``; the image is base64 text or, inside a flow, a store reference.
            input: the row it was asked for.
        """

    @property
    def llm(self) -> GenerationSession:
        """What generates: ``generate_outputs``, ``get_generation_kwargs`` and ``model_name``.

        Raises:
            ImageloomError: the task is not loaded.
        """
        if self._session is None:
            raise ImageloomError(f"the task '{self.name or type(self).__name__}' is not loaded; call load() first.")
        return self._session

    @property
    def input_names(self) -> list[str]:
        """The columns that a row must have, in the task's words."""
        return _names(self.inputs)

    @property
    def output_names(self) -> list[str]:
        """The columns that the task adds, in the task's words."""
        return list(dict.fromkeys([*_names(self.outputs), "model_name"]))

    @property
    def prompt_input(self) -> str | None:
        """The input that is a text of the source: the first, unless a task says otherwise."""
        return self.input_names[0] if self.input_names else None

    @cached_property
    def _nothing(self) -> Row:
        """The outputs of a generation without an image; made once, since there are many rows."""
        return dict.fromkeys(self.output_names)

    def load(self) -> None:
        """Load the model and get ready to process, keeping images in memory only."""
        self.image_generation_model.load()
        self._session = GenerationSession(ImageGenerator(self.image_generation_model))

    def unload(self) -> None:
        """Let go of the model and its connections."""
        if self._session is not None:
            self._session.generator.close()
        self._session = None
        self.image_generation_model.unload()

    def connected_to(self, session: GenerationSession) -> Self:
        """A copy of this task that generates through ``session``."""
        copy = self.model_copy()
        copy._session = session
        return copy

    def process(self, inputs: StepInput) -> StepOutput:
        """Generate images for rows; yields one list with a row for every generation asked, in order.

        A generation that failed is a row with its outputs ``None``, its ``status`` and its ``error``.
        """
        outputs = self.llm.generate_outputs(
            inputs=self._format_inputs(inputs),
            num_generations=self.num_generations,
            **self.llm.get_generation_kwargs(),
        )
        yield [row for input, answers in zip(inputs, outputs, strict=True) for row in self._rows(input, answers)]

    def process_applying_mappings(self, rows: Sequence[Row]) -> Iterator[Row]:
        """Process rows of a source: its columns become the task's inputs, and its outputs the dataset's columns."""
        names = {**self.input_mappings, **self.output_mappings}
        for batch in self.process(self.to_inputs(rows)):
            for row in batch:
                yield {names.get(name, name): value for name, value in row.items()}

    def to_inputs(self, rows: Sequence[Row]) -> list[Row]:
        """Rows of a source in the task's words."""
        names = {column: name for name, column in self.input_mappings.items()}
        return [{names.get(column, column): value for column, value in row.items()} for row in rows]

    def formatted(self, row: Row) -> Any:
        """The row's :meth:`format_input`, or the error that says why its image cannot be used."""
        try:
            return self.format_input(row)
        except ImageCellError as error:
            return error

    def print(self, sample_input: Row | None = None) -> None:
        """Show the request that a sample row gives."""
        from rich import print as rich_print
        from rich.panel import Panel
        from rich.text import Text

        sample = sample_input or {name: f"<{name}>" for name in self.input_names}
        rich_print(Panel(Text(str(self.format_input(sample))), title=self.name or type(self).__name__))

    def _format_inputs(self, inputs: StepInput) -> list[Any]:
        return [self._format_checked(number, row) for number, row in enumerate(inputs)]

    def _format_checked(self, number: int, row: Row) -> Any:
        missing = [name for name in self.input_names if name not in row]
        if missing:
            raise SourceError(
                f"row {number} lacks {', '.join(map(repr, missing))}, which the task "
                f"'{self.name or type(self).__name__}' needs; found {', '.join(map(repr, row))}. "
                "Name the column in the task's input_mappings."
            )
        return self.formatted(row)

    def _format_outputs(self, outputs: list[Row], input: Row | None = None) -> list[Row]:
        return [self._format_one(output, input or {}) for output in outputs]

    def _format_one(self, output: Row, input: Row) -> Row:
        formatted = self._outputs_of(output, input) if output["images"] else {}
        told = {key: value for key, value in output.items() if key != "images"}
        return {**self._nothing, **formatted, "model_name": self.image_generation_model.model_name, **told}

    def _outputs_of(self, output: Row, input: Row) -> Row:
        formatted = self.format_output(output, input)
        if not isinstance(formatted, dict):
            raise StopError(
                f"{type(self).__name__}.format_output() returned a {type(formatted).__name__}; it must return a dict "
                "with the output columns of one generation. The image is kept: mend it and build again."
            )
        return formatted

    def _rows(self, input: Row, answers: list[Row]) -> list[Row]:
        formatted = self._format_outputs(answers, input)
        if not self.group_generations:
            return [{**input, **columns} for columns in formatted]
        names = list(dict.fromkeys(name for columns in formatted for name in columns))
        grouped = {name: [columns.get(name) for columns in formatted] for name in names}
        return [{**input, **grouped, "model_name": self.llm.model_name}]


def _names(columns: list[str] | dict[str, bool]) -> list[str]:
    if isinstance(columns, dict):
        return [name for name, required in columns.items() if required]
    return list(columns)
