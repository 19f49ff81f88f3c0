"""What the patients that a model's run held out tell of a new scan: how far its result may be off, and is it unlike.

It lies in the folder of the run, and an exported bundle takes it along, `models/evidence.json`: infected shares of the
held-out scans, whose patients are numbers there, means over the training scans, and temperatures. No voxel, no name and
no hash of a scan is in it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.statistics.findings import read_findings
from evaluation.statistics.severity_interval import HeldOut, Share
from evaluation.statistics.unlike_training import Familiarity, TraitLimits, read_limits
from pipeline.core.atomic import read_json, write_json
from pipeline.core.errors import InputError
from pipeline.core.run_files import DATALIST
from pipeline.core.scan_traits import TRAINING, Familiar, familiar, read_traits
from pipeline.core.stages import has_first_stage
from pipeline.core.temperature import Temperature, read_temperature
from pipeline.inference.ensemble import MEAN
from pipeline.inference.members import Member
from pipeline.scans.scan import file_sha256

logger = logging.getLogger(__name__)

# In a bundle
EVIDENCE_FILE = Path("models", "evidence.json")


@dataclass(frozen=True)
class Evidence:
    """What is known beside a model; nothing where nobody measured it.

    Args:
        held_out: infected shares of held-out cases of its run.
        familiarity: by which a scan is told that is unlike those of the training; None where that is not known.
        temperatures: of its probabilities of infection, one, or of a mean one a member; none where they are as the
            network gives them, as those of a vote, which are shares of votes.
    """

    held_out: HeldOut = field(default_factory=HeldOut)
    familiarity: Familiarity | None = None
    temperatures: tuple[Temperature, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.held_out.lungs or self.familiarity or self.temperatures)

    @property
    def of_bundle(self) -> Evidence:
        """What a bundle takes along: a temperature where there is one, since those of several are its members'."""
        return self if len(self.temperatures) == 1 else replace(self, temperatures=())


def evidence_of(members: Sequence[Member], method: str) -> Evidence:
    """Of one model, or of several that segment together, from the folders of their runs."""
    return Evidence(_held_out(members), _familiarity(members), _temperatures(members, method))


def write_evidence(bundle: Path, evidence: Evidence) -> None:
    """Write what a bundle takes along of it into the bundle; nothing where nothing is known."""
    evidence = evidence.of_bundle
    if not evidence:
        return
    networks = evidence.familiarity.networks if evidence.familiarity else ()
    content = {
        "weights": _weights(bundle),
        "held_out": _without_names(evidence.held_out),
        "familiar": [{**_as_lists(known), "limits": asdict(limits)} for known, limits in networks],
        "temperatures": [asdict(one) for one in evidence.temperatures],
    }
    write_json(bundle / EVIDENCE_FILE, content)


def read_evidence(bundle: Path) -> Evidence:
    """What a bundle took along; nothing where its weights are others now, InputError where the file is damaged."""
    file = bundle / EVIDENCE_FILE
    if not file.is_file():
        return Evidence()
    try:
        content: dict[str, Any] = read_json(file)
        weights = _weights(bundle)
        if other := [name for name, sha256 in content["weights"].items() if weights.get(name) != sha256]:
            logger.warning(
                "%s/models/%s was trained again: what held-out patients told of the weights before is left out.",
                bundle.name,
                other[0],
            )
            return Evidence()
        shares = content["held_out"]
        lungs, worse = (tuple(Share(str(one[0]), *one[1:]) for one in shares[name]) for name in ("lungs", "worse"))
        networks = [(_familiar(one), TraitLimits(**one["limits"])) for one in content["familiar"]]
        temperatures = tuple(Temperature(**one) for one in content["temperatures"])
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{bundle.name}/{EVIDENCE_FILE}: is not as it was written ({error!r}); export the bundle again."
        ) from error
    return Evidence(HeldOut(lungs, worse, shares["whose"]), Familiarity(networks) if networks else None, temperatures)


def _weights(bundle: Path) -> dict[str, str]:
    """SHA-256 of its files of weights by their names: a program that trains a bundle lays other ones there."""
    return {file.name: file_sha256(file) for file in sorted((bundle / EVIDENCE_FILE.parent).glob("*.pt"))}


def _without_names(held_out: HeldOut) -> dict[str, Any]:
    """As lists, with a number for each patient."""
    names = dict.fromkeys(share.patient for share in (*held_out.lungs, *held_out.worse))
    number = {name: str(place) for place, name in enumerate(names, 1)}
    lists = {
        name: [[number[share.patient], *share[1:]] for share in getattr(held_out, name)] for name in ("lungs", "worse")
    }
    return {"whose": held_out.whose, **lists}


def _as_lists(known: Familiar) -> dict[str, Any]:
    return {name: None if array is None else array.tolist() for name, array in vars(known).items()}


def _familiar(content: dict[str, Any]) -> Familiar:
    deep, spread, levels = (content[name] for name in ("deep", "spread", "levels"))
    return Familiar(np.array(deep, float), np.array(spread, float), None if levels is None else np.array(levels, float))


def _held_out(members: Sequence[Member]) -> HeldOut:
    """Of the run that all members are of; none where there is none, or they are of several."""
    runs = {run for member in members for run in _run_of(member)}
    if len(runs) != 1:
        return HeldOut()
    run = runs.pop()
    # What was laid down for others may lack it
    listed = read_json(run / DATALIST)["training"] if (run / DATALIST).is_file() else []
    patient_of = {entry["case"]: entry["patient_id"] for entry in listed}
    return HeldOut.of(
        [(finding.fold, finding.severity) for finding in read_findings(run) if finding.severity], patient_of
    )


def _temperatures(members: Sequence[Member], method: str) -> tuple[Temperature, ...]:
    """One a member, of the run that it is of; none of a vote, and where the run of any of them has none."""
    if len(members) > 1 and method != MEAN:
        return ()
    found = [temperature for member in members for run in _run_of(member) if (temperature := read_temperature(run))]
    return tuple(found) if len(found) == len(members) else ()


def _familiarity(members: Sequence[Member]) -> Familiarity | None:
    """Of all members, or none where the folder of any of them does not tell."""
    networks = []
    for member in members:
        known = familiar(read_traits(member.weights.parent)[TRAINING])
        limits = [found for run in _run_of(member) if (found := read_limits(run))]
        if known is None or not limits:
            return None
        networks.append((known, limits[0]))
    return Familiarity(networks)


def _run_of(member: Member) -> list[Path]:
    """The folder of the cross-validation that trained a member; that of a cascade is above its stages."""
    if not member.tells_training:
        return []
    run = member.weights.absolute().parents[1]
    return [run.parent if has_first_stage(read_json(member.configuration)) else run]
