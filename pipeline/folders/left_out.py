"""What was found beside the scans and is not used, to be told where people look: a file left out is a lost patient."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class LeftOut:
    """Something that a command found and does not use.

    Args:
        name: below INPUT or DATA; of DICOM nothing that names a patient.
        why: in words, and after a semicolon what to do; goes after the name.
        missed: whether it looks like a scan or a label that somebody wants to be used, so that the command ends with
            status 1; false for what nobody would miss, such as results of an earlier run.
    """

    name: str
    why: str
    missed: bool = True

    @property
    def sentence(self) -> str:
        return f"{self.name}: {self.why}."


def any_missed(left_out: Iterable[LeftOut]) -> bool:
    return any(each.missed for each in left_out)
