"""Which cases a report shows: the worst, the median and the best, and others evenly between them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from evaluation.measures.cases import Row

Each = TypeVar("Each")
# What a case is ranked by: the first of these that was scored
RANKED_BY = ("infection", "abnormal")


class Shown(NamedTuple):
    """A case of a fold and the Dice that it is ranked by, nan where it is not ranked."""

    case: str
    fold: int
    dice: float


def ranking_structure(structures: Iterable[str]) -> str | None:
    """The structure whose Dice ranks the cases; None where neither infection nor another name of it was scored."""
    scored = set(structures)
    return next((name for name in RANKED_BY if name in scored), None)


def ranking(rows: Iterable[Row], structure: str) -> list[Shown]:
    """Cases from the lowest to the highest Dice of a structure; undefined ones, where both masks are empty, are left
    out."""
    scored = [Shown(row["case"], row["fold"], row["dice"]) for row in rows if row["structure"] == structure]
    defined = [shown for shown in scored if not math.isnan(shown.dice)]
    return sorted(defined, key=lambda shown: (shown.dice, shown.case, shown.fold))


def landmarks(ranked: Sequence[Shown]) -> dict[str, Shown]:
    """The worst, the median (of an even number the lower of the two in the middle) and the best case.

    Fewer where there are fewer than three cases.
    """
    if not ranked:
        return {}
    last = len(ranked) - 1
    places = {"worst": 0, "best": last, "median": last // 2} if last > 1 else {"worst": 0, "best": last}
    if last == 0:
        places = {"only": 0}
    return {name: ranked[place] for name, place in sorted(places.items(), key=lambda item: item[1])}


def evenly(ranked: Sequence[Each], count: int) -> list[Each]:
    """At most `count` cases in their order: the landmarks, then others evenly spread over the ranking."""
    return _spread(ranked, count, worst=0)


def worst_and_evenly(ranked: Sequence[Each], count: int) -> list[Each]:
    """As `evenly`, but the worst cases, up to half of `count`, are among them: failures are what one has to see."""
    return _spread(ranked, count, worst=count // 2)


def _spread(ranked: Sequence[Each], count: int, worst: int) -> list[Each]:
    last = len(ranked) - 1
    if last < count:
        return list(ranked)
    spread = np.linspace(0, last, count).round().astype(int).tolist()
    # The three landmarks come first, so that a small count keeps them
    places = dict.fromkeys([0, last, last // 2, *range(worst), *spread])
    return [ranked[place] for place in sorted(list(places)[:count])]
