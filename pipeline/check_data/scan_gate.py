"""The one gate that every scan passes, to be trained on or segmented: is it readable, in place, and in known units?"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from pipeline.check_data import files, geometry, intensity
from pipeline.check_data.finding import ERROR, Finding, of_level
from pipeline.core.errors import InputError
from pipeline.scans.simpleitk import sitk

# After these there is nothing in a scan that could be segmented, whoever asks for it
HOPELESS = ("file", "dimensions", "direction", "finite", "constant", "nowhere")


class Passed(NamedTuple):
    """A scan at the gate: its image (None where it cannot be read), `hu` or `grey255` (None for neither), findings."""

    image: sitk.Image | None
    domain: str | None
    findings: list[Finding]


def look_at_scan(path: Path, case: str) -> Passed:
    """Read a scan to its end, and say all that is wrong with it alone."""
    image, findings = files.read(path, case)
    if image is None:
        return Passed(None, None, findings)
    seen = look_at_image(image, case, path)
    return seen._replace(findings=[*findings, *seen.findings])


def look_at_image(image: sitk.Image, case: str, file: Path | None = None) -> Passed:
    """Say all that is wrong with a scan in memory alone, of a file or of none."""
    path = Path(case) if file is None else file
    domain, doubts = intensity.check_intensity(image, case, path)
    places = [*geometry.check_place(image, case, path), *geometry.check_slices(image, case, path)]
    return Passed(image, domain, [*places, *doubts])


def refuse_scan(path: Path, case: str) -> None:
    """Raise InputError with the first error of a scan, for commands that only look at it."""
    for finding in of_level(look_at_scan(path, case).findings, ERROR):
        raise InputError(finding.sentence)


def refuse_errors(passed: Passed, case: str, anyway: bool = False, how: str = "ANYWAY=1") -> list[str]:
    """Raise InputError with the first error of a scan; with `anyway`, the sentences of those that it went on past.

    What cannot be read or has no numbers is refused all the same. `how` is what to give for `anyway`.
    """
    errors = of_level(passed.findings, ERROR)
    for finding in errors:
        hopeless = finding.check in HOPELESS or passed.domain is None
        if hopeless or not anyway:
            hint = "" if hopeless else f"; {how} segments it all the same"
            raise InputError(f"{case}: {finding.what}; {finding.mend}{hint}.")
    return [f"segmented ANYWAY: {finding.what}; {finding.mend}." for finding in errors]
