"""Temperatures of made-up patients: one that is known comes back, and nobody is scored with his own."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.measures.cases import Job
from evaluation.measures.reliability import level_probabilities
from evaluation.statistics.reliability import CaseCounts, case_counts, read_counts, reliability_of, write_counts
from evaluation.statistics.reliability_text import reliability_text, temperature_sentence
from evaluation.statistics.temperature import best_temperature, without_each
from pipeline.core.annotation import Annotation
from pipeline.core.errors import InputError


def patient(number: int, temperature: float, infected: bool = True, case: str = "") -> CaseCounts:
    """Of whom the probability is what a network says, divided by a temperature; 100 000 voxels of every level."""
    true = level_probabilities(temperature)
    true[0] = 0
    diseased = np.rint(100_000 * true).astype(int) if infected else np.zeros(256, int)
    return CaseCounts(case or f"case_{number}", f"patient_{number}", np.stack([100_000 - diseased, diseased]))


def several(*temperatures: float) -> list[CaseCounts]:
    return [patient(number, temperature) for number, temperature in enumerate(temperatures)]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_a_known_temperature_comes_back(temperature):
    found = reliability_of(several(temperature, temperature, temperature))
    assert found.temperature.temperature == pytest.approx(temperature, rel=1e-3)
    assert (found.temperature.patients, found.temperature.cases) == (3, 3)


def test_afterwards_they_are_calibrated_and_were_not_before():
    found = reliability_of(several(2.5, 2.5, 2.5))
    assert found.before.ece.value > 0.08
    assert found.after.ece.value == pytest.approx(0, abs=1e-4)
    assert found.after.brier.value < found.before.brier.value
    assert found.after.nll.value < found.before.nll.value


def test_nobody_is_scored_with_a_temperature_that_is_of_him_too():
    found = reliability_of(several(1.0, 1.0, 4.0))
    first, _, last = without_each(found.shares)
    assert last == pytest.approx(1.0, rel=1e-3)
    assert first == pytest.approx(best_temperature(found.shares[1:]))
    assert last < found.temperature.temperature < first


def test_a_patient_counts_once_however_many_voxels_and_scans_he_has():
    ordinary = several(1.0, 1.0, 3.0)
    larger = CaseCounts("case_2", "patient_2", ordinary[2].counts * 50)
    again = CaseCounts("case_3", "patient_2", ordinary[2].counts)
    expected = reliability_of(ordinary).temperature.temperature
    assert reliability_of([*ordinary[:2], larger]).temperature.temperature == pytest.approx(expected)
    assert reliability_of([*ordinary, again]).temperature.temperature == pytest.approx(expected)


def test_a_case_that_several_folds_hold_out_counts_once():
    assert len(reliability_of([*several(1.0, 2.0), patient(0, 1.0)]).cases) == 2


def test_the_error_is_of_the_patients_together_and_not_the_mean_of_theirs():
    counts = np.zeros((2, 2, 256), int)
    # At 0.4 one patient has no infection and the other 80 %: together 40 %
    counts[0, :, 102] = 100, 0
    counts[1, :, 102] = 20, 80
    found = reliability_of([CaseCounts("a", "a", counts[0]), CaseCounts("b", "b", counts[1])])
    assert found.before.ece.value == pytest.approx(0)


def test_intervals_are_over_patients():
    scores = reliability_of(several(1.0, 1.5, 2.0, 4.0)).before
    for score in (scores.ece, scores.brier, scores.nll):
        assert score.patients == 4
        assert score.low < score.value < score.high


def test_fewer_than_three_patients_with_infection_have_no_temperature_and_are_told_why():
    found = reliability_of([patient(0, 2.0), patient(1, 2.0), patient(2, 2.0, infected=False)])
    told = (
        "There is no temperature: it needs 3 held-out patients with infection, their lungs annotated too, and there "
        "are 2."
    )
    assert (found.temperature, found.after, temperature_sentence(found)) == (None, None, told)
    summary = found.summary()
    assert (summary["temperature"], summary["why_not"], summary["after"]) == (None, told, None)
    assert summary["before"]["brier"]["value"] == found.before.brier.value


def test_a_network_that_errs_nowhere_has_no_temperature():
    counts = np.zeros((2, 256), int)
    counts[0, 10], counts[1, 240] = 100, 100
    found = reliability_of([CaseCounts(str(number), str(number), counts) for number in range(3)])
    assert found.why_not.startswith("There is no temperature: the best one would lie beyond 0.05 to 20")


def test_without_cases_there_is_nothing_to_tell():
    assert reliability_of([None, CaseCounts("a", "a", np.zeros((2, 256), int))]) is None


def test_the_text_tells_scores_temperature_and_what_counts():
    text = " ".join(reliability_text(reliability_of(several(2.5, 2.4, 2.6))).split())
    assert "The temperature of 3 held-out patients is 2.50: the networks are too sure of infection." in text
    assert "each patient counts the same" in text


def test_counts_come_back_from_their_file(tmp_path):
    written = several(1.0, 2.0)
    write_counts(written, tmp_path)
    found = read_counts(tmp_path)
    assert [(case.case, case.patient_id) for case in found] == [(case.case, case.patient_id) for case in written]
    assert all((mine.counts == theirs.counts).all() for mine, theirs in zip(found, written, strict=True))


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "reliability.csv").write_text("case,patient_id,level,voxels,infected\na,a,256,1,1\n")
    with pytest.raises(InputError, match=r"reliability\.csv: is not as it was written"):
        read_counts(tmp_path)


@pytest.mark.parametrize("annotation", [Annotation(infection=False), Annotation(sides=False, lungs=False)])
def test_a_case_that_does_not_annotate_lungs_and_infection_is_left_out(annotation, tmp_path):
    job = Job(tmp_path, tmp_path, "a", "a", 0, annotation=annotation)
    assert case_counts(job, None, None, np.zeros((1, 1, 1), np.uint8), None) is None
