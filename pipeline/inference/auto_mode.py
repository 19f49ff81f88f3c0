"""MODE=auto: the fastest mode of inference whose labels were measured to be as good as those of `exact`.

`pipeline.inference.fidelity` measures, and keeps what it found beside the model, in fidelity.json. It counts for the
model and the kind of processor that it was measured with, and for no other.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

from pipeline.core.atomic import read_json, write_json
from pipeline.core.configuration import MODES, load
from pipeline.core.device import chosen_device, name_of
from pipeline.core.labels import LabelMap
from pipeline.core.machine import instructions
from pipeline.core.provenance import processor
from pipeline.inference.eight_bits import eight_bits_file
from pipeline.inference.members import Member, sha256_of
from pipeline.scans.scan import file_sha256

EXACT, WHOLE = "exact", "whole"
EIGHT_BITS = "eight_bits"
FIDELITY = "fidelity.json"
# Dice against `exact` that a mode has to be above, mean of the scans in which `exact` finds the structure
LEAST_DICE_OF_LUNGS, LEAST_DICE_OF_INFECTION = 0.995, 0.98


class Choice(NamedTuple):
    """A mode, and why it was taken; no reason where somebody asked for it."""

    mode: str
    why: str = ""


@dataclass(frozen=True)
class Measured:
    """What a mode took and changed.

    Args:
        threads: that it computed with.
        seconds: of each scan, from its file to the label file.
        dice: against `exact`, by structure and scan; none where both find nothing.
        eight_bits_sha256: of the files that it took its 8 bits from; none for a mode without.
    """

    threads: int
    seconds: Mapping[str, float]
    dice: Mapping[str, Mapping[str, float]]
    eight_bits_sha256: Sequence[str] = ()

    @property
    def mean_seconds(self) -> float:
        return mean(self.seconds.values())

    def mean_dice(self) -> dict[str, float]:
        """Of each structure that was found."""
        return {structure: mean(found.values()) for structure, found in self.dice.items() if found}

    def is_faithful(self, labels: LabelMap) -> bool:
        """Whether every structure that was found is as good as the same."""
        return all(dice > least_dice(structure, labels) for structure, dice in self.mean_dice().items())


def least_dice(structure: str, labels: LabelMap) -> float:
    infected = {*labels.structures[structure]} <= {*labels.infection_classes}
    return LEAST_DICE_OF_INFECTION if infected else LEAST_DICE_OF_LUNGS


def chosen_mode(member: Member, labels: LabelMap) -> Choice:
    """The fastest mode that is faithful where it was measured; `whole` where none is, or nothing was measured."""
    kind = processor_kind()
    measured = {mode: each for mode, each in read_measured(member).get(kind, {}).items() if _counts(member, each)}
    faithful = {mode: each for mode, each in measured.items() if mode != EXACT and each.is_faithful(labels)}
    if not measured:
        how = f"pneumobundle fidelity {member.weights.parent}"
        return Choice(WHOLE, f"nothing was measured of this model on this kind of processor, {kind}; {how} measures it")
    if not faithful:
        told = ", ".join(mode for mode in measured if mode != EXACT)
        return Choice(WHOLE, f"no mode of those measured ({told}) is close enough to exact")
    best = min(faithful, key=lambda mode: faithful[mode].mean_seconds)
    return Choice(best, _why(faithful[best], measured))


def _why(best: Measured, measured: Mapping[str, Measured]) -> str:
    others = [f"{each.mean_seconds:.1f} s of {mode}" for mode, each in measured.items() if each is not best]
    dice = ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in best.mean_dice().items())
    return (
        f"it is the fastest that is close enough to exact: {best.mean_seconds:.1f} s a scan beside "
        f"{', '.join(others) or 'no others'}; Dice against exact: {dice or 'neither finds anything'}"
    )


def _counts(member: Member, measured: Measured) -> bool:
    """Whether a mode would do now what it did then: 8 bits need their package, and the same files."""
    if not measured.eight_bits_sha256:
        return True
    installed = importlib.util.find_spec("openvino") is not None
    return installed and list(measured.eight_bits_sha256) == eight_bits_sha256(member)


def eight_bits_sha256(member: Member) -> list[str]:
    """Of the 8-bit files that are there, of both stages of a cascade."""
    files = map(eight_bits_file, member.weight_files)
    return [file_sha256(file) for file in files if file.is_file()]


def has_eight_bits(mode: str) -> bool:
    """Whether a mode of bundles/common/modes computes in 8 bits; not one that there is not."""
    file = MODES / f"{mode}.yaml"
    return file.is_file() and bool(load([file]).get(EIGHT_BITS))


def fidelity_file(member: Member) -> Path:
    return member.weights.with_name(FIDELITY)


def read_measured(member: Member) -> dict[str, dict[str, Measured]]:
    """What was measured of a model by kind of processor and mode; nothing of what it was before another training."""
    content = _kept(member)
    return {
        kind: {mode: Measured(**each) for mode, each in modes.items()}
        for kind, modes in content.get("measured", {}).items()
    }


def write_measured(member: Member, scans: Mapping[str, str], measured: Mapping[str, Measured]) -> None:
    """Add modes measured on this machine; what was measured on other scans, or of another training, goes.

    `scans` are the hashes of the images by case.
    """
    kept = _kept(member)
    before = kept["measured"] if kept.get("scans") == scans else {}
    kind = processor_kind()
    mine = {**before.get(kind, {}), **{mode: asdict(each) for mode, each in measured.items()}}
    told = {"model_sha256": sha256_of([member]), "scans": dict(scans), "measured": {**before, kind: mine}}
    write_json(fidelity_file(member), told)


def _kept(member: Member) -> dict[str, Any]:
    file = fidelity_file(member)
    content: dict[str, Any] = read_json(file) if file.is_file() else {}
    return content if content.get("model_sha256") == sha256_of([member]) else {}


def processor_kind() -> str:
    """The processor that networks run on, a GPU where there is one, and the best of a CPU's instructions."""
    return name_of(chosen_device()) or f"{processor()}, {instructions()}"
