"""What a build would ask and cost at most, found without a single call."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tasks_lib.batches import cut_batches
from tasks_lib.generator import ImageGenerator
from tasks_lib.recipe import Recipe
from tasks_lib.report import dollars
from tasks_lib.session import GenerationSession
from tasks_lib.source_table import read_source
from tasks_lib.store import ImageStore

__all__ = ["Estimate", "estimate"]

ROWS_AT_ONCE = 128


@dataclass(frozen=True)
class Estimate:
    """What a build would do; money in US dollars."""

    name: str
    rows: int
    generations: int
    in_store: int
    """Generations already paid for."""
    refused: int
    """Generations that moderation refused before, and that are not asked again."""
    to_ask: int
    """Generations a build would ask, within its caps."""
    not_asked: int
    """Generations that the caps leave out."""
    cost_usd: float | None
    """The most it would spend, or ``None`` where the price is unknown."""

    def to_dict(self) -> Mapping[str, Any]:
        """The estimate as JSON."""
        return asdict(self)

    def lines(self) -> list[tuple[str, str]]:
        """Names and values for people."""
        unknown = "unknown: state price_per_image_usd in the model"
        lines = [
            ("rows", f"{self.rows:,}"),
            ("images", f"{self.generations:,}"),
            ("in the store", f"{self.in_store:,}"),
            ("to ask", f"{self.to_ask:,}"),
            ("cost at most", unknown if self.cost_usd is None else dollars(self.cost_usd)),
        ]
        if self.refused:
            lines.append(("refused before", f"{self.refused:,}, asked again only with --retry-refused"))
        return [*lines, ("left out by a cap", f"{self.not_asked:,}")] if self.not_asked else lines


def estimate(recipe: Recipe, limit: int | None = None) -> Estimate:
    """Count what a build of ``recipe`` would ask.

    For a task that overrides ``process``, what its ``format_input`` gives is counted.

    Args:
        recipe: what would be built.
        limit: count only the first so many rows.

    Raises:
        UsageError: the prompts cannot be read.
    """
    table = read_source(recipe, limit)
    task, store = recipe.task, ImageStore(recipe.store)
    session = GenerationSession(ImageGenerator(task.image_generation_model, store, recipe.limits), recipe.seed)
    asked = kept = refused = 0
    for batch in cut_batches(table, task, ROWS_AT_ONCE, recipe.output.splits, recipe.seed):
        inputs = [task.formatted(row) for row in task.to_inputs(batch.rows)]
        options = task.image_generation_model.get_generation_kwargs()
        requests = session.starting_at(batch.numbers).requests(inputs, task.num_generations, options)
        keyed = {session.generator.fingerprint(request): request for request in requests if request}
        known = Counter(each.status for each in session.generator.known(keyed).values())
        asked, kept, refused = asked + len(keyed), kept + known["ok"], refused + known["refused"]
    price = task.image_generation_model.price_per_image_usd
    missing = asked - kept - refused
    to_ask = _within_caps(missing, recipe, price)
    return Estimate(
        name=recipe.name,
        rows=table.num_rows,
        generations=table.num_rows * task.num_generations,
        in_store=kept,
        refused=refused,
        to_ask=to_ask,
        not_asked=missing - to_ask,
        # Nothing costs nothing, whatever the price.
        cost_usd=0.0 if not to_ask else None if price is None else round(to_ask * price, 6),
    )


def _within_caps(missing: int, recipe: Recipe, price: float | None) -> int:
    caps = [missing]
    if recipe.limits.max_images is not None:
        caps.append(recipe.limits.max_images)
    if recipe.limits.max_cost_usd is not None and price:
        # Rounded first: 0.3 / 0.1 is 2.9999999999999996.
        caps.append(int(round(recipe.limits.max_cost_usd / price, 9)))
    return min(caps)
