"""What a node tells of a series, in memory and on the disk."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Series:
    """What is told of a series, none of which is a patient's name or number but the UIDs of study and series.

    Args:
        case: its name, in its results too.
        key: of patient, study and series; `number` counts how often it came, each time with more images.
        study_uid, series_uid: as its images say.
        sender: AE title; empty for STOW-RS.
        began, settled: seconds since 1970.
        told: images that it has, as far as they say; 0 where they do not.
        files: of its results, to be sent.
        targets: names of the peers that get them.
        message: what went wrong, in a sentence.
    """

    case: str
    key: str
    number: int
    study_uid: str
    series_uid: str
    sender: str
    began: float
    settled: float = 0.0
    told: int = 0
    files: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    message: str = ""

    def as_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Series:
        content = json.loads(text)
        tuples = {name: tuple(content[name]) for name in ("files", "targets")}
        return cls(**{**content, **tuples})
