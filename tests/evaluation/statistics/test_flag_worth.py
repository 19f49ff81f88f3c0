"""What flags are worth, by hand, against scikit-learn, and on a cross-validation of synthetic chests."""

import math

import numpy as np
import pytest
import SimpleITK as sitk
from commands import run_command

from evaluation.measures.cases import Job, evaluate_cases, write_metrics_csv
from evaluation.measures.flags import LUNG_VOLUME, Flag
from evaluation.statistics.flag_worth import Worth, auroc, auroc_interval, measure, worth, worth_table
from pipeline.core.errors import InputError
from pipeline.data.study import open_study


def flags(*suspicions):
    return [None if value is None else Flag(LUNG_VOLUME, 0.0, value, "sentence") for value in suspicions]


def test_the_auroc_by_hand():
    # Of the six pairs four are in order and one is tied
    assert auroc([3, 1], [2, 1, 0]) == pytest.approx(4.5 / 6)


@pytest.mark.parametrize(("failed", "others"), [([], [1.0]), ([1.0], []), ([], [])])
def test_without_failed_or_other_cases_there_is_no_auroc(failed, others):
    assert auroc(failed, others) is None


def test_a_flag_that_never_differs_is_worth_nothing():
    assert auroc([1, 1], [1, 1, 1]) == 0.5


def test_infinite_suspicion_comes_first():
    assert auroc([math.inf], [5.0, -1.0]) == 1


def test_the_auroc_is_scikit_learns():
    metrics = pytest.importorskip("sklearn.metrics")
    draw = np.random.default_rng(0)
    failure, suspicion = draw.random(60) < 0.3, draw.integers(0, 9, 60).astype(float)
    theirs = metrics.roc_auc_score(failure, suspicion)
    assert auroc(suspicion[failure].tolist(), suspicion[~failure].tolist()) == pytest.approx(theirs)


def test_the_worth_of_a_flag_by_hand():
    found = worth("volume", flags(2, -1, 1, -3, -2), [0.1, 0.5, 0.7, 0.8, 0.9])
    # Failed: 2, -1; others: 1, -3, -2. Five of six pairs are in order, and 1 of 10 choices of two cases is the failed
    assert found == Worth("volume", pytest.approx(5 / 6), 2, 3, 1, 1, 0, pytest.approx(1 / 10), 0.25, 1.0)


def test_the_interval_is_that_of_resampled_patients():
    # Two patients with both kinds, one in order and one not, and one whose cases change nothing
    suspicion, failed = [2.0, 1.0, 1.0, 2.0, 5.0, 5.0], [True, False, True, False, True, False]
    low, high = auroc_interval(suspicion, failed, ["a", "a", "b", "b", "c", "c"])
    # Three times `a` is 1, three times `b` is 0, and each is drawn in 1 of 27 resamples
    assert (low, high) == (0.0, 1.0)
    assert auroc_interval([2.0, 1.0, 2.0, 1.0], [True, False] * 2, ["a", "a", "b", "b"]) is None


def test_cases_of_one_patient_are_drawn_together():
    suspicion, failed = [*np.arange(12.0), 20.0], [i % 3 == 0 for i in range(13)]
    apart = auroc_interval(suspicion, failed, [str(i) for i in range(13)])
    together = auroc_interval(suspicion, failed, [str(i // 4) for i in range(13)])
    assert apart != together


def test_a_case_at_the_limit_has_not_failed():
    assert worth("volume", flags(1), [0.6]).others == 1


def test_undefined_flags_and_dice_are_left_out_and_counted():
    found = worth("volume", [*flags(1, None, 2), Flag(LUNG_VOLUME, None, None, "sentence")], [0.1, 0.2, math.nan, 0.3])
    assert (found.failed, found.others, found.left_out) == (1, 0, 3)


def test_without_failed_cases_the_worth_is_unknown():
    found = worth("volume", flags(1, 2), [0.9, 0.8])
    assert (found.auroc, found.by_chance, found.failed, found.others) == (None, None, 0, 2)


def test_the_table_says_where_nothing_can_be_said():
    text = worth_table([worth("volume", flags(1, 2), [0.9, 0.8])], "infection")
    assert text.splitlines()[2].split() == ["volume", "-", "-", "0", "0", "2", "2", "0"]
    assert "0 failed and 2 other cases cannot tell what a flag is worth." in text


def moved(codes):
    """The infection in the wrong place: the corner of the scan."""
    codes[codes == 3] = 1
    codes[:2, :2, :2] = 3
    return codes


@pytest.fixture
def cross_validation(write_dataset, tmp_path):
    """Makes a folder as a cross-validation of four cases leaves it; the predictions of `wrong` cases are moved."""
    data = write_dataset(tmp_path / "data", ["a", "b", "c", "d"])

    def make(name, wrong):
        study = open_study(tmp_path / name, data, 2)
        jobs = []
        for fold in range(2):
            for case in study.held_out(fold):
                codes = sitk.GetArrayFromImage(label := sitk.ReadImage(case["label"]))
                found = sitk.GetImageFromArray(moved(codes) if case["case"] in wrong else codes)
                found.CopyInformation(label)
                study.prediction(case).parent.mkdir(exist_ok=True)
                sitk.WriteImage(found, str(study.prediction(case)))
                jobs.append(Job(case["label"], study.prediction(case), case["case"], case["patient_id"], fold))
        write_metrics_csv(evaluate_cases(jobs), tmp_path / name / "metrics.csv")
        return tmp_path / name

    return make


def test_infection_outside_finds_the_failed_case_of_a_cross_validation(cross_validation):
    found = {one.name: one for one in measure([cross_validation("cv", {"case_2"})])}
    one = found["infection_outside"]
    assert (one.auroc, one.failed, one.others, one.caught, one.false_alarms) == (1, 1, 3, 1, 0)


def test_agreement_is_taken_with_the_other_cross_validations(cross_validation):
    folders = [cross_validation("cv", {"case_2"}), cross_validation("other", set())]
    assert measure(folders)[4] == Worth("agreement", 1.0, 1, 3, 1, 0, 0, pytest.approx(1 / 4), 1.0, 1.0)


def test_alone_a_cross_validation_has_no_agreement(cross_validation):
    assert "agreement" not in {one.name for one in measure([cross_validation("cv", set())])}


def test_a_scan_that_is_gone_leaves_its_flag_out(cross_validation, tmp_path):
    folder = cross_validation("cv", {"case_2"})
    (tmp_path / "data" / "images" / "case_0.nii.gz").unlink()
    assert {one.name: one.left_out for one in measure([folder])}["typical_lung"] == 1


def test_other_label_maps_are_refused(cross_validation):
    folder = cross_validation("cv", set())
    table = folder / "metrics.csv"
    table.write_text("".join(line for line in table.read_text().splitlines(True) if "left_lung" not in line))
    with pytest.raises(InputError, match="expected label_map lungs_infection"):
        measure([folder])


def test_the_command_prints_the_table(cross_validation, capsys):
    run_command("flag-worth", cross_validation("cv", {"case_2"}))
    printed = capsys.readouterr().out
    assert "1 failed and 3 other cases: a flag that knows nothing has an AUROC of 1 with probability 0.25" in printed
    assert max(map(len, printed.splitlines())) <= 100
