"""Flags of a synthetic chest that is right, and of chests that are wrong in one way each."""

import dataclasses
import math
import subprocess

import numpy as np
import pytest
import SimpleITK as sitk
from commands import run_command

from evaluation.measures.flags import (
    AGREEMENT,
    EVERY,
    FRAGMENTS,
    INFECTION_OUTSIDE,
    INTENSITY,
    LEFT_SHARE,
    LUNG_VOLUME,
    OF_LABELS,
    Limits,
    bounds,
    case_flags,
    flag_table,
    judged,
)
from pipeline.core.errors import InputError
from pipeline.core.project import program

# The chest of conftest.py in the size of a man's, with which its lungs hold 5 litres
LARGE_MM = (13.0, 13.0, 25.0)


@pytest.fixture
def chest(make_chest):
    """A scan in Hounsfield units and its labels: plausible throughout."""
    return make_chest(spacing_mm=LARGE_MM)


def changed(image, change):
    """A copy of an image whose voxels, axes (z, y, x), went through a function."""
    voxels = sitk.GetArrayFromImage(image)
    done = sitk.GetImageFromArray(change(voxels))
    done.CopyInformation(image)
    return done


def relabelled(image, place, code):
    def put(voxels):
        voxels[place] = code
        return voxels

    return changed(image, put)


def raised(*arguments, **named):
    return {flag.limits.name for flag in case_flags(*arguments, **named) if flag.raised}


def flag(limits, *arguments, **named):
    return next(found for found in case_flags(*arguments, **named) if found.limits == limits)


def test_a_plausible_chest_raises_nothing(chest):
    scan, labels = chest
    assert raised(labels, scan, [labels]) == set()


def test_every_flag_comes_in_order(chest):
    scan, labels = chest
    assert [found.limits for found in case_flags(labels, scan, [labels])] == list(OF_LABELS)


def test_without_scan_and_others_the_labels_flags_remain(chest):
    assert [found.limits for found in case_flags(chest[1])] == [LUNG_VOLUME, LEFT_SHARE, INFECTION_OUTSIDE, FRAGMENTS]


def test_the_volume_is_of_the_lungs_with_their_infection(chest):
    labels = chest[1]
    voxels = np.count_nonzero(sitk.GetArrayViewFromImage(labels))
    assert flag(LUNG_VOLUME, labels).value == pytest.approx(voxels * math.prod(LARGE_MM) / 1000)


@pytest.mark.parametrize(
    ("spacing_mm", "said"), [((5, 5, 10), "less than an adult's"), ((26, 26, 25), "more than an adult's")]
)
def test_implausible_volumes_are_raised(make_chest, spacing_mm, said):
    found = flag(LUNG_VOLUME, make_chest(spacing_mm=spacing_mm)[1])
    assert found.raised
    assert said in found.sentence


@pytest.mark.parametrize(("lost", "said"), [(1, "The left lung is only"), (2, "part of the right one")])
def test_a_lung_that_is_half_lost_is_raised(chest, lost, said):
    labels = changed(chest[1], lambda codes: np.where((codes == lost) & (np.arange(12)[:, None, None] < 7), 0, codes))
    found = flag(LEFT_SHARE, labels)
    assert found.raised
    assert said in found.sentence


def test_an_infected_lung_is_not_a_lost_one(chest):
    labels = changed(chest[1], lambda codes: np.where((codes == 1) & (np.arange(12)[:, None, None] < 7), 3, codes))
    assert not flag(LEFT_SHARE, labels).raised


def test_infection_in_the_chest_wall_is_raised(chest):
    found = flag(INFECTION_OUTSIDE, relabelled(chest[1], np.s_[5:7, 0, 10:13], 3))
    assert found.raised
    assert "does not touch the lungs" in found.sentence


def test_lung_in_the_corner_of_the_scan_is_raised(chest):
    found = flag(FRAGMENTS, relabelled(chest[1], np.s_[:2, :2, :5], 2))
    assert found.raised
    assert "of a lung is apart from its largest piece" in found.sentence


def test_infection_between_the_pieces_of_a_lung_joins_them(chest):
    labels = relabelled(chest[1], np.s_[5:7], 0)
    joined = changed(
        chest[1], lambda codes: np.where((codes > 0) & np.isin(np.arange(12), (5, 6))[:, None, None], 3, codes)
    )
    assert flag(FRAGMENTS, labels).raised
    assert not flag(FRAGMENTS, joined).raised


def test_models_that_disagree_are_raised(chest):
    labels = chest[1]
    other = changed(labels, lambda codes: np.where((codes == 3) & (np.arange(20)[:, None] < 12), 1, codes))
    found = flag(AGREEMENT, labels, others=[other])
    assert found.raised
    assert "disagree" in found.sentence


