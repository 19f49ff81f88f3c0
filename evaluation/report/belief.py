"""Should I believe this? What a clinician asks of a run's figures first, answered from the run's own files.

ANSWERS is the list of questions, in the order of the page. Each is a function from the evidence to an `Answer`, or to
None where the run does not have what it would be answered from; another answer is another function in the list.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

# Whose stats, half a second, is loaded when it is first used
import scipy
from markupsafe import Markup

from evaluation.measures.cases import Row
from evaluation.measures.flags import FAILED_BELOW
from evaluation.report.facts import DOMAINS
from evaluation.report.page import Section, part
from evaluation.report.run import Run
from evaluation.report.shown import ranking_structure
from evaluation.report.tables import name_of
from evaluation.statistics.findings import severity_worth
from evaluation.statistics.intervals import estimate, patient_means
from evaluation.statistics.verdicts import LEVEL, SMALL_SAMPLES
from pipeline.core.text_table import number

GOOD, NEUTRAL, BAD = "good", "neutral", "bad"
# So many failures are named, of either kind
NAMED = 5
# Half of what a CT grade spans, in percentage points
WIDE_PERCENT = 12.5
UNKNOWN_TRAINING = (
    "Nothing here tells whether what made them has seen these patients before; if it was trained on them, the figures "
    "are too good."
)
# Probabilities that are off by so much, on average, mislead whoever reads them
FAR_OFF = 0.1
# Patients from whom on bootstrap intervals hold nearly as often as they promise, see SMALL_SAMPLES
ENOUGH = 20


class Named(NamedTuple):
    """A scan and what went wrong with it; `shown` is its number among those that the page has slices of."""

    case: str
    told: str
    shown: int | None


class Answer(NamedTuple):
    """To a question: sentences, and whether they speak for the figures (GOOD), against them (BAD) or neither."""

    question: str
    sentences: Sequence[str]
    kind: str = NEUTRAL
    cases: Sequence[Named] = ()


@dataclass(frozen=True)
class Evidence:
    """A run, and which of its cases, by name and fold, the page has slices of, with their numbers."""

    run: Run
    shown: Mapping[tuple[str, int], int]

    @cached_property
    def structure(self) -> str | None:
        """By which a case has failed: the infection; None where the run scored none."""
        return ranking_structure(row["structure"] for row in self.run.rows)

    @cached_property
    def judged(self) -> list[Row]:
        """The rows of that structure that have a Dice, the worst first."""
        rows = [row for row in self.run.rows if row["structure"] == self.structure and not math.isnan(row["dice"])]
        return sorted(rows, key=lambda row: (row["dice"], row["case"]))

    @cached_property
    def failed(self) -> list[Row]:
        return [row for row in self.judged if row["dice"] < FAILED_BELOW]

    def named(self, row: Row, told: str) -> Named:
        return Named(row["case"], told, self.shown.get((row["case"], row["fold"])))


def held_out(evidence: Evidence) -> Answer | None:
    """Whether those who were tested had been seen in training."""
    run, question = evidence.run, "Had the network seen these patients before?"
    if run.scored:
        told = f"Nobody knows. These label maps were made elsewhere, by {run.network}. {UNKNOWN_TRAINING}"
        return Answer(question, [told], BAD)
    if not run.rows or "folds" not in run.folds:
        return None
    patients = {row["patient_id"] for row in run.rows}
    scans, folds = len({row["case"] for row in run.rows}), len(run.folds["folds"])
    tested = (
        f"{counted(scans, 'scan')} of {counted(len(patients), 'patient')} were tested, in {counted(folds, 'fold')}."
    )
    if leaking := run.folds.get("leaking_patients"):
        both = f"Yes, some: {', '.join(leaking)} {'was' if len(leaking) == 1 else 'were'} trained on and tested."
        return Answer(question, [both, tested, "Their scores are too good, and so are all means."], BAD)
    sentences = [
        f"No. {tested} Each scan was segmented by a network that was trained without its patient; no patient was on "
        "both sides."
    ]
    tested_cases = {row["case"] for row in run.rows}
    if beside := len(run.cases.keys() - tested_cases):
        sentences.append(f"{counted(beside, 'more case')} of the data {'was' if beside == 1 else 'were'} not tested.")
    if begun_with(run):
        sentences.append("But it began with another model's weights, which may have been trained on these patients.")
    return Answer(question, sentences, BAD if begun_with(run) else GOOD)


def begun_with(run: Run) -> bool:
    """Whether any of its networks began with another model's weights."""
    return any(stage.settings.get("begin_with") for stage in run.stages)


