"""What an experiment of a paper is: its number, its data, its networks, and the plan that follows from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pipeline.core.errors import InputError
from pipeline.experiments.description import Paper, PaperExperiment, described
from pipeline.experiments.plan import Plan, make_plan
from pipeline.experiments.random_plan import random_plan

if TYPE_CHECKING:
    from typing_extensions import Self

ANAM_NET = "anam_net"
PLANS = {"anam_net": make_plan, "random": random_plan}


@dataclass(frozen=True)
class Setting:
    """One experiment of a paper with some networks.

    Args:
        number: of the paper's experiments, from 1.
        data_dir: holds the sets that the experiment needs, see `pipeline.data.slice_sets`.
        networks: names of folders of `bundles/`, 2D networks or cascades of such.
        preset: name of a file of `bundles/common/presets`; only `paper` is the paper's.
        output_dir: of all experiments, since one may test the models of another.
        overrides: keys of train.yaml and inference.yaml to change, or the text of such a dictionary.
        preparation: one of the paper's, see `pipeline.experiments.prepared_slices`; empty for the paper's own.
        by_patient: where the experiment cuts a set into parts, cut it between patients.
        paper: name of a file of `bundles/common/experiments`.
    """

    number: int
    data_dir: str
    networks: Sequence[str]
    preset: str
    output_dir: str
    overrides: Mapping[str, Any] | str = field(default_factory=dict)
    preparation: str = ""
    by_patient: bool = False
    paper: str = ANAM_NET

    @cached_property
    def description(self) -> Paper:
        return described(self.paper)

    @cached_property
    def outline(self) -> PaperExperiment:
        """What the paper's description says of this experiment; InputError for a number that it has not."""
        every = self.description.experiments
        if not 1 <= self.number <= len(every):
            numbers = ", ".join(str(number + 1) for number in range(len(every)))
            raise InputError(f"EXP is {self.number}, expected one of: {numbers}.")
        return every[self.number - 1]

    @property
    def prepared(self) -> str:
        """Name of the preparation."""
        return self.preparation or self.description.preparation

    @cached_property
    def plan(self) -> Plan:
        arguments = dict(self.outline.plan)
        make: Any = PLANS[arguments.pop("kind")]
        return make(data_dir=self.data_dir, preparation=self.prepared, by_patient=self.by_patient, **arguments)

    @cached_property
    def training(self) -> Self:
        """The experiment whose models are tested: this one, unless it tests another one's."""
        return replace(self, number=self.outline.models_of) if self.outline.models_of else self
