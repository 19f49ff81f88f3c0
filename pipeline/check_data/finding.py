"""One thing that is wrong with, or worth knowing about, a case."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.core.errors import InputError, one_sentence

# An error: cannot be trained on or evaluated honestly. A warning: look at it. A note: nothing to do, but good to know.
ERROR, WARNING, NOTE = "error", "warning", "note"
LEVELS = (ERROR, WARNING, NOTE)


@dataclass(frozen=True)
class Finding:
    """What was found in a case.

    Args:
        level: one of LEVELS.
        case: its name; empty where it is about the whole data set.
        check: a short name of what was looked at, such as `grid`; `pipeline.check_data.repair` goes by it.
        file: that it is about; None where it is about the case.
        what: is wrong, with figures; goes on after the file's name.
        mend: what to do; empty for a note that asks for nothing.
        repair: what REPAIR writes instead; empty where it mends nothing.
    """

    level: str
    case: str
    check: str
    file: Path | None
    what: str
    mend: str = ""
    repair: str = ""

    @property
    def sentence(self) -> str:
        """All of it in plain words, as an error or a log tells it."""
        place = [f"case {self.case}"] if self.case else []
        place += [str(self.file)] if self.file else []
        return ": ".join([*place, self.told]) + "."

    @property
    def told(self) -> str:
        """What is wrong and what to do, without the place and the full stop."""
        return "; ".join(filter(None, (self.what, self.mend)))

    def as_json(self, folder: Path) -> dict[str, Any]:
        """For findings.json, the file relative to the data set's folder."""
        file = self.file
        if file is not None and file.is_relative_to(folder):
            file = file.relative_to(folder)
        return {
            "level": self.level,
            "case": self.case,
            "check": self.check,
            "file": "" if file is None else file.as_posix(),
            "what": self.what,
            "mend": self.mend,
            "repair": self.repair,
        }


def of_error(error: InputError, case: str, check: str, file: Path) -> Finding:
    """An error's sentence as a finding: what follows its last semicolon is what to do."""
    text = one_sentence(error).removeprefix(f"{file}: ").removesuffix(".")
    what, _, mend = text.rpartition("; ")
    return Finding(ERROR, case, check, file, what or mend, mend if what else "")


def of_level(findings: Iterable[Finding], *levels: str) -> list[Finding]:
    return [finding for finding in findings if finding.level in levels]