def test_no_lungs_at_all_are_raised_by_their_volume(chest):
    scan, labels = chest
    assert raised(labels * 0, scan) == {"lung_volume"}


def test_what_is_undefined_says_so(chest):
    labels = changed(chest[1], lambda codes: np.where(codes == 3, 1, codes))
    found = flag(INFECTION_OUTSIDE, labels)
    assert (found.value, found.suspicion, found.sentence) == (None, None, INFECTION_OUTSIDE.undefined)


def test_the_typical_lung_is_in_hounsfield_units(chest):
    scan, labels = chest
    assert flag(INTENSITY, labels, scan).value == pytest.approx(-850, abs=5)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(lambda hu: (hu + 600) / 400, "too bright", id="z-scored"),
        pytest.param(lambda hu: hu * 2, "too dark", id="stretched"),
        pytest.param(lambda hu: hu + 2000, "neither Hounsfield units", id="with an offset"),
    ],
)
def test_scans_in_other_units_are_raised(chest, change, said):
    scan, labels = chest
    found = flag(INTENSITY, labels, changed(scan, lambda hu: change(hu.astype(np.float32))))
    assert found.raised
    assert said in found.sentence


def grey(scan, low, high):
    return changed(
        scan, lambda hu: np.clip((hu.astype(np.float32) - low) * 255 / (high - low), 0, 255).astype(np.uint8)
    )


def test_grey_of_the_assumed_window_is_read_in_hounsfield_units(chest):
    scan, labels = chest
    found = flag(INTENSITY, labels, grey(scan, -1250, 250))
    assert found.value == pytest.approx(-850, abs=8)
    assert "stored as 0..255 grey, and the window -1250 to 250 HU was assumed" in found.sentence


def test_grey_of_another_window_is_raised(chest):
    scan, labels = chest
    assert flag(INTENSITY, labels, grey(scan, -1000, 1000)).raised


def test_grids_that_differ_are_refused(chest, make_chest):
    with pytest.raises(InputError, match="medseg_1: the scan lies on another grid: spacing"):
        case_flags(chest[1], make_chest()[0], name="medseg_1")


@pytest.mark.parametrize(("value", "suspicion"), [(1, 1.0), (2, 0.0), (3, -1.0), (4, -1.0), (5, 0.0), (7, 2.0)])
def test_suspicion_grows_beyond_the_nearer_limit(value, suspicion):
    limits = Limits("name", "unit", 2, 5, "reason", "within", "undefined", "below", "above")
    found = judged(limits, value)
    assert (found.suspicion, found.raised) == (suspicion, suspicion > 0)


@pytest.mark.parametrize("limits", EVERY, ids=lambda limits: limits.name)
def test_every_limit_has_a_reason_and_a_sentence_for_each_outcome(limits):
    said = [limits.reason, limits.unit, limits.within, limits.undefined]
    said += [limits.below] * math.isfinite(limits.low) + [limits.above] * math.isfinite(limits.high)
    assert all(said)


@pytest.mark.parametrize("limits", EVERY, ids=lambda limits: limits.name)
def test_every_sentence_can_be_filled_in(limits):
    values = [limits.low - 1, limits.high + 1, np.mean([limits.low, limits.high])]
    assert all("{" not in judged(limits, value).sentence for value in values if math.isfinite(value))


@pytest.mark.parametrize(
    ("limits", "words"),
    [(LEFT_SHARE, "0.37 to 0.56"), (FRAGMENTS, "at least 0.98"), (INFECTION_OUTSIDE, "at most 0.01")],
)
def test_limits_in_words(limits, words):
    assert bounds(limits) == words


def test_the_table_gives_the_reason_of_what_is_raised_alone(chest):
    flags = case_flags(chest[1])
    text = " ".join(flag_table([dataclasses.replace(flags[0], suspicion=1.0), *flags[1:]]).split())
    assert "GLI 2021" in text
    assert "Yamada" not in text


def test_the_command_prints_the_table(chest, tmp_path, capsys):
    scan, labels = (tmp_path / name for name in ("scan.nii.gz", "labels.nii.gz"))
    for image, path in zip(chest, (scan, labels), strict=True):
        sitk.WriteImage(image, str(path))
    run_command("flags", labels, labels, "--scan", scan)
    printed = capsys.readouterr().out
    assert [line.split()[0] for line in printed.splitlines()[1:7]] == [limits.name for limits in OF_LABELS]
    assert max(map(len, printed.splitlines())) <= 100


def test_the_command_tells_of_foreign_labels_in_one_line(chest, tmp_path):
    sitk.WriteImage(chest[1] * 2, str(tmp_path / "labels.nii.gz"))
    command = program("flags", str(tmp_path / "labels.nii.gz"))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr.startswith("error: case labels: ")
    assert done.stderr.count("\n") == 1
