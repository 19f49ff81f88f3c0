"""How far exported networks agree with the eager one in float32, on whole prepared scans."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from evaluation.measures.metrics import Overlap
from pipeline.core.labels import LabelMap
from pipeline.core.progress_bar import progress_bar
from pipeline.inference.features import Model
from pipeline.inference.fold_scans import Case, prepared
from pipeline.small_devices.formats import ONNX_INT8
from pipeline.small_devices.prepared import reference
from pipeline.small_devices.runners import Runner
from transforms.infection_threshold import InfectionThresholdd

EAGER = "eager float32"
# Of a probability; formats in float32 add in another order, and nothing else
LARGEST_DIFFERENCE = 0.001
# In 8 bits: of the labels in what either network finds, and of the Dice of any structure
LARGEST_CHANGE, LARGEST_DICE_LOSS = 0.05, 0.05


@dataclass
class Agreement:
    """A format beside the eager network.

    Args:
        difference: the largest absolute one of any probability.
        changed: voxels with another label.
        found: voxels in which either network finds a structure.
        dice: of each case by structure, nan where undefined; empty without labels.
    """

    difference: float = 0.0
    changed: int = 0
    found: int = 0
    dice: dict[str, list[float]] = field(default_factory=dict)

    @property
    def changed_share(self) -> float:
        """Of what either network finds; the background that both see would hide every change."""
        return self.changed / self.found if self.found else 0.0

    def mean_dice(self, structure: str) -> float:
        """Over the cases where it is defined; nan where there is none."""
        defined = [value for value in self.dice.get(structure, []) if not math.isnan(value)]
        return float(np.mean(defined)) if defined else math.nan

    def add(self, eager: torch.Tensor, own: torch.Tensor, labels: tuple[np.ndarray, np.ndarray]) -> None:
        """Count a case: probabilities (C, H, W, D) of both, and what labels (H, W, D) they make."""
        difference = float((eager - own).abs().max())
        # A comparison with nan is never above a tolerance
        self.difference = max(self.difference, math.inf if math.isnan(difference) else difference)
        theirs, mine = labels
        self.changed += int(np.count_nonzero(theirs != mine))
        self.found += int(np.count_nonzero((theirs > 0) | (mine > 0)))

    def score(self, truth: np.ndarray, labels: np.ndarray, classes: LabelMap) -> None:
        for name, numbers in classes.structures.items():
            overlap = Overlap.of(np.isin(truth, numbers), np.isin(labels, numbers))
            self.dice.setdefault(name, []).append(overlap.dice)


def agreements(model: Model, cases: Sequence[Case], runners: Mapping[str, Runner]) -> dict[str, Agreement]:
    """Every format's agreement with the one called EAGER, over all cases; the pipeline's own windows and padding."""
    classes: LabelMap = model.setting("classes")
    found = {name: Agreement() for name in runners}
    for case in progress_bar(cases, len(cases), "comparing the formats"):
        image, truth = prepared(model, case), reference(model, case)
        eager = model.infer(runners[EAGER], image)[0][0]
        expected = labels_of(model, eager)
        for name, run in runners.items():
            own = eager if name == EAGER else model.infer(run, image)[0][0]
            labels = expected if name == EAGER else labels_of(model, own)
            found[name].add(eager, own, (expected, labels))
            if truth is not None:
                found[name].score(truth, labels, classes)
    return found


def labels_of(model: Model, probabilities: torch.Tensor) -> np.ndarray:
    """Class numbers (H, W, D) from probabilities (C, H, W, D), with the model's threshold of infection; uint8."""
    threshold = InfectionThresholdd("pred", model.setting("classes"), model.setting("infection_threshold"))
    labels: np.ndarray = threshold({"pred": probabilities})["pred"].argmax(0).numpy().astype(np.uint8)
    return labels


def complaint(name: str, own: Agreement, eager: Agreement, trained: bool) -> str | None:
    """What of a format is beyond its tolerance, in words; None where nothing is.

    Formats in float32 are judged by probabilities, 8 bits by labels and Dice; not those of a network that has learned
    nothing, whose labels stand on a knife's edge.
    """
    if name != ONNX_INT8:
        if own.difference <= LARGEST_DIFFERENCE:
            return None
        return f"{name}: a probability differs by {own.difference:.2g}, more than {LARGEST_DIFFERENCE:g}"
    if not trained:
        return None
    if own.changed_share > LARGEST_CHANGE:
        return f"{name}: {own.changed_share:.1%} of the labels change, more than {LARGEST_CHANGE:.0%}"
    losses = {structure: eager.mean_dice(structure) - own.mean_dice(structure) for structure in own.dice}
    defined = [structure for structure, loss in losses.items() if not math.isnan(loss)]
    worst = max(defined, key=losses.__getitem__, default=None)
    if worst is None or losses[worst] <= LARGEST_DICE_LOSS:
        return None
    return f"{name}: the Dice of {worst} falls by {losses[worst]:.3f}, more than {LARGEST_DICE_LOSS:g}"
