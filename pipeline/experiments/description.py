"""What differs between the experiments of different papers: bundles/common/experiments/<paper>.yaml."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evaluation.measures.slices import EMPTY_SLICE_RULE
from pipeline.core.configuration import COMMON, TRAIN, load, merged
from pipeline.core.errors import InputError

EXPERIMENTS = COMMON / "experiments"
# The preset with the papers' own numbers
PAPER = "paper"


@dataclass(frozen=True)
class PaperExperiment:
    """One of a paper's experiments.

    Args:
        what: for the title.
        plan: which slices are trained and tested on: `kind`, of `pipeline.experiments.setting.PLANS`, and its
            arguments.
        by_patient: what is different where a set is cut between patients; empty where it is not cut.
        models_of: number of the experiment whose models are tested; 0 for its own.
        table: of `evaluation/tables/published`; None where the paper prints none. `table_name` is the paper's for it.
        trained, tested: slices that the paper says it trained a model and tested on; 0 where it does not say.
        remarks: what else has to be said beside the numbers.
    """

    what: str
    plan: Mapping[str, Any]
    by_patient: str = ""
    models_of: int = 0
    table: str | None = None
    table_name: str = ""
    trained: int = 0
    tested: int = 0
    remarks: Sequence[str] = ()


@dataclass(frozen=True)
class Paper:
    """A paper's experiments.

    Args:
        title: of the paper.
        networks: names of folders of `bundles/` that are run where none are named.
        label_map: that the networks are trained on, a cascade's excepted.
        preparations: of the slices, the paper's own first; what is said of each.
        kept: which slices of the sets count, in words.
        metrics: properties of `evaluation.measures.metrics.Overlap`.
        averagings: of `evaluation.measures.slices`; the paper's numbers stand beside the first.
        experiments: numbered from 1.
        default: the experiment that is run where none is named.
        overrides: of every network in every preset.
        paper_overrides: in the preset `paper` alone.
        recipe: that networks with another paper's are trained by in the preset `paper`.
        epoch: in the preset `paper`, `copies` of every slice in steps of `batch_size`; empty for the recipe's epochs.
        empty_slices: how slices without a structure are scored, in words.
        references: show the rows of the paper's table that were not run, too.
    """

    title: str
    networks: Sequence[str]
    label_map: str
    preparations: Mapping[str, str]
    kept: str
    metrics: Sequence[str]
    averagings: Sequence[str]
    experiments: Sequence[PaperExperiment]
    default: int = 1
    overrides: Mapping[str, Any] = field(default_factory=dict)
    paper_overrides: Mapping[str, Any] = field(default_factory=dict)
    recipe: str = ""
    epoch: Mapping[str, int] = field(default_factory=dict)
    empty_slices: str = EMPTY_SLICE_RULE
    references: bool = False

    @property
    def preparation(self) -> str:
        """Name of the paper's own."""
        return next(iter(self.preparations))

    def changes(self, network: str, preset: str) -> dict[str, Any]:
        """Overrides with which a network is trained as in the paper."""
        changes = dict(self.overrides)
        if preset == PAPER:
            changes |= recipe_overrides(network, self.recipe) if self.recipe else {}
            changes |= self.paper_overrides
        return changes


def papers() -> list[str]:
    """Names of the papers whose experiments can be run."""
    return sorted(file.stem for file in EXPERIMENTS.glob("*.yaml"))


def described(paper: str) -> Paper:
    """A paper's description; InputError where there is none."""
    if paper not in papers():
        raise InputError(f"PAPER is {paper!r}, expected one of: {', '.join(papers())}.")
    content = load([EXPERIMENTS / f"{paper}.yaml"])
    experiments = tuple(PaperExperiment(**experiment) for experiment in content.pop("experiments"))
    return Paper(**content, experiments=experiments)


def recipe_overrides(network: str, recipe: str) -> dict[str, Any]:
    """What trains a network by a paper's recipe where its own is another's; nothing where it has none of its own."""
    own = merged(TRAIN, network, PAPER, {}, {})["recipe"]
    return {} if own in (None, recipe) else {"recipe": recipe}