def same_scans(evidence: Evidence) -> Answer | None:
    """Whether one scan is there under several names, which folds by patient would not notice."""
    of_hash: defaultdict[str, list[str]] = defaultdict(list)
    patient_of = {case: entry["patient_id"] for case, entry in evidence.run.cases.items()}
    for case, entry in evidence.run.cases.items():
        if "image_sha256" in entry:
            of_hash[entry["image_sha256"]].append(case)
    if not of_hash:
        return None
    question = "Is one patient there under two names?"
    alike = [cases for cases in of_hash.values() if len({patient_of[case] for case in cases}) > 1]
    if alike:
        pairs = "; ".join(" and ".join(cases) for cases in alike)
        told = f"Yes: {pairs} are one file under the names of several patients, so a network was tested on what it saw."
        return Answer(question, [told], BAD)
    told = (
        f"Not by their files: no two of the {len(of_hash)} are the same under the names of two patients. "
        "One patient scanned twice is another question: make check-data compares the lungs themselves."
    )
    return Answer(question, [told], GOOD)


def how_sure(evidence: Evidence) -> Answer | None:
    """How far the mean would move with other patients, and how far few patients can tell that."""
    if not evidence.judged or evidence.structure is None:
        return None
    mean = estimate(patient_means((row["patient_id"], row["dice"]) for row in evidence.judged).values(), np.mean)
    told = (
        f"The {name_of(evidence.structure)} Dice, 1 for perfect overlap and 0 for none, is {number(mean.value)}, the "
        f"mean of {counted(mean.patients, 'patient')}, each counted once."
    )
    if mean.low is None or mean.high is None:
        return Answer("How sure are the figures?", [told, f"It has no interval: {mean.why_not}."], BAD)
    sentences = [f"{told} With other patients like these it could as well be {mean.low:.2f} or {mean.high:.2f}."]
    if mean.patients < ENOUGH:
        known = max((patients for patients in SMALL_SAMPLES if patients <= mean.patients), default=min(SMALL_SAMPLES))
        sentences.append(
            f"Such an interval is too narrow with few patients: of {known}, simulated, it held the truth in "
            f"{100 * SMALL_SAMPLES[known]:.0f} of 100 trials, where 95 are promised."
        )
    return Answer("How sure are the figures?", sentences, NEUTRAL if mean.patients >= ENOUGH else BAD)


def failures(evidence: Evidence) -> Answer | None:
    """The failed scans by name, the worst first, and those in which infection was found that is not there."""
    if not evidence.judged or evidence.structure is None:
        return None
    question, structure = "Where did it fail?", name_of(evidence.structure)
    if not evidence.failed:
        none = f"In none of {counted(len(evidence.judged), 'scan')}"
        return Answer(question, [f"{none}: the {structure} Dice is at least {FAILED_BELOW:g} in each."], GOOD)
    missed = [row for row in evidence.failed if row["reference_ml"]]
    invented = [row for row in evidence.failed if not row["reference_ml"]]
    invented.sort(key=lambda row: (-row["prediction_ml"], row["case"]))
    every = [row for row in evidence.run.rows if row["structure"] == evidence.structure]
    sentences = []
    if missed:
        of = counted(sum(bool(row["reference_ml"]) for row in every), "scan")
        sentences.append(f"In {len(missed)} of {of} with {structure}, its Dice is below {FAILED_BELOW:g}.")
    if invented:
        of = counted(sum(not row["reference_ml"] for row in every), "scan")
        sentences.append(f"In {len(invented)} of {of} without {structure}, some was found all the same.")
    cases = [evidence.named(row, f"{structure} Dice {number(row['dice'])}, {_volumes(row)}") for row in missed[:NAMED]]
    cases += [evidence.named(row, f"{_ml(row['prediction_ml'])} found, none there") for row in invented[:NAMED]]
    if len(cases) < len(evidence.failed):
        sentences.append(f"The worst {len(cases)}; the others stand in the table of cases.")
    return Answer(question, sentences, BAD, cases)


def _volumes(row: Row) -> str:
    return f"{_ml(row['prediction_ml'])} found, {_ml(row['reference_ml'])} in the reference"


def _ml(volume: float) -> str:
    return f"{volume:.1f} ml" if volume < 10 else f"{volume:.0f} ml"


