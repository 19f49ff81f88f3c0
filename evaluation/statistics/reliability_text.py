"""What a run's probabilities are worth, in words and a plain-text table."""

from __future__ import annotations

import textwrap

from evaluation.statistics.intervals import Estimate
from evaluation.statistics.reliability import RULE, Reliability
from pipeline.core.temperature import TEMPERATURE_FILE, Temperature
from pipeline.core.text_table import WIDTH, aligned, number, sentence

SCORE_NAMES = {
    "ece": "expected calibration error",
    "brier": "Brier score",
    "nll": "negative log-likelihood (nats)",
}
BEFORE, AFTER = "as the networks gave them", "after the temperature"


def reliability_text(found: Reliability) -> str:
    """A title, a line a score before and after, the temperature or why there is none, and the rule."""
    columns = {BEFORE: found.before, **({AFTER: found.after} if found.after else {})}
    title = f"Probabilities of infection, {len(found.shares)} patients, with 95 % intervals"
    lines = [["", *columns]]
    for name, told in SCORE_NAMES.items():
        lines.append([told, *(with_interval(getattr(scores, name)) for scores in columns.values())])
    said = [temperature_sentence(found), sentence(RULE)]
    return "\n".join((title, aligned(lines), *(textwrap.fill(one, WIDTH) for one in said)))


def with_interval(found: Estimate) -> str:
    """`0.042 (0.021 to 0.077)`, the number alone where there is no interval."""
    if found.low is None or found.high is None:
        return number(found.value)
    return f"{number(found.value)} ({number(found.low)} to {number(found.high)})"


def temperature_sentence(found: Reliability) -> str:
    """What the temperature is and means, or why there is none."""
    if found.temperature is None:
        return found.why_not
    return f"{_meaning(found.temperature)} It is kept in {TEMPERATURE_FILE}; labels do not change by it."


def _meaning(found: Temperature) -> str:
    sure = "too sure" if found.temperature > 1 else "not sure enough"
    return (
        f"The temperature of {found.patients} held-out patients is {found.temperature:.2f}: the networks are {sure} of "
        "infection."
    )
