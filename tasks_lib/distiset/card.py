"""The text of a Distiset's card: what is in it, how to load it, what to cite."""

from collections.abc import Mapping, Sequence

from tasks_lib.card_parts import render_card
from tasks_lib.distiset.splits import Config, splits_of

__all__ = ["card_body"]


def card_body(name: str, configs: Mapping[str, Config], citations: Sequence[str], load: str) -> str:
    """What people read, as Markdown.

    Args:
        name: what people call the dataset.
        configs: what is in it.
        citations: BibTeX entries.
        load: lines of Python that load it.
    """
    tables = {config: splits_of(value) for config, value in configs.items()}
    return render_card(
        "distiset_card.md.jinja",
        name=name,
        load=load,
        rows=[(config, split, len(each)) for config, splits in tables.items() for split, each in splits.items()],
        features={
            column: feature
            for splits in tables.values()
            for each in splits.values()
            for column, feature in each.features.items()
        },
        citations=citations,
    )