def warnings_worth(evidence: Evidence) -> Answer | None:
    """How often the flags were raised where it failed, and where it did not."""
    raised = {
        (finding.case, finding.fold): any(flag.raised for flag in finding.flags)
        for finding in evidence.run.findings
        if finding.flags
    }
    judged = [row for row in evidence.judged if (row["case"], row["fold"]) in raised]
    if not judged:
        return None
    failed = [raised[row["case"], row["fold"]] for row in judged if row["dice"] < FAILED_BELOW]
    others = [raised[row["case"], row["fold"]] for row in judged if row["dice"] >= FAILED_BELOW]
    question = "Does it say so when it fails?"
    quiet = "No warning does not mean that a segmentation is right."
    if not failed:
        told = f"It never failed here, so nobody knows. A warning was raised in {sum(others)} of "
        return Answer(question, [told + f"{counted(len(others), 'scan')}.", quiet])
    told = f"A warning was raised in {sum(failed)} of {counted(len(failed), 'failed scan')}"
    told += f", and in {sum(others)} of {counted(len(others), 'other')}." if others else "."
    if not others:
        return Answer(question, [told, quiet])
    if sum(failed) / len(failed) <= sum(others) / len(others):
        return Answer(question, [told, "That is no better than chance.", quiet], BAD)
    counts = [[sum(kind), len(kind) - sum(kind)] for kind in (failed, others)]
    # Fisher's exact test: whether more often among the failed than among the others
    if scipy.stats.fisher_exact(counts, alternative="greater").pvalue > LEVEL:
        return Answer(question, [told, "With so few scans such a difference can be chance.", quiet])
    return Answer(question, [told, quiet], GOOD if all(failed) else NEUTRAL)


def severity(evidence: Evidence) -> Answer | None:
    """How far the infected share and the grade are off."""
    found = severity_worth(evidence.run.findings, evidence.run.rows)
    if found is None:
        return None
    sentences = list(found.sentences)
    if not found.lungs:
        sentences.append("For an interval of the infected share there are too few patients.")
    tight = found.lungs is not None and 100 * found.lungs.reach <= WIDE_PERCENT
    return Answer("How far off is the infected share of the lungs?", sentences, NEUTRAL if tight else BAD)


def probabilities(evidence: Evidence) -> Answer | None:
    """How far a probability of infection is off, as the network gives it and after the temperature."""
    found = evidence.run.summary.get("probabilities")
    if not found or found["before"]["ece"]["value"] is None:
        return None
    question, before = "Does 80 % sure mean 80 % infected?", found["before"]["ece"]["value"]
    sentences = [
        f"Within the lungs the network's own probability of infection is off by {100 * before:.0f} percentage points "
        "on average."
    ]
    if found["temperature"] is None:
        return Answer(question, [*sentences, f"It is not corrected: {found['why_not']}."], BAD)
    after = found["after"]["ece"]
    reach = (
        "" if after["low"] is None else f" (with other patients {100 * after['low']:.0f} to {100 * after['high']:.0f})"
    )
    sentences.append(
        f"Corrected, as PROBABILITIES=1 writes it, by {100 * after['value']:.0f}{reach}; each patient's correction "
        "was learnt from the others."
    )
    worst = after["value"] if after["high"] is None else after["high"]
    return Answer(question, sentences, BAD if after["value"] > FAR_OFF else NEUTRAL if worst > FAR_OFF else GOOD)


def elsewhere(evidence: Evidence) -> Answer | None:
    """What these figures do not speak of."""
    run = evidence.run
    tested = {row["case"] for row in run.rows}
    kinds = Counter(entry.get("intensity") for case, entry in run.cases.items() if case in tested)
    if not kinds:
        return None
    of = " and ".join(f"{counted(count, 'scan')} {DOMAINS.get(str(kind), kind)}" for kind, count in kinds.most_common())
    told = (
        f"Little. Tested were {of} of this data set alone. Another hospital, scanner or disease, children and contrast "
        "medium are another question: test it on labelled scans of your own before you rely on it."
    )
    return Answer("What does this say of my own scans?", [told])


def counted(count: int, what: str) -> str:
    """`1 scan`, `2 scans`."""
    return f"{count} {what}{'' if count == 1 else 's'}"


ANSWERS: tuple[Callable[[Evidence], Answer | None], ...] = (
    held_out,
    same_scans,
    failures,
    warnings_worth,
    how_sure,
    severity,
    probabilities,
    elsewhere,
)


def answers(run: Run, shown: Mapping[tuple[str, int], int]) -> list[Answer]:
    """Those that the run's files allow; none where nothing was scored."""
    evidence = Evidence(run, shown)
    return [answer for answer in (ask(evidence) for ask in ANSWERS) if answer] if run.rows else []


def belief(run: Run, shown: Mapping[tuple[str, int], int]) -> Section | None:
    """The section; `shown` numbers the cases, by name and fold, that the page has slices of."""
    given = answers(run, shown)
    return Section("belief", "Should I believe this?", Markup(part("answers", answers=given))) if given else None
